"""BAM: scaled maps against numpy, the metrics against a literal reading, and runs on shortcuts with two networks."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from helpers.toys import SIZE, toy_batch, toy_classifier

from camdbench.core.errors import NotApplicable
from camdbench.datasets.shortcuts.dataset import shortcuts
from camdbench.explainers.common.saliency import finish
from camdbench.metrics.bam import input_dependence_rate, input_independence_rate, model_contrast_score, scaled
from camdbench.metrics.common import second_network
from camdbench.metrics.common.inputs import MetricInputs
from camdbench.runner.run import run

RAW = torch.randn(4, *SIZE, generator=torch.Generator().manual_seed(1))
OTHER = torch.randn(4, *SIZE, generator=torch.Generator().manual_seed(2))


def literal(raw: np.ndarray) -> np.ndarray:
    positive = np.clip(raw, 0, None).astype(float)
    clipped = np.minimum(positive, np.percentile(positive, 99))
    return (clipped - clipped.min()) / (clipped.max() - clipped.min())


def inputs(labels: torch.Tensor | None = None, **changes: Any) -> MetricInputs:
    """The maps RAW of the images, and OTHER of any altered image or network; all predictions are right unless labels are given."""
    classifier, batch = toy_classifier(), toy_batch()
    said = classifier(batch.images).argmax(1)
    known = {"masks": batch.masks, "labels": said if labels is None else labels, "backgrounds": said, "interventions": batch.interventions}
    given = known | {"raw": RAW, "explainer": lambda images, targets, network: finish(OTHER, SIZE, "range")} | changes
    return MetricInputs(classifier, batch.images, said, finish(RAW, SIZE, "range").maps, **given)


def test_scaled_maps_are_numpys() -> None:
    expected = np.stack([literal(own) for own in RAW.numpy()])
    np.testing.assert_allclose(scaled(RAW, SIZE).numpy(), expected, rtol=1e-5, atol=1e-7)
    assert not scaled(torch.ones(1, *SIZE), SIZE).any()
    assert not scaled(-RAW.abs(), SIZE).any()


def test_mcs_is_the_difference_of_the_means_over_the_object(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(second_network, "_loaded", lambda *_: toy_classifier())
    batch = toy_batch()
    expected = [
        literal(own)[mask].mean() - literal(other)[mask].mean()
        for own, other, mask in zip(RAW.numpy(), OTHER.numpy(), batch.masks.numpy(), strict=True)
    ]
    found = model_contrast_score(inputs(), network="backgrounds")
    np.testing.assert_allclose(found.values.numpy(), expected, rtol=1e-5, atol=1e-6)
    same = inputs(explainer=lambda *_: finish(RAW, SIZE, "range"))
    assert model_contrast_score(same, network="backgrounds").values.abs().max() == 0
    wrong = (toy_classifier()(batch.images).argmax(1) + torch.tensor([0, 1, 0, 0])) % 5
    assert model_contrast_score(inputs(wrong), network="backgrounds").undefined.tolist() == [False, True, False, False]
    assert model_contrast_score(inputs(backgrounds=wrong), network="backgrounds").undefined.tolist() == [False, True, False, False]


def test_idr_asks_whether_the_object_loses_and_equal_maps_count_0() -> None:
    class Alone:
        names = ("background",)

        def __init__(self, image: torch.Tensor) -> None:
            self.image = image

        def __call__(self, name: str) -> torch.Tensor:
            del name
            return self.image

    batch = toy_batch()
    same = tuple(Alone(image) for image in batch.images)  # so that the predictions stay right
    found = input_dependence_rate(inputs(interventions=same)).values.tolist()
    expected = [
        100.0 * (literal(other)[mask].mean() > literal(own)[mask].mean())
        for own, other, mask in zip(RAW.numpy(), OTHER.numpy(), batch.masks.numpy(), strict=True)
    ]
    assert found == expected
    assert set(found) == {0, 100}
    for maps in (RAW, torch.zeros_like(RAW)):
        equal = inputs(interventions=same, raw=maps, explainer=lambda *_, maps=maps: finish(maps, SIZE, "range"))
        assert input_dependence_rate(equal).values.tolist() == [0] * 4


@dataclass(frozen=True)
class Backgrounds:
    """A version without the object."""

    image: torch.Tensor
    names = ("background",)

    def __call__(self, name: str) -> torch.Tensor:
        del name
        return self.image


def independent(*maps: torch.Tensor, labels: torch.Tensor | None = None, steps: int = 3, **options: Any) -> Any:
    """IIR if the explainer returns these raw maps (4, h, w), of the background and of it with the patch, one after another."""
    left = list(maps)
    given = inputs(labels, explainer=lambda *_: finish(left.pop(0), SIZE, "range"), interventions=BACKGROUNDS)
    return input_independence_rate(given, steps=steps, **options)


BACKGROUNDS = tuple(Backgrounds((0.5 + 0.5 * image).clamp(0, 1)) for image in toy_batch().images)
ON_BACKGROUNDS = toy_classifier()(torch.stack([own.image for own in BACKGROUNDS])).argmax(1)


def test_iir_asks_whether_a_patch_moves_the_mean_by_less_than_a_tenth() -> None:
    nearby = RAW * torch.linspace(1, 1.5, SIZE[1])
    found = independent(RAW, nearby, only_right=False).values.tolist()
    masks = toy_batch().masks.numpy()
    expected = []
    for own, other, mask in zip(RAW.numpy(), nearby.numpy(), masks, strict=True):
        before, after = literal(own)[mask].mean(), literal(other)[mask].mean()
        expected.append(100.0 * (abs(before - after) < 0.1 * before))
    assert found == expected
    assert set(found) == {0, 100}


def test_iir_of_equal_maps_is_1_and_of_zero_maps_0() -> None:
    assert independent(RAW, RAW, only_right=False).values.tolist() == [100] * 4
    zero = torch.zeros_like(RAW)
    assert independent(zero, zero, only_right=False).values.tolist() == [0] * 4


def test_iir_is_of_images_that_the_network_gets_right_with_and_without_the_patch() -> None:
    assert not independent(RAW, RAW, labels=ON_BACKGROUNDS, steps=60).undefined.any()
    assert independent(RAW, RAW, labels=(ON_BACKGROUNDS + torch.tensor([0, 1, 0, 0])) % 5, steps=60).undefined.tolist() == [0, 1, 0, 0]
    lost = independent(RAW, RAW, labels=ON_BACKGROUNDS, steps=0, search_dtype="network")  # the object, with which the network may err
    seen = toy_classifier()(torch.where(toy_batch().masks[:, None], toy_batch().images, torch.stack([own.image for own in BACKGROUNDS])))
    assert lost.undefined.tolist() == (seen.argmax(1) != ON_BACKGROUNDS).tolist()


def test_iir_explains_predictions_of_the_background_without_and_with_a_patch_in_the_mask_alone() -> None:
    seen = list[tuple[torch.Tensor, torch.Tensor]]()

    def explain(images: torch.Tensor, targets: torch.Tensor, network: object) -> Any:
        del network
        seen.append((images.clone(), targets.clone()))
        return finish(RAW, SIZE, "range")

    input_independence_rate(inputs(explainer=explain, interventions=BACKGROUNDS), steps=5)
    (alone, first), (patched, second) = seen
    changed = (alone != patched).any(1)
    assert torch.equal(changed & ~toy_batch().masks, torch.zeros_like(changed))
    assert changed[toy_batch().masks].double().mean() > 0.9
    assert torch.equal(first, ON_BACKGROUNDS)
    assert torch.equal(second, toy_classifier()(patched).argmax(1))


def test_what_is_missing_is_named() -> None:
    for metric, options, changes, message in (
        (model_contrast_score, {}, {}, "give network='CHECKPOINT'"),
        (model_contrast_score, {"network": "shortcuts-ce"}, {"backgrounds": None}, "needs the classes of backgrounds"),
        (input_dependence_rate, {}, {"interventions": None}, "needs the images without their objects"),
        (input_independence_rate, {}, {"interventions": None}, "needs the images without their objects"),
    ):
        with pytest.raises(NotApplicable, match=message):
            metric(inputs(**changes), **options)


def test_a_background_of_shortcuts_lacks_the_object_alone() -> None:
    data = shortcuts(size=48, count=4)
    for index in range(4):
        sample = data[index]
        scene = sample.interventions("background")
        changed = (scene != sample.image).any(0)
        assert changed[sample.mask].double().mean() > 0.95
        assert changed[~sample.mask].double().mean() < 0.5  # shadow and rim
        outline = data.scene(index).outline
        assert not changed[torch.from_numpy((outline.cover == 0) & (outline.shadow == 0))].any()


def test_runs_on_shortcuts_with_two_networks(tmp_path: Path) -> None:
    how: dict[str, Any] = {"limit": 4, "explainers": "gradcam", "device": "cpu", "dataset": "shortcuts(size=64)"}
    found = run(metrics=["mcs(network='shortcuts-so')"], out=tmp_path / "mcs", **how)
    assert {*found["status"]} <= {"ok", "undefined"}
    assert "ok" in set(found["status"])  # the background of most images of val is that of the label
    found = run(metrics=["idr", "iir(steps=3)"], out=tmp_path / "idr", **how | {"dataset": "shortcuts(size=64, label='background')"})
    assert {*found["status"]} <= {"ok", "undefined"}
