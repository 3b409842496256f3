"""`camdbench.evaluate`: metrics for maps of another tool."""

from __future__ import annotations

import numpy as np
import pandas as pd
import pytest
import torch
from helpers.toys import SIZE, toy_batch, toy_classifier

from camdbench.core.errors import UsageError
from camdbench.core.registries import parse_metrics
from camdbench.models.classifier import Classifier
from camdbench.models.pass_counts import PassCounts
from camdbench.runner.evaluate import evaluate

LABELS = [0, 1, 2, 3]


@pytest.fixture
def maps() -> torch.Tensor:
    """Random maps at image size."""
    return torch.rand(4, *SIZE, generator=torch.Generator().manual_seed(0))


def test_there_is_one_row_for_each_image_and_metric(classifier: Classifier, maps: torch.Tensor) -> None:
    table = evaluate(classifier, toy_batch().images, LABELS, maps)
    assert list(table.columns) == ["image", "target", "metric", "protocol", "value", "unit", "status", "reason"]
    assert len(table) == 4 * 3
    assert set(table["metric"]) == {"ad", "ag", "ai"}
    assert table.groupby("image")["target"].first().tolist() == LABELS


def test_values_are_those_of_probabilities_worked_out_beside_it(classifier: Classifier, maps: torch.Tensor) -> None:
    images = toy_batch().images
    table = evaluate(classifier, images, LABELS, maps).pivot_table(index="image", columns="metric", values="value")
    with torch.no_grad():
        p, o = (classifier(x).double().softmax(1)[range(4), LABELS] for x in (images, images * maps[:, None]))
    assert table["ad"].tolist() == pytest.approx((100 * (p - o).clamp_min(0) / p).tolist(), abs=1e-4)
    assert table["ag"].tolist() == pytest.approx((100 * (o - p).clamp_min(0) / (1 - p)).tolist(), abs=1e-4)
    assert table["ai"].tolist() == (100.0 * (o > p)).tolist()


def test_all_metrics_share_one_pass_over_the_images_and_one_over_the_masked_images(classifier: Classifier, maps: torch.Tensor) -> None:
    evaluate(classifier, toy_batch().images, LABELS, maps, ["ad", "ag", "ai", "ai(tolerance=0.1)"])
    assert classifier.passes == PassCounts(forward=8)


def test_the_batch_size_changes_neither_values_nor_order(classifier: Classifier, maps: torch.Tensor) -> None:
    whole, parts = (evaluate(classifier, toy_batch().images, LABELS, maps, batch_size=size) for size in (16, 3))
    assert whole.drop(columns="value").equals(parts.drop(columns="value"))
    assert whole["value"].tolist() == pytest.approx(parts["value"].tolist(), abs=1e-4)


def test_small_maps_are_brought_to_image_size_and_signed_ones_normalised_on_request(classifier: Classifier) -> None:
    raw = torch.randn(4, 4, 3, generator=torch.Generator().manual_seed(0))
    up = torch.nn.functional.interpolate(raw[:, None], SIZE, mode="bilinear")[:, 0]
    low, high = up.amin((1, 2), keepdim=True), up.amax((1, 2), keepdim=True)
    expected = evaluate(classifier, toy_batch().images, LABELS, (up - low) / (high - low))
    found = evaluate(classifier, toy_batch().images, LABELS, raw, normalisation="range")
    assert found["value"].tolist() == pytest.approx(expected["value"].tolist(), abs=1e-3)


def test_the_model_is_left_in_its_mode(classifier: Classifier, maps: torch.Tensor) -> None:
    expected = evaluate(classifier, toy_batch().images, LABELS, maps)
    found = evaluate(classifier.train(), toy_batch().images, LABELS, maps)
    assert classifier.training
    assert classifier.network.norm1.training
    assert found.equals(expected)


def test_arrays_of_numpy_and_lists_of_boxes_are_taken(classifier: Classifier, maps: torch.Tensor) -> None:
    boxes = [[1, 2, 9, 8]]
    expected = evaluate(classifier, toy_batch().images, LABELS, maps, "ad,ch", boxes=[torch.tensor(boxes)] * 4)
    assert evaluate(classifier, toy_batch().images, LABELS, maps.numpy(), "ad,ch", boxes=[boxes] * 4).equals(expected)


@pytest.mark.parametrize("broken", [torch.nan, torch.inf])
def test_a_map_that_is_not_finite_costs_its_own_rows_only(classifier: Classifier, maps: torch.Tensor, broken: float) -> None:
    expected = evaluate(classifier, toy_batch().images, LABELS, maps, "ad")
    maps[1, 2, 3] = broken
    found = evaluate(classifier, toy_batch().images, LABELS, maps, "ad")
    assert found["status"].tolist() == ["ok", "error", "ok", "ok"]
    assert found["value"].drop(1).tolist() == pytest.approx(expected["value"].drop(1).tolist(), abs=1e-4)


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"saliency": torch.rand(3, *SIZE)}, r"saliency of shape \(3, 16, 12\): 4 images"),
        ({"saliency": torch.rand(4, 2, *SIZE)}, r"expected \(4, h, w\)"),
        ({"saliency": torch.rand(*SIZE)}, r"saliency of shape \(16, 12\): 4 images"),
        ({"saliency": torch.rand(4, *SIZE, dtype=torch.complex64)}, "saliency are torch.complex64"),
        ({"saliency": "maps.npy"}, "saliency = str: holds str; expected a tensor"),
        ({"saliency": torch.full((4, *SIZE), 1.5)}, "or give normalisation='range'"),
        ({"saliency": torch.full((4, *SIZE), torch.nan)}, "saliency has values from nan"),
        ({"saliency": torch.zeros(4, 0, 3)}, r"saliency of shape \(4, 0, 3\): 4 images"),
        ({"normalisation": "ranje"}, "no normalisation 'ranje'; did you mean 'range'"),
        ({"batch_size": 0}, "batch_size = 0: expected 1 or more"),
        ({"metrics": "ch", "boxes": [[[3, 3, 9, 9], [9, 9, 2, 2]]] * 4}, r"the box \[9, 9, 2, 2\] is empty"),
        ({"metrics": "ch", "boxes": [torch.tensor([[0, 0, 5, torch.nan]])] * 4}, "is empty"),
        ({"labels": [0, 1]}, "2 labels for 4 images"),
        ({"labels": [0, 1, 2, 5]}, "an image has label 5, but the model has classes 0 to 4"),
        ({"labels": [0, 1, 2, -1]}, "an image has label -1, but the model has classes 0 to 4"),
        ({"labels": [0, 1, 2, True]}, "labels are bool"),
        ({"labels": [0, 1, 2, 0.5]}, "labels are float64; expected class indices"),
        ({"labels": ["a", "b", "c", "d"]}, "'a' is a class name, but the model has no class_names"),
        ({"metrics": "adc"}, "no metric 'adc'; did you mean 'adcc' or "),
        ({"metrics": ["ad", "ad"]}, "metric ad is named twice"),
        ({"metrics": "grid_pointing"}, "metric grid_pointing: needs mosaics of several images; use the data set grid"),
        ({"metrics": "ai(tolerance=-1.0)"}, r"ai\(tolerance=-1.0\)"),
    ],
    ids=lambda value: str(value)[:40] if isinstance(value, str) else "",
)
def test_what_cannot_be_scored_is_refused_with_the_fix(maps: torch.Tensor, change: dict[str, object], message: str) -> None:
    given = {"images": toy_batch().images, "labels": LABELS, "saliency": maps} | change
    with pytest.raises(UsageError, match=message):
        evaluate(toy_classifier(), **given)


@pytest.mark.filterwarnings("ignore:.*its curve has:camdbench.core.errors.CamdbenchWarning")
def test_all_metrics_are_those_that_the_maps_allow_and_the_others_have_their_reason(maps: torch.Tensor) -> None:
    classifier, batch = toy_classifier("gap"), toy_batch()
    plain = evaluate(classifier, batch.images, LABELS, maps, "all")
    left = plain.attrs["left_out"]
    assert left["adcc"] == "needs an explainer: there is none behind given maps"
    assert left["om"] == "needs boxes: give boxes="
    assert left["iou"] == "needs masks: give masks="
    assert {"ad", "insertion", "accuracy"} <= set(plain["metric"])
    assert not set(left) & set(plain["metric"])
    assert set(left) | set(plain["metric"]) == {str(spec) for spec in parse_metrics("all", ("boxes", "masks"))}
    annotated = evaluate(classifier, batch.images, LABELS, maps, ["om", "all"], boxes=batch.boxes, masks=batch.masks)
    assert all("explainer" in reason for reason in annotated.attrs["left_out"].values())
    assert {"om", "iou"} <= set(annotated["metric"])
    assert evaluate(classifier, batch.images, LABELS, maps).attrs["left_out"] == {}
    fewer = evaluate(classifier, batch.images, LABELS, maps, "all,-om,-ad")
    assert (set(left) - set(fewer.attrs["left_out"]), set(plain["metric"]) - set(fewer["metric"])) == ({"om"}, {"ad"})


def test_images_and_masks_may_be_arrays_and_nonsense_is_said(maps: torch.Tensor) -> None:
    batch = toy_batch()
    expected = evaluate(toy_classifier(), batch.images, LABELS, maps, "ad,iou", masks=batch.masks)
    assert evaluate(toy_classifier(), batch.images.numpy(), LABELS, maps.numpy(), "ad,iou", masks=batch.masks.numpy()).equals(expected)
    flipped = np.ascontiguousarray(maps.numpy()[:, ::-1])[:, ::-1]
    for own in (maps[:, None], list(maps.numpy()), [one[None] for one in maps], flipped, pd.Series(list(maps.numpy()))):
        assert evaluate(toy_classifier(), batch.images, LABELS, own, "ad,iou", masks=batch.masks).equals(expected)
    for images, message in (([[1.0]], r"images have shape \(1, 1\)"), (["a.png"], "images = list: holds str; expected a tensor")):
        with pytest.raises(UsageError, match=message):
            evaluate(toy_classifier(), images, LABELS, maps)
