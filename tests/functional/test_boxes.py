"""Boxes against literal readings, pixel by pixel."""

from __future__ import annotations

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from camdbench.functional.boxes import best_iou, clip, union_mask

whole = st.lists(st.tuples(*(st.integers(-4, 12) for _ in range(4))), max_size=4)


def pixels_of(box: list[float], size: tuple[int, int], more: int = 0) -> set[tuple[int, int]]:
    """The pixels whose centres a box covers, one by one."""
    x0, y0, x1, y1 = box
    rows, columns = range(size[0]), range(size[1])
    return {(row, column) for row in rows for column in columns if x0 <= column + 0.5 < x1 + more and y0 <= row + 0.5 < y1 + more}


@settings(max_examples=40, deadline=None)
@given(st.lists(st.tuples(*(st.floats(-4, 12, width=32) for _ in range(4))), max_size=4), st.booleans())
def test_the_union_is_every_pixel_whose_centre_a_box_covers(boxes: list[tuple[float, ...]], inclusive: bool) -> None:
    tensor = torch.tensor(boxes).reshape(-1, 4)
    mask = union_mask([tensor], (6, 8), inclusive=inclusive)[0]
    expected = set[tuple[int, int]]().union(*(pixels_of(box, (6, 8), int(inclusive)) for box in tensor.tolist()))
    assert {(row, column) for row, column in mask.nonzero().tolist()} == expected


def test_each_image_has_its_own_union() -> None:
    masks = union_mask([torch.zeros(0, 4), torch.tensor([[0.0, 0, 1, 1], [1, 1, 2, 2]])], (2, 2))
    assert masks.tolist() == [[[False, False], [False, False]], [[True, False], [False, True]]]


def test_ends_are_exclusive_unless_said_otherwise() -> None:
    box = [torch.tensor([[3.0, 0.0, 7.0, 0.0]])]
    assert union_mask(box, (1, 10)).sum() == 0
    assert union_mask(box, (1, 10), inclusive=True)[0, 0].nonzero().flatten().tolist() == [3, 4, 5, 6, 7]


@settings(max_examples=40, deadline=None)
@given(whole)
def test_clipping_keeps_the_pixels(boxes: list[tuple[int, ...]]) -> None:
    tensor = torch.tensor(boxes, dtype=torch.float32).reshape(-1, 4)
    kept = clip(tensor, (6, 8))
    assert torch.equal(union_mask([kept], (6, 8)), union_mask([tensor], (6, 8)))
    assert (kept[:, 2:] > kept[:, :2]).all()
    assert ((kept >= 0) & (kept <= torch.tensor([8, 6, 8, 6]))).all()


@settings(max_examples=40, deadline=None)
@given(whole, whole)
def test_iou_counts_pixels(predicted: list[tuple[int, ...]], truth: list[tuple[int, ...]]) -> None:
    ours, true = ([(min(a, c), min(b, d), max(a, c), max(b, d)) for a, b, c, d in boxes] for boxes in (predicted, truth))
    found = best_iou(torch.tensor(ours).reshape(-1, 4), torch.tensor(true).reshape(-1, 4))
    for box, value in zip(ours, found.tolist(), strict=True):
        best = 0.0
        for other in true:
            a, b = ({(x, y) for x in range(x0, x1) for y in range(y0, y1)} for x0, y0, x1, y1 in (box, other))
            best = max(best, len(a & b) / len(a | b) if a | b else 0.0)
        assert value == pytest.approx(best)


def test_inclusive_ends_make_every_side_one_longer() -> None:
    a, b = torch.tensor([[3.0, 0.0, 7.0, 0.0]]), torch.tensor([[3.0, 0.0, 6.0, 0.0]])
    assert best_iou(a, b, inclusive=True).item() == pytest.approx(4 / 5)
    assert best_iou(a, b).item() == 0


def test_nothing_is_overlapped_where_there_is_no_box() -> None:
    assert best_iou(torch.ones(2, 4), torch.zeros(0, 4)).tolist() == [0, 0]
    assert best_iou(torch.zeros(0, 4), torch.ones(1, 4)).tolist() == []
