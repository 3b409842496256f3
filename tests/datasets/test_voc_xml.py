"""Boxes in XML: counted from 0 or 1, ends inclusive or not, of the named objects only."""

from __future__ import annotations

from pathlib import Path

import pytest

from camdbench.core.errors import SampleError
from camdbench.datasets.voc_xml import BoxesFromXML, read_boxes


def written(file: Path, *objects: tuple[str, tuple[object, object, object, object]]) -> Path:
    parts = [
        f"<object><name>{name}</name><bndbox><xmin>{x0}</xmin><ymin>{y0}</ymin><xmax>{x1}</xmax><ymax>{y1}</ymax></bndbox></object>"
        for name, (x0, y0, x1, y1) in objects
    ]
    file.write_text(f"<annotation>{''.join(parts)}</annotation>")
    return file


@pytest.mark.parametrize(
    ("first", "inclusive", "box"),
    [(1, True, [1, 2, 10, 20]), (0, True, [2, 3, 11, 21]), (1, False, [1, 2, 9, 19]), (0, False, [2, 3, 10, 20])],
)
def test_edges_become_zero_based_with_exclusive_ends(tmp_path: Path, first: int, inclusive: bool, box: list[int]) -> None:
    file = written(tmp_path / "a.xml", ("dog", (2, 3, 10, 20)), ("cat", (5, 5, 6, 6)))
    found = read_boxes(file, {"dog"}, first=first, inclusive=inclusive)
    assert found.exclusive().tolist() == [box]
    assert found.numbers.tolist() == [[2, 3, 10, 20]]  # as the file states them, whatever the reading


def test_other_objects_leave_no_box(tmp_path: Path) -> None:
    assert read_boxes(written(tmp_path / "a.xml", ("cat", (1, 1, 2, 2))), {"dog"}, first=1).exclusive().shape == (0, 4)


@pytest.mark.parametrize("edge", ["", "wide", "nan"])
def test_an_edge_that_is_no_number_is_an_error_of_the_sample(tmp_path: Path, edge: str) -> None:
    with pytest.raises(SampleError, match=r"a\.xml"):
        read_boxes(written(tmp_path / "a.xml", ("dog", (1, 1, edge, 2))), {"dog"}, first=1)


def test_a_missing_file_is_an_error_or_no_box(tmp_path: Path) -> None:
    boxes = BoxesFromXML((tmp_path / "none.xml",), ("dog",), first=1)
    with pytest.raises(SampleError, match=r"none\.xml"):
        boxes(0)
    found = BoxesFromXML((tmp_path / "none.xml",), ("dog",), first=1, required=False)(0).boxes
    assert found is not None
    assert found.shape == (0, 4)
