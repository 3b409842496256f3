"""Ranks of classes against a sort."""

from __future__ import annotations

import math

import pytest
import torch

from camdbench.functional.ranking import among_first, rank_of


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
    assert torch.equal(among_first(logits, classes), (logits.argmax(1) == classes).double())
    assert torch.equal(among_first(logits, classes, 5), (logits.topk(5, 1).indices == classes[:, None]).any(1).double())
    assert among_first(logits, classes, 9).all()


@pytest.mark.parametrize(("value", "known"), [(math.nan, False), (math.inf, False), (-math.inf, True)])
def test_a_broken_network_predicts_nothing(value: float, known: bool) -> None:
    logits = torch.tensor([[1.0, 2.0, value], [1.0, 2.0, 3.0]])
    found = among_first(logits, torch.tensor([1, 2]))
    assert found.isfinite().tolist() == [known, True]
