"""Class maps: the mask is that of the label, void pixels are apart, and the largest class is the label."""

from __future__ import annotations

from pathlib import Path

import pytest
import torch
from torch import Tensor

from camdbench.core.errors import SampleError
from camdbench.datasets.class_maps import FromClassMaps, VisibleClasses, largest_items, shown_in
from camdbench.datasets.on_disk import ImageRecord

MAP = torch.tensor([[0, 1, 1, 255], [0, 3, 1, 255], [0, 0, 0, 9]], dtype=torch.uint8)  # classes 0 and 2; 9 is beyond the three


def read(file: Path) -> Tensor:
    if file.name == "bad.png":
        raise SampleError("bad.png: cannot be decoded")
    return MAP


def known(label: int, *, several: bool = False) -> FromClassMaps:
    return FromClassMaps(read, (Path("a.png"),), (ImageRecord("a", Path("a.jpg"), label),), count=3, several=several)


def test_mask_box_and_void_are_those_of_the_label() -> None:
    found = known(0)(0)
    assert found.mask is not None
    assert torch.equal(found.mask, MAP == 1)
    assert found.boxes is not None
    assert found.boxes.tolist() == [[1, 0, 3, 2]]
    assert found.void is not None
    assert torch.equal(found.void, MAP == 255)
    assert found.class_map is found.present is None


def test_classes_that_are_present_leave_out_background_void_and_unknown_values() -> None:
    found = known(2, several=True)(0)
    assert found.present is not None
    assert found.present.tolist() == [True, False, True]
    assert torch.equal(found.class_map, MAP)


def test_an_unknown_label_has_an_empty_mask() -> None:
    found = known(-1)(0)
    assert found.mask is not None
    assert not found.mask.any()


def test_the_label_is_the_class_with_the_most_pixels() -> None:
    shown = shown_in(Path("a.png"), read, 3)
    assert shown == VisibleClasses((3, 0, 1))
    assert (shown.classes, shown.largest) == ([0, 2], 0)
    assert VisibleClasses((2, 2)).largest == 0
    assert VisibleClasses((0, 0)).largest == -1


@pytest.mark.parametrize(("file", "label"), [("a.png", 0), ("bad.png", -1)])
def test_an_unreadable_map_leaves_the_label_unknown(file: str, label: int) -> None:
    [item] = largest_items(["x"], Path("pictures"), [shown_in(Path(file), read, 3)])
    assert item == ImageRecord("x", Path("pictures/x.jpg"), label)
