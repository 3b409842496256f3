"""The object taken out of images, against loops over pixels."""

from __future__ import annotations

import pytest
import torch
from torch import Tensor

from camdbench.functional.ablation import bounding_box_mask, grey_box, grey_object


@pytest.fixture
def masks() -> Tensor:
    """Two objects apart, one pixel, nothing, everything, and a random scatter."""
    masks = torch.zeros(5, 7, 6, dtype=torch.bool)
    masks[0, 2, 1] = masks[0, 4, 3] = masks[1, 6, 5] = True
    masks[3] = True
    masks[4] = torch.rand(7, 6, generator=torch.Generator().manual_seed(0)) > 0.9
    assert masks[4].any()
    return masks


@pytest.fixture
def images() -> Tensor:
    return torch.rand(5, 3, 7, 6, generator=torch.Generator().manual_seed(1))


def test_grey_stands_where_the_object_was_and_nowhere_else(images: Tensor, masks: Tensor) -> None:
    m = masks[:, None].float()
    assert torch.equal(grey_object(images, masks), images * (1 - m) + 0.5 * m)


@pytest.mark.parametrize("last", [True, False])
def test_the_box_is_the_one_round_all_pixels(images: Tensor, masks: Tensor, last: bool) -> None:
    found = grey_box(images, masks, last=last)
    for index in range(5):
        expected, rows, columns = images[index].clone(), *masks[index].nonzero().T
        if len(rows):
            expected[:, rows.min() : rows.max() + last, columns.min() : columns.max() + last] = 0.5
        assert torch.equal(found[index], expected)


def test_golden_rows_2_to_4_are_filled_from_2_to_3_by_the_release() -> None:
    mask = torch.zeros(1, 8, 8, dtype=torch.bool)
    mask[0, 2:5, 1:7] = True
    assert bounding_box_mask(mask, last=False)[0].any(1).nonzero().flatten().tolist() == [2, 3]
    assert bounding_box_mask(mask, last=False)[0].any(0).nonzero().flatten().tolist() == [1, 2, 3, 4, 5]
    assert bounding_box_mask(mask, last=True).equal(mask)


def test_an_object_of_one_pixel_has_no_box_in_the_release(images: Tensor, masks: Tensor) -> None:
    assert torch.equal(grey_box(images, masks, last=False)[1], images[1])
    assert (grey_box(images, masks, last=True)[1] != images[1]).any(0).sum() == 1
