"""COCO's annotation files: masks as pycocotools decodes them, label, present classes, void."""

from __future__ import annotations

import json
import math
from itertools import pairwise
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from helpers.dataset_layouts import coco as write_coco
from helpers.each import each

from camdbench.core.errors import CamdbenchWarning, SampleError, UsageError
from camdbench.datasets.coco import coco
from camdbench.datasets.coco_masks import mask_of_polygon, mask_of_runs, read_segmentation, runs_of_text


def slow_polygon(polygon: list[float], height: int, width: int) -> np.ndarray:
    """The steps of pycocotools' polygon one by one: points of the outline on a grid of fifths, crossings, parity down the columns."""
    corners = [(int(5 * x + 0.5), int(5 * y + 0.5)) for x, y in zip(polygon[::2], polygon[1::2], strict=True)]
    outline = list[tuple[int, int]]()
    for (xs, ys), (xe, ye) in zip(corners, [*corners[1:], corners[0]], strict=True):
        dx, dy = abs(xe - xs), abs(ye - ys)
        flip = xs > xe if dx >= dy else ys > ye
        if flip:
            xs, ys, xe, ye = xe, ye, xs, ys
        for step in range(max(dx, dy) + 1):
            t = max(dx, dy) - step if flip else step
            if dx == dy == 0:
                outline.append((xs, ys))
            elif dx >= dy:
                outline.append((xs + t, int(ys + (ye - ys) / dx * t + 0.5)))
            else:
                outline.append((int(xs + (xe - xs) / dy * t + 0.5), ys + t))
    crossings = np.zeros(height * width + 1, dtype=int)
    for (u0, v0), (u1, v1) in pairwise(outline):
        x = ((u1 if u1 < u0 else u1 - 1) + 0.5) / 5 - 0.5
        if u1 != u0 and x == math.floor(x) and 0 <= x <= width - 1:
            y = math.ceil(min(max((min(v0, v1) + 0.5) / 5 - 0.5, 0), height))
            crossings[int(x) * height + y] += 1
    mask, inside = np.zeros((height, width), dtype=bool), False
    for place in range(height * width):
        inside ^= bool(crossings[place] % 2)
        mask[place % height, place // height] = inside
    return mask


def test_polygons_are_those_of_a_literal_reading():
    draw = np.random.default_rng(0)
    for trial in range(60):
        height, width = draw.integers(1, 24, 2).tolist()
        points = draw.uniform(-0.2 if trial % 3 == 0 else 0, 1.2, (draw.integers(3, 8), 2)) * [width, height]
        polygon = points.round(trial % 3).ravel().tolist()
        np.testing.assert_array_equal(mask_of_polygon(polygon, (height, width)).numpy(), slow_polygon(polygon, height, width))


@each(  # compressed run lengths that pycocotools 2.0.11 returns
    ("polygon", "text"),
    [
        ([1, 1, 8, 1, 8, 6, 1, 6], ":5400000000000j0"),
        ([0, 0, 10.5, 0.2, 5.3, 8.9], "0181O2N2N1O90E2O1N;"),
        ([2.5, 7.5, 9.1, 2.2, 10.9, 8.7, 4.4, 4.4], "Q1161:0G0O2O13LI"),
        ([-2, 3, 13, 3.6, 6, 12], "3361O1O1O0000000000O1ON"),
        ([5, 1, 6.5, 4, 10, 4.5, 7, 6, 8, 9, 5, 7, 2, 9, 3, 6, 0, 4.5, 3.5, 4], "=181I032O1102OONL03O405"),
    ],
)
def test_polygons_are_those_that_pycocotools_recorded(polygon: list[float], text: str):
    assert torch.equal(mask_of_polygon(polygon, (9, 11)), read_segmentation({"counts": text, "size": [9, 11]}, (9, 11)))


def test_run_lengths_are_read_in_both_forms():
    draw = np.random.default_rng(1)
    for _ in range(40):
        height, width = draw.integers(1, 90, 2).tolist()
        mask = draw.random((height, width)) < draw.random()
        flat = np.concatenate([[False], mask.T.ravel(), [not mask.T.ravel()[-1]]])
        ends = np.flatnonzero(flat[1:] != flat[:-1])
        runs = np.diff(np.concatenate([[0], ends])).tolist()
        assert torch.equal(mask_of_runs(runs, (height, width)), torch.from_numpy(mask))
        assert runs_of_text(text_of(runs)) == runs
        assert runs_of_text(text_of(runs).encode()) == runs


def text_of(runs: list[int]) -> str:
    """Compressed text, written bit by bit: two's complement in groups of five, the lowest first, until only the sign is left."""
    text = ""
    for place, run in enumerate(runs):
        value = run - (runs[place - 2] if place > 2 else 0)
        while True:
            group, value = value & 31, value >> 5
            more = value != (-1 if group & 16 else 0)
            text += chr(48 + group + 32 * more)
            if not more:
                break
    return text


@each(
    ("given", "message"),
    [
        ({"counts": [3, 4], "size": [2, 3]}, r"run lengths sum to 7, not 6"),
        ({"counts": [-1, 7], "size": [2, 3]}, r"cannot be read"),
        ({"counts": "2O8", "size": [3, 2]}, r"of an image of \(3, 2\), the image is \(2, 3\)"),
        ({"counts": "P", "size": [2, 3]}, "ends within a number"),
        ({"size": [2, 3]}, "cannot be read .'counts'"),
        ([[0, 0, 1, 1]], "a polygon of 4 numbers; expected x and y of three points or more"),
        ([[0, 0, 1, 1, "a", 2]], "cannot be read"),
        (7, "cannot be read"),
    ],
)
def test_damaged_segmentations_are_errors_of_their_image(given: Any, message: str):
    with pytest.raises(SampleError, match=message):
        read_segmentation(given, (2, 3))


def entry(image: int, category: int, x: int, y: int, width: int, height: int, **more: Any) -> dict[str, Any]:
    polygon = [x, y, x + width, y, x + width, y + height, x, y + height]
    own = {"bbox": [x, y, width, height], "area": width * height, "iscrowd": 0, "segmentation": [polygon]}
    return {"image_id": image, "category_id": category} | own | more


def test_the_label_has_the_largest_area_and_crowds_are_void(tmp_path: Path):
    write_coco(tmp_path)
    file = tmp_path / "annotations" / "instances_val2017.json"
    content = json.loads(file.read_text(encoding="utf-8"))
    name, height, width = (content["images"][0][key] for key in ("file_name", "height", "width"))
    runs = [0, 2 * height, height * width - 2 * height]
    crowd = {"iscrowd": 1, "area": 10**6, "segmentation": {"counts": runs, "size": [height, width]}}
    content["images"].append({"id": 99, "file_name": "empty.png", "height": 4, "width": 4})
    content["categories"] = [{"id": 90, "name": "owl"}, {"id": 3, "name": "cat"}, {"id": 7, "name": "dog"}]
    content["annotations"] = [
        entry(content["images"][0]["id"], 3, 4, 4, 5, 5),
        entry(content["images"][0]["id"], 90, 10, 2, 6, 7),
        entry(content["images"][0]["id"], 3, 10, 10, 5, 5),
        entry(content["images"][0]["id"], 3, 0, 0, 2, height, **crowd),
        entry(content["images"][0]["id"], 7, 0, 0, 2, height, **crowd),
    ]
    file.write_text(json.dumps(content), encoding="utf-8")
    with pytest.warns(CamdbenchWarning, match="pictures without an instance are left out"):
        data = coco(tmp_path, preprocess="keep")
    assert (list(data.ids), list(data.classes), list(data.labels)) == ([name], ["cat", "dog", "owl"], [0])
    sample = data[0]
    mask, void = torch.zeros(height, width, dtype=torch.bool), torch.zeros(height, width, dtype=torch.bool)
    mask[4:9, 4:9] = mask[10:15, 10:15] = void[:, :2] = True
    assert torch.equal(sample.mask, mask)
    assert torch.equal(sample.void, void)
    assert sample.present.tolist() == [True, True, True]
    assert sample.boxes.tolist() == [[4, 4, 9, 9], [10, 10, 15, 15]]


@each(
    ("change", "message"),
    [
        ("{", "cannot be read as JSON"),
        ("[]", "has no list 'images'; expected COCO's images, annotations and categories"),
        ({"annotations": [{"image_id": -5}]}, "refers to an unknown id"),
        ({"annotations": []}, "no picture has an instance"),
        ({"categories": []}, "refers to an unknown id"),
    ],
)
def test_damaged_files_are_refused(change: Any, message: str, tmp_path: Path):
    write_coco(tmp_path)
    file = tmp_path / "annotations" / "instances_val2017.json"
    text = change if isinstance(change, str) else json.dumps(json.loads(file.read_text(encoding="utf-8")) | change)
    file.write_text(text, encoding="utf-8")
    with pytest.raises(UsageError, match=message):
        coco(tmp_path)
