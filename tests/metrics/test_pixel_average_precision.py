"""Pixel average precision against scikit-learn's, for one image and over images."""

from __future__ import annotations

import cv2
import numpy as np
import pytest
import torch
from helpers.localisation import evidence_of, measure, random_maps
from helpers.toys import SIZE
from sklearn.metrics import average_precision_score
from torch import Tensor

from camdbench.metrics.common.result import MetricResult
from camdbench.tables.aggregates import CellData, aggregate

MASKS = torch.rand(6, *SIZE, generator=torch.Generator().manual_seed(2)) < 0.2


def table_number(found: MetricResult) -> float:
    """What the summary shows, on the scale of 1."""
    cell = CellData(found.values.numpy(), {part: (curve.x.numpy(), curve.y.numpy()) for part, curve in found.curves.items()})
    return float(aggregate("pixel average precision", cell, np.ones((1, len(found.values))))[0])


@pytest.mark.parametrize("levels", [4, 64])
def test_on_a_grid_of_values_it_is_scikit_learns(levels: int) -> None:
    maps = (random_maps() * levels).round() / levels  # no value falls between thresholds, and all are exact in binary
    found = measure(f"pxap(thresholds={levels})", evidence_of(maps, masks=MASKS))
    theirs = [average_precision_score(mask.flatten().numpy(), values.flatten().numpy()) for values, mask in zip(maps, MASKS, strict=True)]
    assert found.values.tolist() == pytest.approx([100 * value for value in theirs])
    assert table_number(found) == pytest.approx(average_precision_score(MASKS.flatten().numpy(), maps.flatten().numpy()))


def test_points_count_pixels_from_each_threshold_on() -> None:
    maps = random_maps(3)
    found = measure("pxap(thresholds=10)", evidence_of(maps, masks=MASKS[:3]))
    for part, chosen in (("object", MASKS[:3]), ("background", ~MASKS[:3])):
        curve = found.curves[part]
        assert curve.x.tolist() == pytest.approx([k / 10 for k in range(11)])
        for values, mask, counts in zip(maps.double(), chosen, curve.y, strict=True):
            assert counts.tolist() == [int((values[mask] >= k / 10).sum()) for k in range(11)]


def released(maps: list[np.ndarray], masks: Tensor, interval: float) -> float:
    """The histograms over the data set and the area under precision by recall, as wsolevaluation computes them."""
    edges = np.append(np.arange(0, 1, interval), [1.0, 2.0, 3.0])
    hit, miss = np.zeros(len(edges) - 1), np.zeros(len(edges) - 1)
    for values, mask in zip(maps, masks.numpy(), strict=True):
        hit += np.histogram(values[mask], bins=edges)[0]
        miss += np.histogram(values[~mask], bins=edges)[0]
    tp, fp = hit[::-1].cumsum(), miss[::-1].cumsum()
    with np.errstate(invalid="ignore"):
        precision, recall = tp / (tp + fp), tp / hit.sum()
    return float((precision[1:] * np.diff(recall))[(tp + fp != 0)[1:]].sum())


@pytest.mark.parametrize("interval", [0.01, 0.001])
def test_the_clovaai_protocol_is_the_released_code(interval: float) -> None:
    raw = torch.rand(6, 5, 4, generator=torch.Generator().manual_seed(5)) * 3 - 1
    found = measure(f"pxap(protocol='clovaai', thresholds={round(1 / interval)})", evidence_of(random_maps(), raw=raw, masks=MASKS))
    resized = [cv2.resize(one.numpy(), (SIZE[1], SIZE[0]), interpolation=cv2.INTER_CUBIC) for one in raw]
    theirs = released([(one - one.min()) / (one.max() - one.min()) for one in resized], MASKS, interval)
    assert table_number(found) == pytest.approx(theirs, abs=2e-3)  # a value on a threshold may fall to either side by rounding


def test_the_mask_itself_is_perfect_and_a_level_map_scores_the_area() -> None:
    assert measure("pxap", evidence_of(MASKS.float(), masks=MASKS)).values.tolist() == [100] * 6
    found = measure("pxap(constant_map='scored')", evidence_of(torch.zeros(6, *SIZE), masks=MASKS)).values
    assert found.tolist() == pytest.approx((100 * MASKS.double().mean((1, 2))).tolist())


def test_dead_maps_and_empty_masks_have_no_value() -> None:
    masks = MASKS[:2].clone()
    masks[0] = False
    maps = torch.stack([torch.ones(SIZE), torch.zeros(SIZE)])
    assert measure("pxap", evidence_of(maps, masks=masks)).undefined.tolist() == [True, True]
    assert measure("pxap(protocol='clovaai')", evidence_of(maps, masks=masks)).undefined.tolist() == [True, False]
