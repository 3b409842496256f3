"""Core regions against maps by autograd, masks on the grid pixel by pixel, and what the paper prints."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
import torch
from helpers.toys import CLASSES, SIZE, toy_batch, toy_classifier
from torch import Tensor

from camdbench.core.errors import NotApplicable
from camdbench.datasets.samples import Batch
from camdbench.explainers.common.trace import Trace
from camdbench.explainers.contrastivecam import contrastivecam
from camdbench.explainers.hirescam import hirescam
from camdbench.functional import core_regions as maths
from camdbench.metrics.common.inputs import MetricInputs
from camdbench.metrics.core_regions import contrastive_iou, core, core_share, noncore, redundancy
from camdbench.models.classifier import Classifier
from camdbench.tables.aggregates import CellData, aggregate

EVERY = (core, noncore, core_share, redundancy, contrastive_iou)


@pytest.fixture
def batch() -> Batch:
    """Objects of four sizes, the first between the centres of the grid's places, so that none is left of it there."""
    batch = toy_batch()
    masks = torch.zeros(4, *SIZE, dtype=torch.bool)
    masks[0, 4, 4] = True
    masks[1, 2:9, 3:6] = masks[2, 0:16, 0:5] = masks[3, 11:12, 1:12] = True
    assert on_grid(masks).any((1, 2)).tolist() == [False, True, True, True]
    return replace(batch, masks=masks)


@pytest.fixture
def classifier() -> Classifier:
    return toy_classifier("gap").requires_grad_(False)


def seen(classifier: Classifier, batch: Batch, *, target: str = "label") -> MetricInputs:
    trace = Trace(classifier, batch, target=target)
    known = {"labels": batch.labels, "masks": batch.masks, "features": trace, "logits": trace.logits}
    return MetricInputs(classifier, batch.images, trace.targets, **known)


def on_grid(masks: Tensor) -> Tensor:
    """The pixel at the centre of each of 8 x 6 places, literally."""
    return torch.stack([torch.stack([masks[:, int((r + 0.5) * 2), int((c + 0.5) * 2)] for c in range(6)], 1) for r in range(8)], 1)


def contrasts(classifier: Classifier, batch: Batch, labels: Tensor) -> Tensor:
    """CAM_t - CAM_c (C, B, h, w), each map by a backward pass of its own."""
    maps = torch.stack([hirescam(Trace(classifier, batch, target=index), relu=False) for index in range(CLASSES)])
    return maps[labels, range(len(labels))] - maps


def test_core_and_noncore_are_sums_over_maps_by_autograd(classifier: Classifier, batch: Batch) -> None:
    sizes, inside = contrasts(classifier, batch, batch.labels).double().abs().sum(0), on_grid(batch.masks)
    evidence = seen(classifier, batch)
    found, rest, share = core(evidence), noncore(evidence), core_share(evidence)
    expected, outside = (sizes * inside).sum((1, 2))[1:], (sizes * ~inside).sum((1, 2))[1:]
    torch.testing.assert_close(found.values[1:], expected, rtol=1e-4, atol=1e-6)
    torch.testing.assert_close(rest.values[1:], outside, rtol=1e-4, atol=1e-6)
    torch.testing.assert_close(share.values[1:], expected / (expected + outside), rtol=1e-4, atol=1e-6)
    for measured in (found, rest, share):
        assert measured.undefined.tolist() == [True, False, False, False]
        assert measured.values[0].isnan()


def test_the_share_of_the_table_is_the_ratio_of_the_means_and_their_parts_are_kept(classifier: Classifier, batch: Batch) -> None:
    evidence = seen(classifier, batch)
    share, inside, outside = core_share(evidence), core(evidence).values[1:].mean(), noncore(evidence).values[1:].mean()
    points = {name: (curve.x.numpy(), curve.y[1:].numpy()) for name, curve in share.curves.items()}
    found = aggregate("ratio of means", CellData(share.values[1:].numpy(), points), np.ones((1, 3)))[0]
    assert found == pytest.approx((inside / (inside + outside)).item())
    assert abs(found - share.values[1:].mean()) > 1e-3


def test_the_published_shares_follow_from_the_published_contributions(monkeypatch: pytest.MonkeyPatch, batch: Batch) -> None:
    """Table 1: Hard-ImageNet 14.817 and 42.138 give .260, Pets 3.925 and 2.150 give .646."""
    printed = maths.Contributions(torch.tensor([14.817, 3.925, 1, 1]).double(), torch.tensor([42.138, 2.150, 0, 1]).double())
    monkeypatch.setattr("camdbench.functional.core_regions.contributions", lambda *_: printed)
    everywhere = replace(batch, masks=torch.ones_like(batch.masks))
    assert core_share(seen(toy_classifier(), everywhere)).values.numpy().round(3).tolist() == [0.26, 0.646, 1, 0.5]


def test_three_metrics_share_one_pass_and_one_sum(classifier: Classifier, batch: Batch, monkeypatch: pytest.MonkeyPatch) -> None:
    calls, real = [], maths.contributions
    monkeypatch.setattr("camdbench.functional.core_regions.contributions", lambda *given: calls.append(1) or real(*given))
    evidence = seen(classifier, batch)
    for metric in (core, noncore, core_share):
        metric(evidence)
    assert len(calls) == 1
    assert classifier.passes.total() == 4


def test_in_the_release_an_object_without_a_place_is_the_whole_image(classifier: Classifier, batch: Batch) -> None:
    evidence = seen(classifier, batch)
    found, rest = core(evidence, empty="whole"), noncore(evidence, empty="whole")
    sizes = contrasts(classifier, batch, batch.labels).double().abs().sum((0, 2, 3))
    torch.testing.assert_close(found.values[0], sizes[0], rtol=1e-4, atol=1e-6)
    assert rest.values[0] == 0
    assert not found.undefined.any()
    torch.testing.assert_close(found.values[1:], core(evidence).values[1:])


def test_redundancy_is_the_ratio_of_norms_of_maps_by_autograd(classifier: Classifier, batch: Batch) -> None:
    maps = torch.stack([hirescam(Trace(classifier, batch, target=index), relu=False) for index in range(CLASSES)])
    expected = maps.mean(0).flatten(1).norm(dim=1) / maps[batch.labels, range(4)].flatten(1).norm(dim=1)
    found = redundancy(seen(classifier, batch))
    torch.testing.assert_close(found.values, expected.double(), rtol=1e-4, atol=1e-6)
    assert not found.undefined.any()


@pytest.mark.parametrize("threshold", [0.01, 0.0, 0.3])
def test_contrastive_iou_is_that_of_the_explainers_map(classifier: Classifier, batch: Batch, threshold: float) -> None:
    maps, inside = contrastivecam(Trace(classifier, batch)) > threshold, on_grid(batch.masks)
    found = contrastive_iou(seen(classifier, batch), threshold=threshold)
    for index in range(1, 4):
        expected = 100 * (maps[index] & inside[index]).sum() / (maps[index] | inside[index]).sum()
        assert found.values[index].item() == pytest.approx(expected.item())
    assert found.undefined.tolist() == [True, False, False, False]


@pytest.mark.parametrize("scaled", [False, True])
def test_pairwise_iou_is_the_mean_over_the_other_classes(classifier: Classifier, batch: Batch, scaled: bool) -> None:
    maps, inside = contrasts(classifier, batch, batch.labels), on_grid(batch.masks)
    found = contrastive_iou(seen(classifier, batch), versus="others", threshold=0.2, maps="range" if scaled else "raw").values
    for index in range(1, 4):
        ratios = list[float]()
        for name in (name for name in range(CLASSES) if name != batch.labels[index]):
            map_ = maps[name, index]
            above = ((map_ - map_.min()) / (map_.max() - map_.min()) if scaled else map_) > 0.2
            ratios.append(((above & inside[index]).sum() / (above | inside[index]).sum()).item())
        assert found[index].item() == pytest.approx(100 * sum(ratios) / len(ratios), abs=1e-4)


def test_half_of_the_range_is_another_threshold(classifier: Classifier, batch: Batch) -> None:
    map_ = contrastivecam(Trace(classifier, batch))[2]
    above, inside = (map_ - map_.min()) / (map_.max() - map_.min()) > 0.5, on_grid(batch.masks)[2]
    found = contrastive_iou(seen(classifier, batch), maps="range", threshold=0.5).values[2]
    assert found.item() == pytest.approx((100 * (above & inside).sum() / (above | inside).sum()).item())


def test_the_class_is_the_label_or_on_request_the_explained_one(classifier: Classifier, batch: Batch) -> None:
    explained = seen(classifier, batch, target="least_likely")
    relabelled = seen(classifier, replace(batch, labels=explained.targets))
    assert not explained.targets.equal(batch.labels)
    for metric in EVERY:
        values = metric(explained, scored_class="target").values
        torch.testing.assert_close(values, metric(relabelled).values, equal_nan=True)
        torch.testing.assert_close(metric(explained).values, metric(seen(classifier, batch)).values, equal_nan=True)
        assert not torch.allclose(values, metric(explained).values, equal_nan=True)


def test_an_unknown_label_is_undefined(classifier: Classifier, batch: Batch) -> None:
    unknown = replace(batch, labels=torch.tensor([0, -1, 2, 3]))
    for metric in EVERY:
        assert metric(seen(classifier, unknown, target="predicted")).undefined[1]


def test_a_dead_layer_has_no_share_and_no_redundancy(classifier: Classifier, batch: Batch) -> None:
    classifier.network.conv2.weight.data.zero_()
    classifier.network.conv2.bias.data.fill_(-1)
    evidence = seen(classifier, batch)
    assert core_share(evidence).undefined.all()
    assert redundancy(evidence).undefined.all()
    assert core(evidence).values[1:].tolist() == [0, 0, 0]
    assert contrastive_iou(evidence).values[1:].tolist() == [0, 0, 0]


@pytest.mark.parametrize("metric", EVERY, ids=lambda metric: metric.__name__)
def test_another_head_is_refused(metric, batch: Batch) -> None:
    with pytest.raises(NotApplicable, match="not global average pooling and a linear layer"):
        metric(seen(toy_classifier("dense").requires_grad_(False), batch))


def test_without_masks_there_is_nothing_to_compare_with(classifier: Classifier, batch: Batch) -> None:
    bare = seen(classifier, replace(batch, masks=None))
    assert redundancy(bare).values.isfinite().all()
    for metric in (core, noncore, core_share, contrastive_iou):
        with pytest.raises(NotApplicable, match="there is none"):
            metric(bare)


def test_half_precision_loses_no_more_than_the_network_did(classifier: Classifier, batch: Batch) -> None:
    evidence = seen(classifier, batch)

    class Halved:
        activations, class_weights = evidence.activations.half(), evidence.class_weights.half()

    class Restored:
        activations, class_weights = Halved.activations.float(), Halved.class_weights.float()

    known = {"logits": evidence.logits, "labels": batch.labels, "masks": batch.masks}
    halved, restored = (
        MetricInputs(classifier, batch.images, evidence.targets, **known, features=features) for features in (Halved(), Restored())
    )
    for metric in (core, noncore, core_share, redundancy):
        torch.testing.assert_close(metric(halved).values, metric(restored).values, rtol=1e-6, atol=0, equal_nan=True)
