"""What the log says of a split: literal sums, and the benchmark's own metrics."""

from __future__ import annotations

import math

import pytest
import torch
import torch.nn.functional as F
from helpers.steps import toy_step
from helpers.toys import toy_classifier

from camdbench.core.registries import metrics
from camdbench.core.spec import Spec
from camdbench.explainers.common.saliency import saliency
from camdbench.explainers.common.trace import Trace
from camdbench.explainers.contrastivecam import contrastivecam
from camdbench.metrics.common.inputs import MetricInputs
from camdbench.models.classifier import Classifier
from camdbench.trainer.in_memory_split import InMemorySplit
from camdbench.trainer.validation import validate

CPU = torch.device("cpu")


@pytest.fixture
def images() -> InMemorySplit:
    batch = toy_step().batch
    return InMemorySplit((batch.images * 255).round().byte(), batch.labels, tuple("abcde"), "", batch.ids, batch.masks)


def _literal(classifier: Classifier, images: InMemorySplit) -> tuple[list[float], list[float], list[float]]:
    """Overlap, energy and core share of the three images that have a mask."""
    batch = next(images.batches(4))
    overlaps, energies, shares = [], [], []
    with classifier.frozen():
        maps = saliency(Trace(classifier, batch), Spec("gradcam"))
        contrasts = torch.stack([contrastivecam(Trace(classifier, batch), versus=c) for c in range(5)], 1).detach()
    large = F.interpolate(maps.raw[:, None].double(), size=(16, 12), mode="bilinear")[:, 0]
    cells = F.interpolate(batch.masks[:, None].double(), size=(8, 6), mode="nearest-exact")[:, 0]
    for index in range(3):
        cut, mask = maps.maps[index] > 0.5, batch.masks[index]
        overlaps.append(float((cut & mask).sum() / (cut | mask).sum()))
        energies.append(float(large[index][mask].sum() / large[index].sum()))
        size = contrasts[index].abs().sum(0)
        shares.append(float((size * cells[index]).sum() / size.sum()))
    return overlaps, energies, shares


def test_it_is_the_literal_means_over_images_with_a_mask(images: InMemorySplit) -> None:
    classifier = toy_classifier("gap")
    found = validate(classifier, images, device=CPU)
    overlaps, energies, shares = _literal(classifier, images)
    assert found.iou == pytest.approx(sum(overlaps) / 3)
    assert found.energy == pytest.approx(sum(energies) / 3, rel=1e-5)
    assert found.core_share == pytest.approx(sum(shares) / 3, rel=1e-5)


def test_the_core_share_is_the_benchmarks(images: InMemorySplit) -> None:
    classifier, batch = toy_classifier("gap"), next(images.batches(4))
    with classifier.frozen():
        trace = Trace(classifier, batch)
        inputs = MetricInputs(
            classifier, batch.images, batch.labels, torch.zeros(4, 16, 12), masks=batch.masks, labels=batch.labels, features=trace
        )
        values = metrics.load("core_share")(inputs).values
    assert validate(classifier, images, device=CPU).core_share == pytest.approx(float(values[:3].mean()), rel=1e-5)


def test_another_head_has_no_core_share_and_no_masks_no_maps(images: InMemorySplit) -> None:
    found = validate(toy_classifier("dense"), images, device=CPU)
    assert math.isnan(found.core_share)
    assert 0 <= found.iou <= 1
    bare = InMemorySplit(images.pixels, images.labels, images.classes, "", images.ids)
    assert math.isnan(validate(toy_classifier("gap"), bare, device=CPU).energy)


def test_a_network_that_says_nothing_is_no_good(images: InMemorySplit) -> None:
    classifier = toy_classifier("gap")
    with torch.no_grad():
        classifier.network.head[-1].bias.fill_(torch.nan)
    assert math.isnan(validate(classifier, images, device=CPU).loss)
