"""Readings of insertion and deletion: against walks pixel by pixel, shared passes, and cases without a value."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
import torch
from helpers.scored_maps import images_of, scored
from helpers.toys import SIZE, toy_batch, toy_classifier
from torch import nn

from camdbench.functional.fill_values import rise_blur
from camdbench.models.classifier import Classifier

PIXELS, STEP = SIZE[0] * SIZE[1], 20
MAPS = torch.rand(4, *SIZE, generator=torch.Generator().manual_seed(3))
CLASSIFIER, BATCH = toy_classifier("dense"), toy_batch()
WALKS = ("lead", "normalised_insertion", "normalised_deletion", "sufficient_share", "necessary_share")


def walk(index: int, before: torch.Tensor, after: torch.Tensor) -> tuple[list[float], np.ndarray]:
    """Fractions and probabilities (K, C) while pixels change from one version to the other, most relevant first."""
    order = MAPS[index].flatten().argsort(descending=True, stable=True).tolist()
    shown, fractions, found = before.clone(), list[float](), list[np.ndarray]()
    for count in [*range(0, PIXELS, STEP), PIXELS]:
        for place in order[:count]:
            shown[:, place // SIZE[1], place % SIZE[1]] = after[:, place // SIZE[1], place % SIZE[1]]
        with torch.no_grad():
            found.append(CLASSIFIER(shown[None]).double().softmax(1)[0].numpy())
        fractions.append(count / PIXELS)
    return fractions, np.stack(found)


@pytest.mark.parametrize("index", range(4))
def test_values_are_those_of_a_walk_pixel_by_pixel(index: int) -> None:
    image, label = BATCH.images[index], int(BATCH.labels[index])
    blurred = rise_blur(BATCH.images, torch.zeros(1, 3, 1, 1))[index]
    x, inserted = walk(index, blurred, image)
    _, deleted = walk(index, image, torch.zeros_like(image))
    predicted = int(deleted[0].argmax())
    up, down = inserted[:, predicted], deleted[:, predicted]
    expected = {f"lead(step={STEP})": 100 * (np.trapezoid(up, x) - np.trapezoid(down, x))}
    for name, curve, low, high in (("insertion", up, up[0], up[-1]), ("deletion", down, down[-1], down[0])):
        y = np.clip((curve - low) / (high - low), 0, 1)
        expected[f"normalised_{name}(step={STEP})"] = 100 * np.trapezoid(y, x) if high > low else np.nan
    for options, has in {
        "scored_class='predicted'": lambda row: row.argmax() == predicted,
        "criterion='probability', level=0.7": lambda row: row[label] >= 0.7 * deleted[0][label],
    }.items():
        enough = [share for share, row in zip(x, inserted, strict=True) if has(row)]
        lost = [share for share, row in zip(x, deleted, strict=True) if not has(row)]
        expected[f"sufficient_share(step={STEP}, {options})"] = 100 * enough[0]
        expected[f"necessary_share(step={STEP}, {options})"] = 100 * lost[0] if lost else np.nan
    for spec, value in expected.items():
        assert scored(CLASSIFIER, BATCH, MAPS, spec).values[index].item() == pytest.approx(value, abs=1e-3, nan_ok=True), spec


def test_all_readings_of_one_walk_cost_no_further_pass() -> None:
    own = images_of("insertion(step=16),deletion(step=16)")
    further = ",".join(f"{name}(step=16)" for name in WALKS)
    assert images_of(f"insertion(step=16),deletion(step=16),{further}") == own
    assert images_of(further) == own
    assert images_of("deletion(step=16),deletion(step=16, scored_class='target')") == images_of("deletion(step=16)")


def test_shares_of_a_network_that_sees_one_pixel() -> None:
    """The first pixel alone makes the class; a step is a quarter of the image."""

    class Sees(nn.Module):
        def forward(self, images: torch.Tensor) -> torch.Tensor:
            seen = images[:, 0, 0, 0]
            return torch.stack([seen, torch.full_like(seen, 0.5)], 1)

    images, maps = torch.ones(4, 3, 4, 4), torch.zeros(4, 4, 4)
    maps[0, 0, 0], maps[1, 3], maps[2] = 1, 1, 0.5
    maps[3, 0, 0] = 1
    batch = toy_batch().part(0, 4)
    batch = replace(batch, images=images, labels=torch.tensor([0, 0, 0, 1]))
    for name, start in (("sufficient_share", ", start='blank'"), ("necessary_share", "")):
        found = scored(Classifier(Sees(), mean=0, std=1), batch, maps, f"{name}(step=4{start})")
        assert found.values[:2].tolist() == [25, 50]  # the pixel comes first, or fifth after the last row
        assert found.undefined.tolist() == [False, False, True, True]  # a constant map; the image has another class


def test_a_network_that_answers_the_same_has_no_normalised_curve_and_loses_nothing() -> None:
    still = toy_classifier("dense")
    still.network.head[-1].weight.data.zero_()
    for name in ("normalised_insertion", "normalised_deletion", "necessary_share(scored_class='predicted')"):
        found = scored(still, BATCH, MAPS, name)
        assert found.undefined.all()
        assert found.values.isnan().all()
    assert scored(still, BATCH, MAPS, "lead").values.abs().max() < 1e-9
    assert scored(still, BATCH, MAPS, "sufficient_share(scored_class='predicted')").values.tolist() == [0] * 4


def test_a_broken_answer_is_an_error_and_no_reason() -> None:
    class Broken(nn.Module):
        def forward(self, images: torch.Tensor) -> torch.Tensor:
            return torch.where(images.mean((1, 2, 3))[:, None] < 0.2, torch.nan, images.mean((2, 3)).repeat(1, 2)[:, :5])

    for name in ("lead(step=16)", "normalised_deletion(step=16)", "necessary_share(step=16, scored_class='predicted')"):
        found = scored(Classifier(Broken(), mean=0, std=1), BATCH, MAPS, name)
        assert found.values.isnan().all()
        assert not found.undefined.any(), name
