"""Ranks of classes against a sort."""

from __future__ import annotations

import math

import pytest
import torch

from camdbench.functional.class_rank import average_precisions, in_top_k, rank_of


@pytest.mark.parametrize("ties", [False, True])
def test_the_rank_is_the_place_in_a_stable_sort(ties: bool) -> None:
    generator = torch.Generator().manual_seed(0)
    logits = torch.randint(0, 4, (40, 9), generator=generator).float() if ties else torch.randn(40, 9, generator=generator)
    classes = torch.randint(0, 9, (40,), generator=generator)
    for row, name, found in zip(logits.tolist(), classes.tolist(), rank_of(logits, classes).tolist(), strict=True):
        assert found == sorted(range(9), key=lambda index: -row[index]).index(name)


def test_top_1_is_the_arg_max_and_top_k_torchs_topk() -> None:
    generator = torch.Generator().manual_seed(1)
    logits, classes = torch.randn(200, 9, generator=generator), torch.randint(0, 9, (200,), generator=generator)
    assert torch.equal(in_top_k(logits, classes), (logits.argmax(1) == classes).double())
    assert torch.equal(in_top_k(logits, classes, 5), (logits.topk(5, 1).indices == classes[:, None]).any(1).double())
    assert in_top_k(logits, classes, 9).all()


@pytest.mark.parametrize(("value", "known"), [(math.nan, False), (math.inf, False), (-math.inf, True)])
def test_a_broken_network_predicts_nothing(value: float, known: bool) -> None:
    logits = torch.tensor([[1.0, 2.0, value], [1.0, 2.0, 3.0]])
    found = in_top_k(logits, torch.tensor([1, 2]))
    assert found.isfinite().tolist() == [known, True]


@pytest.mark.parametrize("ties", [False, True])
def test_average_precision_is_the_mean_precision_at_the_true_classes(ties: bool) -> None:
    """Also where a network rules out classes: scores of -inf are one last step."""
    generator = torch.Generator().manual_seed(2)
    scores = torch.randint(0, 4, (40, 9), generator=generator).float() if ties else torch.randn(40, 9, generator=generator)
    scores[:, 3] = scores[:, 7] = -math.inf
    truth = torch.rand(40, 9, generator=generator) > 0.6
    truth[0] = False
    found = average_precisions(scores, truth)
    assert found[0].isnan()
    for row, true, value in zip(scores[1:].tolist(), truth[1:].tolist(), found[1:].tolist(), strict=True):
        precisions = list[float]()
        for own in (score for score, is_true in zip(row, true, strict=True) if is_true):
            above = [is_true for score, is_true in zip(row, true, strict=True) if score >= own]
            precisions.append(sum(above) / len(above))
        assert value == pytest.approx(sum(precisions) / len(precisions))


def test_average_precision_of_a_broken_network_is_none() -> None:
    scores = torch.tensor([[1.0, math.nan], [math.inf, 1.0], [2.0, 1.0]])
    assert average_precisions(scores, torch.tensor([[True, False]]).expand(3, 2)).isfinite().tolist() == [False, False, True]
