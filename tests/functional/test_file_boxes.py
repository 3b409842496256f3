"""Numbers of annotation files: their readings, and their way through resize, crop and flip."""

from __future__ import annotations

import pytest
import torch
from helpers.each import each
from PIL import Image

from camdbench.datasets.samples import Batch, Sample
from camdbench.datasets.transforms import Annotations, SpatialTransform
from camdbench.functional.file_boxes import FileBoxes, Placement

CONVENTIONS = [(0, True), (0, False), (1, True), (1, False)]
NUMBERS = [[40.0, 30.0, 59.0, 41.0], [35.0, 36.0, 50.0, 44.0]]


@each(("first", "inclusive"), CONVENTIONS)
@each("how", ["resize256_crop224", "resize224_distort", "short448", "keep"])
def test_a_file_s_boxes_go_the_way_of_the_boxes(how: str, first: int, inclusive: bool) -> None:
    """The library's transform of the exclusive boxes is the placement of the numbers, moved by what the file counts otherwise."""
    own = FileBoxes.of(NUMBERS, first=first, inclusive=inclusive)
    found = SpatialTransform(how, 48).fit(Image.new("RGB", (101, 75)), Annotations.of_file(own)).annotations
    assert found.boxes is not None
    assert found.file_boxes is not None
    assert found.file_boxes.placement is not None
    placed = found.file_boxes.placement.apply(own.exclusive().double())
    torch.testing.assert_close(placed.float(), found.boxes, rtol=1e-6, atol=1e-4)
    batch = Batch.of([Sample("a", torch.zeros(3, 48, 53), 0, found.boxes, file_boxes=found.file_boxes)])
    flipped = batch.mirrored().part(0, 1).to(torch.device("cpu"))
    assert flipped.file_boxes is not None
    assert flipped.boxes is not None
    there = flipped.file_boxes[0].placement
    assert there is not None
    torch.testing.assert_close(there.apply(own.exclusive().double()).float(), flipped.boxes[0], rtol=1e-6, atol=1e-4)
    assert batch.mirrored().mirrored().file_boxes == batch.file_boxes


def test_a_batch_has_the_numbers_of_all_images_or_none() -> None:
    own = FileBoxes.of([], first=0, inclusive=True)
    with_file, without = Sample("a", torch.zeros(3, 2, 2), 0, file_boxes=own), Sample("b", torch.zeros(3, 2, 2), 0)
    assert Batch.of([with_file]).file_boxes == (own,)
    assert Batch.of([with_file, without]).file_boxes is None


@each(
    ("box", "first", "stated", "with_ends", "sliced"),
    [
        ([2, 3, 8, 9], 0, [2, 3, 8, 9], [2, 3, 9, 10], [1, 2, 8, 9]),
        ([2, 3, 8, 9], 1, [1, 2, 7, 8], [1, 2, 8, 9], [1, 2, 8, 9]),
        ([0, 3, 8, 9], 0, [0, 3, 8, 9], [0, 3, 9, 10], None),
        ([3, 0, 8, 9], 0, [3, 0, 8, 9], [3, 0, 9, 10], None),
        ([0, 3, 20, 9], 0, [0, 3, 20, 9], [0, 3, 21, 10], [19, 2, 20, 9]),  # -1 is the last pixel
        ([5, 5, 30, 30], 1, [4, 4, 29, 29], [4, 4, 30, 30], [4, 4, 20, 10]),
    ],
)
def test_readings_of_released_codes(box: list[int], first: int, stated: list[int], with_ends: list[int], sliced: list[int] | None) -> None:
    for inclusive in (True, False):
        own = FileBoxes.of([box], first=first, inclusive=inclusive).placed(Placement((10, 20), (10, 20)))
        assert own.stated().tolist() == [stated]
        assert own.with_ends().tolist() == [with_ends]
        assert own.voc_slices().tolist() == ([] if sliced is None else [sliced])


def test_what_needs_the_image_says_so() -> None:
    own = FileBoxes.of(NUMBERS, first=0, inclusive=True)
    with pytest.raises(ValueError, match="set placement"):
        own.voc_slices()
    with pytest.raises(ValueError, match="set placement"):
        own.flipped(9)
