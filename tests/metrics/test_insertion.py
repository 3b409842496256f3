"""Insertion and deletion: against a literal reading of RISE's evaluation, torch-cam's metric and Xplique's formula."""

from __future__ import annotations

import copy
import math

import numpy as np
import pytest
import torch
from helpers.each import each
from helpers.other_libraries import GivenCams
from helpers.toys import SIZE, maps_of, toy_batch, toy_classifier
from scipy.ndimage import convolve
from torch import Tensor, nn
from torchcam.metrics import DeletionInsertionMetric

from camdbench.core.errors import NotApplicable
from camdbench.core.registries import metrics
from camdbench.datasets.samples import Batch
from camdbench.explainers.common.trace import Trace
from camdbench.functional.fill_values import rise_kernel
from camdbench.metrics.common.inputs import MetricInputs
from camdbench.metrics.common.result import MetricResult
from camdbench.models.classifier import Classifier
from camdbench.models.pass_counts import PassCounts
from camdbench.models.single_image_norm import with_own_statistics

PIXELS = SIZE[0] * SIZE[1]


def smooth_maps(seed: int = 3) -> Tensor:
    """Maps (4, 16, 12) in [0, 1] without ties."""
    return torch.rand(4, *SIZE, generator=torch.Generator().manual_seed(seed))


def measured(classifier: Classifier, batch: Batch, maps: Tensor, spec: str, inputs: MetricInputs | None = None) -> MetricResult:
    """One metric as a run calls it."""
    checked = metrics.parse_one(spec)
    with classifier.frozen():
        seen = inputs or MetricInputs(classifier, batch.images, batch.labels, maps, ids=batch.ids)
        return metrics.load(checked.name)(seen, **metrics.get(checked.name).arguments(checked))


def rise(classifier: Classifier, image: Tensor, map_: Tensor, mode: str, step: int, *, masking: str) -> list[float]:
    """One image by the words of RISE's paper and code: sort, then show or remove so many pixels, look, and again.

    Masking in the normalised space is done there, by the bare network; masking of pixels in [0, 1].
    """
    normalise = masking == "normalised"
    space = (image - classifier.mean) / classifier.std if normalise else image[None]
    look = classifier.network if normalise else classifier

    def scores(picture: Tensor) -> Tensor:
        with torch.no_grad():
            return look(picture).double().softmax(1)[0]

    kernel = rise_kernel().numpy()
    blurred = torch.from_numpy(np.stack([convolve(channel, kernel, mode="constant") for channel in space[0].double().numpy()])).float()[
        None
    ]
    predicted = int(scores(space).argmax())
    order = np.flip(np.argsort(map_.flatten().numpy(), kind="stable")).copy()
    shown = blurred.clone() if mode == "insertion" else space.clone()
    aim = space if mode == "insertion" else torch.zeros_like(space)
    found = [float(scores(shown)[predicted])]
    for start in range(0, len(order), step):
        places = torch.from_numpy(order[start : start + step])
        shown.flatten(2)[..., places] = aim.flatten(2)[..., places]
        found.append(float(scores(shown)[predicted]))
    return found


@each("mode", ["insertion", "deletion"])
@each(("protocol", "masking"), [("rise", "normalised"), ("opticam", "pixels")])
@each("step", [16, 25])
def test_values_and_curves_are_those_of_a_literal_reading(mode: str, protocol: str, masking: str, step: int) -> None:
    classifier, batch, maps = toy_classifier("dense"), toy_batch(), smooth_maps()
    maps[1] = (maps[1] * 3).round() / 3  # equals, which RISE's sort, made stable, takes from the end
    spec = f"{mode}(protocol={protocol}, step={step}, ties='last')"
    found = measured(classifier, batch, maps, spec)
    for index in range(4):
        expected = rise(classifier, batch.images[index], maps[index], mode, step, masking=masking)
        assert found.curves["curve"].y[index].tolist() == pytest.approx(expected, abs=1e-5)
        shares = [min(step * point, PIXELS) / PIXELS for point in range(len(expected))]
        assert found.curves["curve"].x.tolist() == pytest.approx(shares)
        area = sum((shares[k + 1] - shares[k]) * (expected[k] + expected[k + 1]) / 2 for k in range(len(expected) - 1))
        assert found.values[index].item() == pytest.approx(100 * area, abs=1e-3)
        if step == 16:  # divides the number of pixels, so RISE's own sum is the same number
            rises = (sum(expected) - expected[0] / 2 - expected[-1] / 2) / (len(expected) - 1)
            assert area == pytest.approx(rises)


def test_both_are_those_of_torchcam() -> None:
    classifier, batch, maps = toy_classifier("dense"), toy_batch(), smooth_maps()

    metric = DeletionInsertionMetric(GivenCams(classifier.network, maps), lambda logits: logits.softmax(1))
    metric.update((batch.images - classifier.mean) / classifier.std)
    expected = metric.summary()
    for name in ("deletion", "insertion"):
        values = measured(classifier, batch, maps, f"{name}(protocol=torchcam)").values
        assert values.mean().item() == pytest.approx(100 * expected[f"{name}_auc"], abs=1e-3)


@pytest.mark.parametrize("name", ["deletion", "insertion"])
def test_xpliques_formula(name: str) -> None:
    classifier, batch, maps = toy_classifier(), toy_batch(), (smooth_maps() * 6).round() / 6
    order = np.argsort(maps.flatten(1).numpy(), axis=-1, kind="stable")[:, ::-1]
    start, end = batch.images.numpy().reshape(4, 3, -1), np.zeros((4, 3, PIXELS), np.float32)
    if name == "insertion":
        start, end = end, start
    curve = []
    for step in np.linspace(0, PIXELS, 11, dtype=np.int32):
        images = start.copy()
        for index, places in enumerate(order[:, :step]):
            images[index][:, places] = end[index][:, places]
        with torch.no_grad():
            logits = classifier(torch.from_numpy(images).reshape(4, 3, *SIZE)).double()
        curve.append(logits.softmax(1)[range(4), batch.labels].numpy())
    curve = np.stack(curve, 1)
    found = measured(classifier, batch, maps, f"{name}(protocol=xplique)")
    assert found.curves["curve"].y.tolist() == pytest.approx(curve, abs=1e-5)
    equal = 0.5 * (curve[:, :-1] + curve[:, 1:]).mean(1)  # as if the points were equally distant: 19 or 20 pixels each
    assert found.values.tolist() == pytest.approx((100 * equal).tolist(), abs=0.3)


def test_at_224_pixels_squared_there_are_225_and_29_points() -> None:
    class Mean(nn.Module):
        def forward(self, images: Tensor) -> Tensor:
            return images.mean((2, 3))

    classifier = Classifier(Mean(), mean=0.5, std=0.25)
    batch = Batch(("a",), torch.rand(1, 3, 224, 224), torch.tensor([0]))
    for spec, points in (("insertion", 225), ("deletion(protocol=rise)", 29)):
        found = measured(classifier, batch, torch.rand(1, 224, 224), spec)
        assert len(found.curves["curve"].x) == points


def test_both_together_make_the_passes_that_they_need_and_no_more() -> None:
    classifier, batch, maps = toy_classifier(), toy_batch(), smooth_maps()
    logits = classifier(batch.images).detach()
    classifier.passes = PassCounts()
    inputs = MetricInputs(classifier, batch.images, batch.labels, maps, logits=logits)
    measured(classifier, batch, maps, "insertion(step=16)", inputs)
    assert classifier.passes == PassCounts(forward=4 * (12 - 1) + 4)  # between the ends, and the blurred images
    measured(classifier, batch, maps, "deletion(step=16)", inputs)
    assert classifier.passes == PassCounts(forward=4 * 12 + 4 * (12 - 1) + 1)  # and the black picture, once for all
    measured(classifier, batch, maps, "deletion(step=16)", inputs)
    measured(classifier, batch, maps, "insertion(step=16)", inputs)
    assert classifier.passes == PassCounts(forward=4 * 12 + 4 * 11 + 1)


def test_a_constant_map_has_no_value() -> None:
    maps = smooth_maps()
    maps[2] = 0.4
    for spec in ("insertion(step=16)", "deletion(step=16)"):
        found = measured(toy_classifier(), toy_batch(), maps, spec)
        assert found.values.isnan().tolist() == found.undefined.tolist() == [False, False, True, False]


def test_an_image_of_one_pixel_is_scored() -> None:
    class Pixel(nn.Module):
        def forward(self, images: Tensor) -> Tensor:
            return images[:, :2, 0, 0]

    batch = Batch(("a",), torch.rand(1, 3, 1, 1), torch.tensor([0]))
    found = measured(Classifier(Pixel(), mean=0, std=1), batch, torch.tensor([[[0.5]]]), "deletion")
    assert found.curves["curve"].x.tolist() == [0, 1]
    assert found.undefined.all()  # one pixel is before no other


class TestTheMapsOfCGC:
    def test_batch_norms_take_the_statistics_of_the_image_as_in_train_mode_with_a_batch_of_one(self) -> None:
        classifier, batch = toy_classifier(), toy_batch()
        copied = with_own_statistics(classifier)
        trained = copy.deepcopy(classifier)
        trained.network.norm1.train()
        with torch.no_grad():
            expected = torch.cat([trained(batch.images[index : index + 1]) for index in range(4)])
            torch.testing.assert_close(copied(batch.images), expected)
            assert (classifier(batch.images) - expected).abs().max() > 0.01

    def test_the_curve_follows_them_on_the_network_as_it_is(self) -> None:
        classifier, batch = toy_classifier(), toy_batch()
        with torch.inference_mode(mode=False), classifier.frozen():
            trace = Trace(classifier, batch)

            def explain(images: Tensor, targets: Tensor | None, other: Classifier | None):
                assert other is not classifier
                return maps_of(other, Batch(batch.ids, images, batch.labels), "gradcam")

            inputs = MetricInputs(classifier, batch.images, batch.labels, smooth_maps(), explainer=explain, logits=trace.logits)
            found = measured(classifier, batch, smooth_maps(), "insertion(protocol=cgc, step=16)", inputs)
        own = maps_of(with_own_statistics(classifier), batch, "gradcam").maps
        for index in range(4):
            expected = rise(classifier, batch.images[index], own[index], "insertion", 16, masking="normalised")
            assert found.curves["curve"].y[index].tolist() == pytest.approx(expected, abs=1e-5)

    def test_the_classifier_is_not_touched_and_pays_for_the_maps(self) -> None:
        classifier, batch = toy_classifier(), toy_batch()
        weights, spent = classifier.weights_hash(), []

        def explain(images: Tensor, targets: Tensor | None, other: Classifier | None):
            before = other.passes
            maps = maps_of(other, batch, "gradcam")
            spent.append(other.passes - before)
            return maps

        inputs = MetricInputs(classifier, batch.images, batch.labels, smooth_maps(), explainer=explain)
        passes = classifier.passes
        measured(classifier, batch, smooth_maps(), "deletion(protocol=cgc, step=96)", inputs)
        assert classifier.weights_hash() == weights
        assert (classifier.passes - passes).total() == spent[0].total() + 4 + 4 + 1  # the images, one point, the blank picture
        assert isinstance(classifier.network.norm1, nn.BatchNorm2d)

    def test_maps_of_others_have_none(self) -> None:
        with pytest.raises(NotApplicable, match="no explainer"):
            measured(toy_classifier(), toy_batch(), smooth_maps(), "insertion(protocol=cgc)")

    def test_a_batch_norm_that_does_more_is_refused(self) -> None:
        class Odd(nn.BatchNorm2d):
            pass

        network = nn.Sequential(Odd(3), nn.Flatten(), nn.Linear(3 * 4, 2))
        with pytest.raises(NotApplicable, match="Odd"):
            with_own_statistics(Classifier(network, mean=0, std=1))


def test_a_broken_answer_is_no_perfect_score() -> None:
    class Broken(nn.Module):
        def forward(self, images: Tensor) -> Tensor:
            return torch.where(images.mean((1, 2, 3))[:, None] < 0.2, math.nan, images.mean((2, 3)))

    found = measured(Classifier(Broken(), mean=0, std=1), toy_batch(), smooth_maps(), "deletion(step=16)")
    assert found.values.isnan().all()
    assert not found.undefined.any()
