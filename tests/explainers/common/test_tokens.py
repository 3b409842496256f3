"""Values of tokens as maps: heads fused one place at a time, and the rows that a network's head reads."""

from __future__ import annotations

from statistics import mean

import pytest
import torch
from helpers.toys import timm_vit, toy_batch, toy_classifier

from camdbench.explainers.common.tokens import fuse_heads, map_of_row, map_of_tokens
from camdbench.explainers.common.trace import Trace

GRID = 4  # patches of 8 pixels in images of 32


@pytest.mark.parametrize(("how", "by_hand"), [("mean", mean), ("max", max), ("min", min)])
def test_heads_are_fused_place_by_place(how: str, by_hand: object) -> None:
    attention = torch.rand(2, 3, 4, 4, generator=torch.Generator().manual_seed(0), dtype=torch.float64)
    expected = [[[by_hand([attention[b, h, i, j].item() for h in range(3)]) for j in range(4)] for i in range(4)] for b in range(2)]
    torch.testing.assert_close(fuse_heads(attention, how), torch.tensor(expected, dtype=torch.float64))


@pytest.mark.parametrize(("kind", "prefix", "rows"), [("toy", 1, [0]), ("token", 1, [0]), ("distilled", 2, [0, 1]), ("avg", 0, range(16))])
def test_the_row_is_that_of_what_the_head_reads_without_prefix_tokens(kind: str, prefix: int, rows: list[int]) -> None:
    classifier = toy_classifier("vit") if kind == "toy" else timm_vit(kind)
    trace = Trace(classifier, toy_batch(2, size=(32, 32)))
    count = prefix + GRID**2
    matrix = torch.rand(2, count, count, generator=torch.Generator().manual_seed(0))
    found = map_of_row(trace, matrix)
    assert found.shape == (2, GRID, GRID)
    for place in range(GRID**2):
        expected = sum(matrix[:, row, prefix + place] for row in rows) / len(rows)
        torch.testing.assert_close(found[:, place // GRID, place % GRID], expected)
    torch.testing.assert_close(map_of_tokens(trace, matrix[:, 0]), matrix[:, 0, prefix:].reshape(2, GRID, GRID))
