"""KernelSHAP: exact on additive scores, and equal to Shapley's formula where all coalitions fit."""

from __future__ import annotations

import itertools

import pytest
import torch
from torch import nn
from toys import SIZE, toy_batch, toy_classifier

from camdbench.datasets.samples import Batch
from camdbench.explainers.kernelshap import kernelshap
from camdbench.explainers.trace import Trace
from camdbench.models.classifier import Classifier


@pytest.mark.parametrize(("cells", "samples"), [(2, 30), (3, 60), (4, 200)], ids=["all coalitions", "some", "more cells"])
def test_on_a_linear_model_is_the_effect_of_each_segment(cells: int, samples: int) -> None:
    batch = toy_batch()
    network = nn.Sequential(nn.Flatten(), nn.Linear(3 * 16 * 12, 5))
    trace = Trace(Classifier(network, mean=0.5, std=0.2), batch)
    effects = (network[1].weight.detach()[batch.labels].reshape(4, 3, *SIZE) * (batch.images - 0.5) / 0.2).sum(1)
    found = kernelshap(trace, samples=samples, segments="grid", cells=cells)
    rows, columns = torch.arange(16) * cells // 16, torch.arange(12) * cells // 12
    for row, column in itertools.product(range(cells), repeat=2):
        inside = (rows == row)[:, None] & (columns == column)
        expected = effects[:, inside].sum(1, keepdim=True).expand(-1, int(inside.sum()))
        torch.testing.assert_close(found[:, inside], expected, rtol=1e-3, atol=1e-4)


@pytest.mark.parametrize("score", ["logit", "probability"])
def test_is_shapleys_formula_where_all_coalitions_fit(batch: Batch, score: str) -> None:
    trace = Trace(toy_classifier("dense"), batch)
    found = kernelshap(trace, samples=14, segments="grid", cells=2, score=score)[:, ::8, ::6].flatten(1)  # (B, 4)
    labels = torch.arange(4).reshape(2, 2).repeat_interleave(8, 0).repeat_interleave(6, 1)
    value = {}
    for coalition in itertools.chain.from_iterable(itertools.combinations(range(4), size) for size in range(5)):
        shown = torch.isin(labels, torch.tensor(coalition, dtype=torch.int64)).float()
        logits = trace.score(batch.images * shown + trace.classifier.mean * (1 - shown)).detach()
        read = logits if score == "logit" else logits.softmax(1)
        value[frozenset(coalition)] = read.gather(1, batch.labels[:, None]).squeeze(1)
    expected = torch.zeros(4, 4)
    for order in itertools.permutations(range(4)):
        for place, player in enumerate(order):
            before = frozenset(order[:place])
            expected[:, player] += (value[before | {player}] - value[before]) / 24
    torch.testing.assert_close(found, expected, rtol=1e-3, atol=1e-4)


def test_sampled_values_add_up_to_what_the_image_gains_and_come_near_the_exact_ones(batch: Batch) -> None:
    trace = Trace(toy_classifier("dense"), batch)
    exact = kernelshap(trace, samples=600, segments="grid", cells=3)
    sampled = kernelshap(trace, samples=300, segments="grid", cells=3)
    blank = trace.score(trace.classifier.mean.expand_as(batch.images)).detach().gather(1, batch.labels[:, None]).squeeze(1)
    sizes = torch.bincount(torch.arange(16) * 3 // 16).float()
    rows = torch.arange(16) * 3 // 16
    per_segment = (sampled / (sizes[rows] * 4)[:, None]).sum((1, 2))
    torch.testing.assert_close(per_segment, trace.target_logits - blank, rtol=1e-3, atol=1e-3)
    assert not torch.equal(exact, sampled)
    assert (exact - sampled).abs().max() < 0.2 * exact.abs().max()


def test_a_single_segment_gets_everything(batch: Batch) -> None:
    trace = Trace(toy_classifier("dense"), batch)
    blank = trace.score(torch.zeros_like(batch.images)).detach().gather(1, batch.labels[:, None]).squeeze(1)
    found = kernelshap(trace, segments="grid", cells=1, fill="black")
    torch.testing.assert_close(found[:, 3, 5], trace.target_logits - blank, rtol=1e-4, atol=1e-5)


def test_costs_one_pass_a_sample_and_two(batch: Batch) -> None:
    trace = Trace(toy_classifier(), batch)
    kernelshap(trace, samples=11, segments="grid", cells=3)
    assert trace.classifier.passes.forward == 4 + 4 * (11 + 2)
