"""The numbers of maps in memory: reductions read literally, beside the mean of the rows, which they are not."""

from __future__ import annotations

import math

import numpy as np
import pytest
import torch
from helpers.toys import SIZE, toy_batch, toy_classifier
from skimage import measure as skimage_measure

from camdbench.runner.evaluate import evaluate

COUNT, LABELS = 7, [0, 1, 2, 3, 4, 0, 0]
BATCH = toy_batch(COUNT)
MAPS = torch.rand(COUNT, 5, 4, generator=torch.Generator().manual_seed(1)) ** 3


def numbers(specs: list[str], maps: torch.Tensor = MAPS, **given: object) -> dict[str, dict[str, float]]:
    """What `evaluate` says of the whole, and the same for batches of 3."""
    given = {"boxes": BATCH.boxes, "masks": BATCH.masks, "normalisation": "range"} | given
    whole, parts = (evaluate(toy_classifier(), BATCH.images, LABELS, maps, specs, batch_size=size, **given) for size in (16, 3))
    for name, number in whole.attrs["numbers"].items():
        assert parts.attrs["numbers"][name] == pytest.approx(number, abs=1e-4, nan_ok=True)
    return whole.attrs["numbers"]


def rows(spec: str, maps: torch.Tensor = MAPS) -> np.ndarray:
    found = evaluate(toy_classifier(), BATCH.images, LABELS, maps, spec, boxes=BATCH.boxes, masks=BATCH.masks, normalisation="range")
    return found["value"].to_numpy()


def hit(saliency: torch.Tensor, box: torch.Tensor, threshold: float) -> bool:
    """Whether the largest region above the threshold overlaps the box by half, by scikit-image."""
    found = skimage_measure.regionprops(skimage_measure.label((saliency > threshold).numpy(), connectivity=2))
    if not found:
        return False
    y0, x0, y1, x1 = max(found, key=lambda region: region.area).bbox
    bx0, by0, bx1, by1 = box.tolist()
    inside = max(0, min(x1, bx1) - max(x0, bx0)) * max(0, min(y1, by1) - max(y0, by0))
    return inside / ((x1 - x0) * (y1 - y0) + (bx1 - bx0) * (by1 - by0) - inside) >= 0.5


def hills() -> torch.Tensor:
    """Maps (B, H, W) from 0 to 1 that fall from the middle of each box, one more steeply than the next."""
    y, x = torch.meshgrid(torch.arange(SIZE[0]) + 0.5, torch.arange(SIZE[1]) + 0.5, indexing="ij")
    middles = [(box[0, :2] + box[0, 2:]) / 2 for box in BATCH.boxes]
    maps = torch.stack([torch.exp(-((x - at[0]) ** 2 + (y - at[1]) ** 2) / (4 + 6 * index)) for index, at in enumerate(middles)])
    low, high = maps.amin((1, 2), keepdim=True), maps.amax((1, 2), keepdim=True)
    return (maps - low) / (high - low)


def test_maxboxacc_is_the_largest_mean_of_any_threshold_and_no_mean_of_rows() -> None:
    maps = hills()
    shares = [np.mean([hit(own, box[0], k / 20) for own, box in zip(maps.double(), BATCH.boxes, strict=True)]) for k in range(20)]
    found = numbers(["maxboxacc(thresholds=20)"], maps)["maxboxacc(thresholds=20)"]
    assert found == {"number": pytest.approx(100 * max(shares)), "n": COUNT, "n_undefined": 0, "n_not_applicable": 0, "n_failed": 0}
    assert found["number"] > rows("maxboxacc(thresholds=20)", maps).mean() + 5


def test_a_mean_is_the_mean_and_a_class_mean_that_of_the_classes() -> None:
    found = numbers(["ad", "pointing(protocol=torchray, tolerance=3.0)"])
    assert found["ad"]["number"] == pytest.approx(rows("ad").mean())
    own = rows("pointing(protocol=torchray, tolerance=3.0)")
    by_class = [own[[index for index, label in enumerate(LABELS) if label == name]].mean() for name in range(5)]
    assert [item["number"] for item in found.values()][1] == pytest.approx(np.mean(by_class))
    assert abs(np.mean(by_class) - own.mean()) > 1


def test_core_share_is_a_ratio_of_means_and_precision_stands_in_per_cent() -> None:
    found = numbers(["core", "noncore", "core_share", "average_precision"])
    core, rest = found["core"]["number"], found["noncore"]["number"]
    assert found["core_share"]["number"] == pytest.approx(core / (core + rest))
    assert 1 < found["average_precision"]["number"] <= 100


def test_images_without_a_value_are_counted() -> None:
    maps = MAPS.clone()
    maps[1], maps[2, 0, 0] = 0, torch.nan
    found = numbers(["insertion(step=8)", "maxboxacc"], maps, boxes=[*BATCH.boxes[:-1], torch.zeros(0, 4)])
    assert {name: item for name, item in found["insertion(step=8)"].items() if name != "number"} == {
        "n": 5,
        "n_undefined": 1,
        "n_not_applicable": 0,
        "n_failed": 1,
    }
    assert found["maxboxacc"]["n"] == 4
    assert found["maxboxacc"]["n_undefined"] == 2


def test_where_nothing_has_a_value_there_is_no_number() -> None:
    found = numbers(["maxboxacc", "ad"], torch.zeros_like(MAPS))
    assert math.isnan(found["maxboxacc"]["number"])
    assert found["maxboxacc"]["n_undefined"] == COUNT
    assert found["ad"]["n"] == COUNT  # a map of zeros is an image without anything
