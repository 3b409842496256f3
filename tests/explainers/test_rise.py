"""RISE against its expectation, worked out over all masks, and against a literal sum."""

from __future__ import annotations

import itertools

import pytest
import torch
from helpers.toys import toy_batch, toy_classifier
from torch import Tensor, nn
from torch.nn import functional as F

from camdbench.core.errors import UsageError
from camdbench.datasets.samples import Batch
from camdbench.explainers.common.masked_scoring import random_masks
from camdbench.explainers.common.trace import Trace
from camdbench.explainers.rise import rise
from camdbench.functional import pass_size
from camdbench.models.classifier import Classifier


def test_on_a_linear_model_is_the_expectation_over_all_masks() -> None:
    images = torch.rand(1, 3, 4, 4, generator=torch.Generator().manual_seed(0))
    network = nn.Sequential(nn.Flatten(), nn.Linear(48, 2))
    network[1].weight.data.normal_(generator=torch.Generator().manual_seed(1))
    classifier = Classifier(network, mean=0, std=1)
    trace = Trace(classifier, Batch(("a",), images, torch.tensor([1])))
    probability, masks = _all_masks(0.3)
    scores = classifier(images * masks[:, None])[:, 1].detach().double()
    expected = torch.einsum("n,n,nhw->hw", probability, scores, masks.double()) / 0.3
    found = rise(trace, masks=60000, cells=2, keep=0.3, score="logit")[0].double()
    torch.testing.assert_close(found, expected, rtol=0, atol=0.03 * expected.abs().max().item())


def _all_masks(keep: float) -> tuple[Tensor, Tensor]:
    """All masks of 4 x 4 pixels from grids of 2 x 2, with their probabilities."""
    masks, probabilities = [], []
    for bits in itertools.product((0.0, 1.0), repeat=4):
        enlarged = F.interpolate(torch.tensor(bits).reshape(1, 1, 2, 2), (6, 6), mode="bilinear")[0, 0]
        for row, column in itertools.product((0, 1), repeat=2):
            masks.append(enlarged[row : row + 4, column : column + 4])
            kept = int(sum(bits))
            probabilities.append(keep**kept * (1 - keep) ** (4 - kept) / 4)
    return torch.tensor(probabilities, dtype=torch.float64), torch.stack(masks)


@pytest.mark.parametrize("compat", ["paper", "author", "torchray", "xplique"])
def test_is_the_literal_sum(batch: Batch, compat: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(pass_size, "CPU_PIXELS", 4000)  # several chunks
    trace = Trace(toy_classifier("dense"), batch)
    border = {"author": "mirror", "torchray": "torchray"}.get(compat, "clamp")
    masks = random_masks(trace, 30, 4, 0.4, border).masks(slice(0, 30)).double()
    found = rise(trace, masks=30, cells=4, keep=0.4, compat=compat)
    mean = trace.classifier.mean
    for image in range(4):
        total = torch.zeros(16, 12, dtype=torch.float64)
        for mask in masks:
            logits = trace.score(batch.images[image] * mask.float() + mean * (1 - mask.float())).detach().double()[0]
            target = batch.labels[image]
            total += (logits[target].sigmoid() if compat == "torchray" else logits.softmax(0)[target]) * mask
        expected = total / {"paper": 30 * 0.4, "author": 30 * 0.4, "torchray": 30, "xplique": masks.sum(0)}[compat]
        torch.testing.assert_close(found[image].double(), expected, rtol=1e-4, atol=1e-6)


def test_costs_one_pass_a_mask(batch: Batch) -> None:
    trace = Trace(toy_classifier(), batch)
    rise(trace, masks=25, cells=4)
    assert trace.classifier.passes.forward == 4 + 4 * 25
    assert trace.classifier.passes.total() == trace.classifier.passes.forward


def test_a_probability_above_one_is_refused(batch: Batch) -> None:
    with pytest.raises(UsageError, match="keep"):
        rise(Trace(toy_classifier(), toy_batch()), keep=1.5)
