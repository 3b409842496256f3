"""Options of the data in the spec of a data set, or left for objects and references."""

from __future__ import annotations

from typing import Any

import pytest
from helpers.each import each

from camdbench.core.errors import UsageError
from camdbench.runner.data_options import take_data_options, with_data_options


@each(
    ("given", "spec", "left"),
    [
        ({}, None, {}),
        ({"dataset": "folder", "size": 64, "preprocess": "model"}, 'folder(preprocess="model", size=64)', {}),
        ({"size": 64}, "shortcuts(size=64)", {}),
        ({"dataset": "photos.csv", "columns": {"image": "file"}}, "photos.csv(columns={'image': 'file'})", {}),
        ({"dataset": "a=photos.csv(size=3)", "labels": [1]}, 'photos.csv(name="a", size=3)', {"labels": [1]}),
        ({"dataset": "coco(d/labels.json, size=3)", "images": "x"}, 'd/labels.json(images="x", size=3)', {}),
        ({"dataset": 'coco(instances="d/labels.json", size=3)'}, "d/labels.json(size=3)", {}),
        ({"dataset": 'coco(instances="labels.json")', "data_root": "d"}, 'coco(instances="labels.json")', {}),
        ({"dataset": "mine=nets.py:data(k=3)", "preprocess": "model"}, "mine=nets.py:data(k=3)", {"preprocess": "model"}),
    ],
)
def test_options_go_into_specs_and_stay_beside_references(given: dict[str, Any], spec: str | None, left: dict[str, Any]) -> None:
    found = with_data_options(given, "shortcuts")
    assert take_data_options(found) == left
    assert found.pop("dataset", None) == spec
    assert found == {name: own for name, own in given.items() if name == "data_root"}


def test_what_a_data_set_does_not_have_or_states_itself_is_refused() -> None:
    images = [object()]
    kept = with_data_options({"dataset": images, "labels": [1], "size": None}, "shortcuts")
    assert (kept["dataset"], take_data_options(kept)) == (images, {"labels": [1]})
    for given, default, message in (
        ({"dataset": "folder", "columns": "image=a"}, "shortcuts", "--columns = image=a: data set folder has its own"),
        ({"dataset": "folder(size=3)", "size": 4}, "shortcuts", "--size = 4: --dataset states size=3; state it once"),
        ({"dataset": "a.csv(size=3)", "size": 4}, "shortcuts", "--size = 4: --dataset states size=3; state it once"),
        ({"preprocess": "keep"}, None, "--preprocess = keep: resources hold the data set; give the option to camdbench.data"),
    ):
        with pytest.raises(UsageError, match=message):
            with_data_options(given, default)
