"""Controls, worked out by hand."""

from __future__ import annotations

import math

import numpy as np
import pytest
import torch
from helpers.toys import maps_of, toy_batch, toy_classifier
from scipy import ndimage

from camdbench.core.errors import NotApplicable
from camdbench.datasets.samples import Batch
from camdbench.functional.seeding import generator_for


def test_fakecam_is_one_everywhere_but_at_the_top_left_pixel() -> None:
    maps = maps_of(toy_classifier(), toy_batch(2), "fakecam").maps
    assert maps[:, 0, 0].eq(0).all()
    assert maps.sum() == 2 * (16 * 12 - 1)


def test_uniform_is_one_at_every_pixel() -> None:
    assert maps_of(toy_classifier(), toy_batch(2), "uniform").maps.tolist() == np.ones((2, 16, 12)).tolist()


def test_random_draws_each_pixel_from_seed_and_image_id() -> None:
    found = maps_of(toy_classifier(), toy_batch(2), "random", seed=3)
    expected = torch.rand(16, 12, generator=generator_for(3, "image-1", "random"))
    assert torch.equal(found.raw[1], expected)
    assert not torch.equal(found.raw[0], found.raw[1])


def test_random_cells_are_a_coarse_grid() -> None:
    assert maps_of(toy_classifier(), toy_batch(2), "random(cells=3)").raw.shape == (2, 3, 3)


def test_centre_is_a_gaussian_over_the_images_sides() -> None:
    raw = maps_of(toy_classifier(), toy_batch(1), "centre(sigma=0.5)").raw[0]
    assert raw[0, 0].item() == pytest.approx(math.exp(-(0.25 + 0.25) / (2 * 0.25)))  # a corner: half a side away in both directions
    torch.testing.assert_close(raw, raw.flip(0))
    torch.testing.assert_close(raw, raw.flip(1))
    assert raw[7:9, 5:7].min() == raw.max()


def test_edges_are_the_sobel_magnitude_of_the_luminance() -> None:
    batch = toy_batch(2)
    red, green, blue = batch.images.double().numpy().transpose(1, 0, 2, 3)
    for index, grey in enumerate(0.299 * red + 0.587 * green + 0.114 * blue):
        expected = torch.from_numpy(np.hypot(*(ndimage.sobel(grey, axis, mode="nearest") for axis in (0, 1))))
        torch.testing.assert_close(maps_of(toy_classifier(), batch, "edges").raw[index].double(), expected, rtol=1e-5, atol=1e-5)


def test_centre_of_one_pixel_is_no_number_trouble() -> None:
    batch = Batch(("a",), torch.rand(1, 3, 16, 1), torch.tensor([0]))
    assert maps_of(toy_classifier(), batch, "centre").maps.isfinite().all()


def test_gtbox_is_the_union_of_the_boxes_with_the_end_outside() -> None:
    batch = toy_batch(1)
    boxes = torch.tensor([[1.0, 2.0, 4.0, 5.0], [3.0, 4.0, 6.0, 7.0]])  # x0, y0, x1, y1
    mask = maps_of(toy_classifier(), Batch(batch.ids, batch.images, batch.labels, (boxes,)), "gtbox").maps[0]
    expected = torch.zeros(16, 12)
    expected[2:5, 1:4] = 1
    expected[4:7, 3:6] = 1
    assert torch.equal(mask, expected)


def test_gtbox_counts_a_pixel_by_its_centre() -> None:
    batch = toy_batch(1)
    boxes = torch.tensor([[0.6, 0.0, 2.5, 1.0]])  # the centre of the third pixel is at 2.5, where the box has ended
    mask = maps_of(toy_classifier(), Batch(batch.ids, batch.images, batch.labels, (boxes,)), "gtbox").maps[0]
    assert mask[0].tolist() == [0, 1] + [0] * 10
    assert mask[1:].eq(0).all()


def test_gtbox_of_an_image_without_object_is_empty() -> None:
    batch = toy_batch(1)
    mask = maps_of(toy_classifier(), Batch(batch.ids, batch.images, batch.labels, (torch.zeros(0, 4),)), "gtbox").maps
    assert mask.eq(0).all()


def test_gtbox_has_no_meaning_without_boxes() -> None:
    batch = toy_batch(1)
    with pytest.raises(NotApplicable, match="needs ground-truth boxes"):
        maps_of(toy_classifier(), Batch(batch.ids, batch.images, batch.labels), "gtbox")
