"""Connected regions against scikit-image's, one mask at a time, and outlines against OpenCV's contours."""

from __future__ import annotations

import cv2
import numpy as np
import pytest
import torch
from helpers.each import each
from hypothesis import given, settings
from hypothesis import strategies as st
from skimage import measure
from torch import Tensor

from camdbench.functional.connected_components import holes, largest_component, outlines, regions


def noise(count: int, size: tuple[int, int], share: float, seed: int = 0) -> Tensor:
    return torch.rand(count, *size, generator=torch.Generator().manual_seed(seed)) < share


def blobs(count: int, size: tuple[int, int] = (40, 30), seed: int = 0) -> Tensor:
    """Smooth regions with holes, as the level sets of a coarse map are."""
    coarse = torch.rand(count, 1, 7, 6, generator=torch.Generator().manual_seed(seed))
    fine = torch.nn.functional.interpolate(coarse, size=size, mode="bicubic", align_corners=False).squeeze(1)
    return (fine > 0.4) & (fine < 0.75)


def by_skimage(mask: Tensor, connectivity: int) -> list[tuple[int, list[int]]]:
    found = measure.regionprops(measure.label(mask.numpy(), connectivity=1 if connectivity == 4 else 2))
    return sorted((int(one.area), [one.bbox[1], one.bbox[0], one.bbox[3], one.bbox[2]]) for one in found)


@each("connectivity", [4, 8])
@each("masks", [noise(6, (9, 13), 0.5), noise(3, (20, 17), 0.25, 1), blobs(5)], ids=["half", "sparse", "blobs"])
def test_areas_and_boxes_are_those_of_scikit_image(masks: Tensor, connectivity: int) -> None:
    found = regions(masks, connectivity)
    for index, mask in enumerate(masks):
        own = found.owner == index
        ours = sorted((int(area), box) for area, box in zip(found.area[own], found.boxes[own].int().tolist(), strict=True))
        assert ours == by_skimage(mask, connectivity)


@settings(max_examples=40, deadline=None)
@given(st.integers(0, 10_000), st.sampled_from([4, 8]), st.floats(0, 1))
def test_a_stack_is_its_masks_one_by_one(seed: int, connectivity: int, share: float) -> None:
    masks = noise(4, (5, 6), share, seed)
    together, alone = regions(masks, connectivity), [regions(mask[None], connectivity) for mask in masks]
    assert torch.equal(together.boxes, torch.cat([one.boxes for one in alone]))
    assert torch.equal(together.area, torch.cat([one.area for one in alone]))
    assert together.owner.tolist() == [index for index, one in enumerate(alone) for _ in one.owner]
    assert together.area.sum() == masks.sum()


def test_columns_3_to_6_make_the_box_from_3_to_7() -> None:
    mask = torch.zeros(1, 10, 10, dtype=torch.bool)
    mask[0, 2:5, 3:7] = True
    assert regions(mask).boxes.tolist() == [[3, 2, 7, 5]]


def test_a_corner_joins_under_8_and_parts_under_4() -> None:
    mask = torch.eye(3, dtype=torch.bool)[None]
    assert regions(mask, 8).area.tolist() == [3]
    assert regions(mask, 4).area.tolist() == [1, 1, 1]


class TestLargest:
    def test_is_the_box_of_the_most_pixels(self) -> None:
        mask = torch.tensor([[1, 0, 1, 1, 1], [0, 0, 0, 0, 0], [1, 1, 0, 0, 0]]).bool()
        assert largest_component(regions(mask[None]), 1).tolist() == [[2, 0, 5, 1]]

    def test_a_mask_without_regions_has_a_box_of_zeros(self) -> None:
        masks = torch.zeros(3, 4, 4, dtype=torch.bool)
        masks[1, 1, 2] = True
        assert largest_component(regions(masks), 3).tolist() == [[0, 0, 0, 0], [2, 1, 3, 2], [0, 0, 0, 0]]
        assert largest_component(regions(masks[:1]), 1).tolist() == [[0, 0, 0, 0]]

    def test_ties_go_to_the_first_or_the_last_in_raster_order(self) -> None:
        masks = torch.tensor([[[0, 1, 0, 1, 1, 0, 1, 1]], [[1, 0, 0, 0, 0, 0, 0, 1]]]).bool()
        assert largest_component(regions(masks), 2).tolist() == [[3, 0, 5, 1], [0, 0, 1, 1]]
        assert largest_component(regions(masks), 2, ties="last").tolist() == [[6, 0, 8, 1], [7, 0, 8, 1]]

    @settings(max_examples=40, deadline=None)
    @given(st.integers(0, 10_000))
    def test_agrees_with_scikit_image_wherever_one_region_is_largest(self, seed: int) -> None:
        masks = noise(3, (8, 7), 0.4, seed)
        for mask, box in zip(masks, largest_component(regions(masks), 3).int().tolist(), strict=True):
            found = by_skimage(mask, 8)
            most = [box for area, box in found if area == found[-1][0]]
            assert box in most if most else box == [0, 0, 0, 0]


def contours(mask: Tensor) -> list[tuple[float, list[int]]]:
    """Area and box of OpenCV's contours, holes among them."""
    found = cv2.findContours(mask.numpy().astype(np.uint8), cv2.RETR_TREE, cv2.CHAIN_APPROX_SIMPLE)[0]
    boxes = [cv2.boundingRect(one) for one in found]
    return [(cv2.contourArea(one), [x, y, x + w, y + h]) for one, (x, y, w, h) in zip(found, boxes, strict=True)]


class TestOpenCV:
    @pytest.mark.parametrize("masks", [blobs(12), noise(20, (12, 10), 0.6, 3)], ids=["blobs", "noise"])
    def test_the_largest_outline_is_the_largest_contour(self, masks: Tensor) -> None:
        ours = largest_component(outlines(masks), len(masks), ties="last").int().tolist()
        areas = outlines(masks)
        for index, mask in enumerate(masks):
            best = max(contours(mask), key=lambda one: one[0])  # the first of equals, as wsolevaluation takes it
            assert areas.area[areas.owner == index].max() == best[0]
            assert ours[index] == best[1]

    @pytest.mark.parametrize("masks", [blobs(12), noise(20, (12, 10), 0.6, 3)], ids=["blobs", "noise"])
    def test_regions_and_holes_grown_by_one_are_all_contours(self, masks: Tensor) -> None:
        solid, empty = regions(masks), holes(masks)
        assert len(empty.owner) > 0
        for index, mask in enumerate(masks):
            grown = empty.boxes[empty.owner == index] + torch.tensor([-1, -1, 1, 1])
            ours = torch.cat([solid.boxes[solid.owner == index], grown]).int().tolist()
            assert sorted(ours) == sorted(box for _, box in contours(mask))

    def test_an_outline_counts_what_lies_within_it(self) -> None:
        ring = torch.ones(1, 4, 5, dtype=torch.bool)
        ring[0, 1:3, 1:4] = False
        assert outlines(ring).area.tolist() == [12]
        assert outlines(torch.ones(1, 1, 5, dtype=torch.bool)).area.tolist() == [0]
