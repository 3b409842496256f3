"""Sobol indices: analytic on additive and multiplicative scores, and by a literal loop."""

from __future__ import annotations

import torch
from helpers.toys import SIZE, toy_batch, toy_classifier
from torch import Tensor, nn

from camdbench.datasets.samples import Batch
from camdbench.explainers.common.trace import Trace
from camdbench.explainers.sobol import _sobol_design, sobol
from camdbench.models.classifier import Classifier


def test_on_a_linear_model_are_the_shares_of_the_squared_effects() -> None:
    batch = toy_batch()
    network = nn.Sequential(nn.Flatten(), nn.Linear(3 * 16 * 12, 5))
    trace = Trace(Classifier(network, mean=0.5, std=0.2), batch)
    effects = (network[1].weight.detach()[batch.labels].reshape(4, 3, *SIZE) * (batch.images - 0.5)).sum(1)
    cells = nn.functional.avg_pool2d(effects, (8, 6)) * 48  # effects of four cells
    expected = cells.square() / cells.square().sum((1, 2), keepdim=True)
    torch.testing.assert_close(sobol(trace, cells=2, designs=2048), expected, rtol=0, atol=0.02)


class Product(nn.Module):
    """Class 1 scores the product of the mean brightness of the upper and the lower half."""

    def forward(self, images: Tensor) -> Tensor:
        upper, lower = images.mean(1).unflatten(1, (2, -1)).mean((2, 3)).unbind(1)
        return torch.stack([torch.zeros_like(upper), upper * lower], 1)


def test_of_a_product_count_the_interaction() -> None:
    images = torch.ones(1, 3, 4, 4)
    trace = Trace(Classifier(Product(), mean=0, std=1), Batch(("a",), images, torch.tensor([1])))
    found = sobol(trace, cells=2, designs=4096)[0]
    # y = u v, u and v means of two uniform cells: E = 1/2, Var = 1/24, so E[u^2] = 7/24. Each cell makes half of u's
    # changes: total effect E[v^2] Var(m / 2) = 7/24 * 1/48, over Var(y) = (7/24)^2 - 1/16.
    expected = (7 / 24 / 48) / ((7 / 24) ** 2 - 1 / 16)
    torch.testing.assert_close(found, torch.full((2, 2), expected), rtol=0, atol=0.02)


def test_are_jansens_estimate(batch: Batch) -> None:
    trace = Trace(toy_classifier("dense"), batch)
    found = sobol(trace, cells=2, designs=8, score="probability")
    design = _sobol_design(trace, 4, 8)
    mean = trace.classifier.mean
    for image in range(4):
        scores = []
        for row in design:
            mask = row.reshape(2, 2).repeat_interleave(8, 0).repeat_interleave(6, 1)
            logits = trace.score(batch.images[image] * mask + mean * (1 - mask)).detach()
            scores.append(logits.softmax(1)[0, batch.labels[image]].double())
        base = torch.stack(scores[:8])
        for cell in range(4):
            other = torch.stack(scores[8 + 8 * cell : 16 + 8 * cell])
            expected = sum((base - other) ** 2) / 8 / (2 * ((base - base.mean()) ** 2).mean())
            torch.testing.assert_close(found[image].flatten()[cell].double(), expected, rtol=1e-3, atol=1e-5)


def test_a_design_changes_one_cell_at_a_time_and_never_leaves_it_as_it_was() -> None:
    trace = Trace(toy_classifier(), toy_batch())
    design = _sobol_design(trace, 64, 32)
    assert design.shape == (32 * 65, 64)
    changed = design[32:].unflatten(0, (64, 32)) != design[:32]
    assert torch.equal(changed.any(1), torch.eye(64, dtype=torch.bool))
    assert changed.diagonal(dim1=0, dim2=2).float().mean() > 0.9


def test_a_network_that_sees_nothing_gets_zeros(batch: Batch) -> None:
    network = nn.Sequential(nn.Flatten(), nn.Linear(3 * 16 * 12, 5))
    network[1].weight.data.zero_()
    assert sobol(Trace(Classifier(network, mean=0.5, std=0.2), batch), cells=2, designs=4).abs().max() == 0


def test_costs_a_pass_for_each_design_and_cell(batch: Batch) -> None:
    trace = Trace(toy_classifier(), batch)
    sobol(trace, cells=3, designs=4)
    assert trace.classifier.passes.forward == 4 + 4 * 4 * (9 + 1)
