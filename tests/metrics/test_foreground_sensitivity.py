"""Relative foreground sensitivity against a loop over images, trials and classes, and models that look at one side only."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import numpy as np
import pytest
import torch
from helpers.toys import toy_batch, toy_classifier
from torch import Tensor, nn

from camdbench.core.errors import NotApplicable
from camdbench.datasets.samples import Batch
from camdbench.functional.seeding import generator_for
from camdbench.metrics.common.inputs import MetricInputs
from camdbench.metrics.common.result import MetricResult
from camdbench.metrics.foreground_sensitivity import rfs
from camdbench.models.classifier import Classifier
from camdbench.tables.aggregates import CellData, aggregate

COUNT, SEED = 20, 11


@pytest.fixture
def classifier() -> Classifier:
    """A network that predicts several classes."""
    classifier = toy_classifier("gap").requires_grad_(False)
    classifier.network.head[-1].bias -= classifier(toy_batch(COUNT).images).mean(0)
    return classifier


@pytest.fixture
def batch(classifier: Classifier) -> Batch:
    """Images that are classified rightly as they are, with objects of several sizes."""
    batch, masks = toy_batch(COUNT), torch.zeros(COUNT, 16, 12, dtype=torch.bool)
    for index in range(COUNT):
        masks[index, : 3 + index % 12, : 2 + index % 10] = True
    return replace(batch, masks=masks, labels=classifier(batch.images).argmax(1))


def measured(classifier: Classifier, batch: Batch, **options: Any) -> MetricResult:
    evidence = MetricInputs(classifier, batch.images, batch.labels, labels=batch.labels, masks=batch.masks, ids=batch.ids, seed=SEED)
    return rfs(evidence, **options)


def number(found: MetricResult, labels: Tensor) -> float:
    """The number of the table."""
    kept = ~found.undefined
    points = {name: (curve.x.numpy(), curve.y[kept].numpy()) for name, curve in found.curves.items()}
    cell = CellData(found.values[kept].numpy(), points, labels[kept].numpy())
    return aggregate("relative foreground sensitivity", cell, np.ones((1, int(kept.sum()))))[0]


@pytest.mark.parametrize("noise", ["gaussian", "l2"])
def test_against_a_loop_over_images_trials_and_classes(classifier: Classifier, batch: Batch, noise: str) -> None:
    sigma = {"gaussian": 0.6, "l2": 8.0}[noise]
    right = {side: {label: list[bool]() for label in set(batch.labels.tolist())} for side in ("fg", "bg")}
    for image, mask, label, name in zip(batch.images, batch.masks, batch.labels.tolist(), batch.ids, strict=True):
        generator = generator_for(SEED, name, "rfs")
        for _ in range(4):
            draw = torch.randn(3, 16, 12, generator=generator)
            for side, places in (("fg", mask), ("bg", ~mask)):
                there = draw * places
                there = there / there.square().sum().sqrt() if noise == "l2" else there
                altered = (image + sigma * there).clamp(0, 1)
                right[side][label].append(int(classifier(altered[None]).argmax()) == label)
    f, b = (np.mean([np.mean(own) for own in right[side].values()]) for side in ("fg", "bg"))
    expected = (b - f) / (2 * min((f + b) / 2, 1 - (f + b) / 2))
    found = measured(classifier, batch, sigma=sigma, noise=noise, trials=4)
    assert number(found, batch.labels) == pytest.approx(expected)
    assert 0 < f < 1
    assert 0 < b < 1
    assert not found.undefined.any()


def test_each_images_own_value_is_the_formula_of_its_own_accuracies(classifier: Classifier, batch: Batch) -> None:
    found = measured(classifier, batch, sigma=0.6, trials=4)
    pairs = zip(found.curves["foreground"].y[:, 0].tolist(), found.curves["background"].y[:, 0].tolist(), strict=True)
    for (f, b), value in zip(pairs, found.values.tolist(), strict=True):
        mean = (f + b) / 2
        assert value == pytest.approx(0 if mean in (0, 1) else (b - f) / (2 * min(mean, 1 - mean)))
    assert found.values.unique().numel() > 2


class _Looks(nn.Module):
    """Predicts class 1 where the pixels of one half are as they were, grey, and class 0 where they are not."""

    def __init__(self, half: slice) -> None:
        super().__init__()
        self.half = half

    def forward(self, images: Tensor) -> Tensor:
        moved = (images[..., self.half] - 0.5).abs().amax((1, 2, 3))
        return torch.stack([moved, torch.full_like(moved, 0.1)], 1)


@pytest.mark.parametrize(("half", "expected"), [(slice(0, 6), 1.0), (slice(6, 12), -1.0), (slice(0, 12), 0.0)])
def test_a_model_that_looks_at_one_side_only_is_as_sensitive_as_can_be(half: slice, expected: float) -> None:
    masks = torch.zeros(4, 16, 12, dtype=torch.bool)
    masks[..., :6] = True
    batch = Batch(("a", "b", "c", "d"), torch.full((4, 3, 16, 12), 0.5), torch.ones(4, dtype=torch.long), masks=masks)
    found = measured(Classifier(_Looks(half), mean=0, std=1), batch)
    assert found.values.tolist() == [expected] * 4
    assert number(found, batch.labels) == expected


def test_noise_with_no_place_is_undefined_or_in_the_release_counted(classifier: Classifier, batch: Batch) -> None:
    masks = batch.masks.clone()
    masks[0], masks[1] = False, True
    odd = replace(batch, masks=masks)
    assert measured(classifier, odd).undefined.nonzero().flatten().tolist() == [0, 1]
    for noise in ("gaussian", "l2"):
        found = measured(classifier, odd, empty="counted", noise=noise)
        assert not found.undefined.any()
        assert found.values.isfinite().all()
        assert found.curves["foreground"].y[0] == 1, "an image without noise is classified rightly"
        assert found.curves["background"].y[1] == 1


def test_the_noise_follows_the_seed_and_the_images_name_alone(classifier: Classifier, batch: Batch) -> None:
    def points(of: Batch) -> Tensor:
        return torch.cat([curve.y for curve in measured(classifier, of, sigma=0.6, trials=4).curves.values()], 1)

    whole = points(batch)
    assert torch.equal(whole, torch.cat([points(batch.part(start, start + 7)) for start in range(0, COUNT, 7)]))
    renamed = replace(batch, ids=tuple(f"other-{index}" for index in range(COUNT)))
    assert not torch.equal(whole, points(renamed))


def test_trials_cost_two_passes_each(classifier: Classifier, batch: Batch) -> None:
    passes = classifier.passes
    evidence = MetricInputs(
        classifier, batch.images, batch.labels, logits=torch.zeros(COUNT, 5), labels=batch.labels, masks=batch.masks, ids=batch.ids
    )
    rfs(evidence, trials=5)
    assert (classifier.passes - passes).forward == 10 * COUNT
    rfs(evidence, trials=5, empty="counted")
    assert (classifier.passes - passes).forward == 10 * COUNT, "the same noise is drawn twice"
    rfs(evidence, trials=2)
    assert (classifier.passes - passes).forward == 14 * COUNT


def test_no_masks_no_foreground(classifier: Classifier, batch: Batch) -> None:
    with pytest.raises(NotApplicable, match="there is no mask"):
        measured(classifier, replace(batch, masks=None))


def test_an_unknown_label_is_undefined(classifier: Classifier, batch: Batch) -> None:
    unknown = replace(batch, labels=torch.where(torch.arange(COUNT) == 2, -1, batch.labels))
    assert measured(classifier, unknown).undefined.nonzero().tolist() == [[2]]
