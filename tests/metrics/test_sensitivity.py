"""Sensitivity against captum and Quantus on the same noise, against the definition in a loop, and where the answer is known."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
import torch
from captum.metrics import sensitivity_max
from helpers.metric_inputs import evidence_of, measure, measured
from helpers.quantus_library import quantus
from helpers.toys import toy_batch, toy_classifier
from torch import Tensor

from camdbench.functional.seeding import generator_for
from camdbench.metrics.common.inputs import MetricInputs
from camdbench.models.classifier import Classifier

SAMPLES = 4


def means(images: Tensor, targets: Tensor, classifier: Classifier) -> Tensor:
    """A map that is linear in the image: the mean of its channels."""
    return images.mean(1)


def noises(evidence: MetricInputs, radius: float) -> Tensor:
    """(B, SAMPLES, 3, H, W), what the metric draws, in the normalised space."""
    found = list[Tensor]()
    for name in evidence.ids:
        generator = generator_for(evidence.seed, name, "sensitivity")
        found.append(torch.stack([2 * torch.rand(evidence.images.shape[1:], generator=generator) - 1 for _ in range(SAMPLES)]))
    return radius * torch.stack(found)


def changes(evidence: MetricInputs, radius: float, *, raw: bool) -> Tensor:
    """(B, SAMPLES) by the definition: ||E(x + e) - E(x)|| / ||E(x)||, one image and one sample at a time."""
    found = torch.empty(len(evidence), SAMPLES, dtype=torch.float64)
    for image, noise in enumerate(noises(evidence, radius)):
        for sample, epsilon in enumerate(noise):
            altered = evidence.images.clone()
            for channel in range(3):
                altered[image, channel] += evidence.classifier.std[0, channel, 0, 0] * epsilon[channel]
            maps = evidence.explain(altered)
            new, old = (maps.raw, evidence.raw) if raw else (maps.maps, evidence.saliency)
            found[image, sample] = torch.linalg.norm((new[image] - old[image]).double()) / torch.linalg.norm(old[image].double())
    return found


@pytest.mark.parametrize("maps", ["raw", "default"])
def test_it_is_the_definition_in_a_loop(classifier: Classifier, maps: str) -> None:
    with classifier.frozen():
        evidence = evidence_of(classifier, toy_batch())
        expected = changes(evidence, 0.2, raw=maps == "raw")
        options = f'(samples={SAMPLES}, maps="{maps}")'
        torch.testing.assert_close(measure(evidence, "max_sensitivity" + options).values, expected.amax(1), rtol=1e-4, atol=1e-5)
        torch.testing.assert_close(measure(evidence, "avg_sensitivity" + options).values, expected.mean(1), rtol=1e-4, atol=1e-5)


def test_captum_finds_the_same_in_the_same_noise() -> None:
    classifier = toy_classifier()
    with classifier.frozen():
        evidence = evidence_of(classifier, toy_batch(1))
        noise = noises(evidence, 0.02)[0]

        def explain(inputs: tuple[Tensor, ...]) -> tuple[Tensor, ...]:
            images = classifier.mean + classifier.std * inputs[0]
            return (torch.cat([evidence.explain(image[None]).raw for image in images]),)

        normalised = (evidence.images - classifier.mean) / classifier.std
        expected = sensitivity_max(
            explain, normalised, perturb_func=lambda inputs, radius: (inputs + noise,), perturb_radius=0.02, n_perturb_samples=SAMPLES
        )
        ours = measure(evidence, f"max_sensitivity(protocol=captum, samples={SAMPLES})").values
    assert ours.item() == pytest.approx(expected.item(), rel=1e-4)
    assert ours.item() > 1e-3


def test_quantus_finds_the_same_in_the_same_noise() -> None:
    classifier = toy_classifier("dense")
    with classifier.frozen():
        evidence = evidence_of(classifier, toy_batch(1))
        draws = iter(noises(evidence, 0.2)[0].double().numpy())

        def explain(model: object, inputs: Any, targets: Any, **_: object) -> Any:
            images = classifier.mean + classifier.std * torch.from_numpy(inputs).float()
            return evidence.explain(images).maps.unsqueeze(1).double().numpy()

        metric = quantus.MaxSensitivity(
            nr_samples=SAMPLES, perturb_func=lambda arr, indices, **_: arr + next(draws).reshape(1, -1), disable_warnings=True
        )
        inputs = ((evidence.images - classifier.mean) / classifier.std).double().numpy()
        maps = evidence.saliency.unsqueeze(1).double().numpy()
        expected = metric(classifier, inputs, np.zeros(1, int), maps, channel_first=True, explain_func=explain)[0]
        ours = measure(evidence, f'max_sensitivity(protocol=quantus, samples={SAMPLES}, maps="default")').values
    assert ours.item() == pytest.approx(expected, rel=1e-4)


def test_a_linear_map_moves_as_far_as_the_noise() -> None:
    batch = toy_batch(1)
    batch.images.fill_(0.5)
    found = measured(toy_classifier(), batch, "max_sensitivity(samples=500, radius=0.3, masking=pixels, maps=raw)", means)
    mean = measured(toy_classifier(), batch, "avg_sensitivity(samples=500, radius=0.3, masking=pixels, maps=raw)", means)
    expected = (0.3**2 / 3 / 3) ** 0.5 / 0.5  # the mean of three channels of noise of variance r^2/3, against 0.5 everywhere
    assert mean.values.item() == pytest.approx(expected, rel=0.01)
    assert expected < found.values.item() < 1.3 * expected


def test_a_map_that_does_not_look_at_the_image_does_not_move() -> None:
    found = measured(toy_classifier(), toy_batch(), "max_sensitivity(samples=3)", "centre")
    assert found.values.tolist() == [0, 0, 0, 0]


def test_random_maps_are_compared_with_the_same_random_numbers() -> None:
    assert measured(toy_classifier(), toy_batch(), "max_sensitivity(samples=3)", "random").values.tolist() == [0, 0, 0, 0]


def test_normalisation_hides_a_change_of_scale() -> None:
    def brightness(images: Tensor, targets: Tensor, classifier: Classifier) -> Tensor:
        ramp = torch.linspace(0, 1, images.shape[-1]).expand(len(images), *images.shape[-2:])
        return ramp * images.mean((1, 2, 3))[:, None, None].relu()

    classifier, batch = toy_classifier(), toy_batch()
    with classifier.frozen():
        evidence = evidence_of(classifier, batch, brightness)
        peaks = evidence.saliency.amax((1, 2), keepdim=True)
        stretched = MetricInputs(
            classifier, batch.images, batch.labels, evidence.saliency / peaks, raw=evidence.raw, ids=batch.ids,
            explainer=lambda images, targets, model: _stretched(evidence.explain(images, targets, model)),
        )  # fmt: skip
        assert measure(stretched, "max_sensitivity").values.tolist() == pytest.approx([0, 0, 0, 0], abs=1e-6)
        assert (measure(stretched, "max_sensitivity(maps=raw)").values > 1e-3).all()


def _stretched(maps: Any) -> Any:
    maps.__dict__["maps"] = maps.maps / maps.maps.amax((1, 2), keepdim=True)
    return maps


def test_a_map_of_zeros_is_undefined_unless_its_norm_counts_as_one() -> None:
    def first_is_dead(images: Tensor, targets: Tensor, classifier: Classifier) -> Tensor:
        return images.mean(1) * (targets > 0)[:, None, None]

    def wakes_up(images: Tensor, targets: Tensor, classifier: Classifier) -> Tensor:
        return (images.mean(1) > 1).float()

    dead = measured(toy_classifier(), toy_batch(), "max_sensitivity(samples=2)", first_is_dead)
    assert dead.undefined.tolist() == [True, False, False, False]
    assert dead.values.isnan().tolist() == [True, False, False, False]
    one = measured(toy_classifier(), toy_batch(), "max_sensitivity(samples=2, zero=one)", first_is_dead)
    assert one.values[0] == 0
    assert not one.undefined.any()
    awake = measured(toy_classifier(), toy_batch(), "max_sensitivity(samples=2, zero=one, radius=5.0)", wakes_up)
    assert (awake.values > 1).all()
    assert measured(toy_classifier(), toy_batch(), "max_sensitivity(samples=2, radius=5.0)", wakes_up).undefined.all()


def test_maps_that_are_not_finite_under_noise_are_an_error_not_undefined() -> None:
    def breaks(images: Tensor, targets: Tensor, classifier: Classifier) -> Tensor:
        return torch.where((images < 0).any(), torch.nan, images.mean(1))

    found = measured(toy_classifier(), toy_batch(), "max_sensitivity(samples=2, radius=5.0, maps=raw)", breaks)
    assert found.values.isnan().all()
    assert not found.undefined.any()


def test_the_two_metrics_share_their_explanations() -> None:
    classifier = toy_classifier()
    with classifier.frozen():
        evidence = evidence_of(classifier, toy_batch())
        measure(evidence, "max_sensitivity(samples=3)")
        before = classifier.passes
        measure(evidence, "avg_sensitivity(samples=3)")
        measure(evidence, "avg_sensitivity(samples=3, maps=raw)")
    assert classifier.passes == before


def test_noise_is_counted_in_the_space_that_is_asked_for() -> None:
    batch = toy_batch()
    small = measured(toy_classifier(), batch, "avg_sensitivity(masking=normalised, maps=raw)", means)
    large = measured(toy_classifier(), batch, "avg_sensitivity(masking=pixels, maps=raw)", means)
    ratio = (large.values / small.values).mean().item()
    assert ratio == pytest.approx((3 / (0.2**2 + 0.25**2 + 0.3**2)) ** 0.5, rel=0.02)
