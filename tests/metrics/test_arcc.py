"""ARCC: golden value, pytorch-grad-cam's combination, shared passes, and negative ROAD."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from helpers.metric_inputs import inputs_of, measure
from helpers.scored_maps import images_of
from helpers.toys import toy_batch, toy_classifier
from pytorch_grad_cam.metrics.arcc import ARCC

from camdbench.functional.coherency import harmonic_mean

OPTIONS = "masking='normalised', scored_output='probability', jitter=0.0001"


def theirs(coherency: float, complexity: float, road: float) -> float:
    """pytorch-grad-cam's combination of three numbers."""
    metric = ARCC(base_method=None)
    metric.coherency = lambda *_: np.array([coherency])
    metric.complexity = lambda *_: np.array([complexity])
    metric.road = lambda *_: np.array([road])
    return float(metric(None, None, None, None)[0])


def test_the_golden_value_is_the_harmonic_mean_and_a_negative_road_has_zero() -> None:
    ours = harmonic_mean(torch.tensor([0.9]), torch.tensor([0.8]), torch.tensor([2 * 0.25])).item()
    assert ours == pytest.approx(0.687898, abs=1e-6)
    assert theirs(0.9, 0.2, 0.25) == pytest.approx(ours, abs=1e-6)
    assert 0 < theirs(0.9, 0.2, -0.1) < 4e-8
    assert harmonic_mean(torch.tensor([0.9]), torch.tensor([0.8]), torch.tensor([0.0])).item() == 0


@pytest.mark.parametrize("explainer", ["gradcam", "layercam", "random"])
def test_it_is_pytorch_grad_cam_s_combination_of_its_coherency_and_complexity_with_our_road(explainer: str) -> None:
    classifier, batch = toy_classifier("dense"), toy_batch()
    with torch.inference_mode(mode=False), classifier.frozen():
        inputs = inputs_of(classifier, batch, explainer)
        road = measure(inputs, f"road(percentages=(20, 60), {OPTIONS})").values.numpy() / 100

        def explain(input_tensor: torch.Tensor, targets: object) -> np.ndarray:
            return inputs.explain(input_tensor * classifier.std + classifier.mean, inputs.targets).maps.double().numpy()

        metric = ARCC(base_method=explain)
        metric.road = lambda *_: road
        masked = (batch.images - classifier.mean) / classifier.std
        expected = metric(masked, inputs.saliency.numpy(), None, None)
        found = measure(inputs, "arcc(percentages=(20, 60))")
    constant = found.undefined.numpy()
    assert not constant.all()
    np.testing.assert_allclose(found.values.numpy()[~constant], 100 * expected[~constant], atol=2e-3)


def test_it_shares_the_imputed_images_and_the_masked_one() -> None:
    """Any other percentages, read-outs and metrics with the same pictures add none."""
    asked = f"road(percentages=(20, 40, 60), {OPTIONS}),coherency"
    assert images_of(f"{asked},arcc(percentages=(20, 60))") == images_of(asked)
    assert images_of(f"{asked},arcc(percentages=(20, 60, 80))") == images_of(asked) + 2 * 2
    assert images_of(f"{asked},arcc(percentages=(20,), scored_output='accuracy', scored_class='target')") == images_of(asked)


def test_a_constant_map_has_no_value() -> None:
    classifier, batch = toy_classifier("dense"), toy_batch()
    with torch.inference_mode(mode=False), classifier.frozen():
        inputs = inputs_of(classifier, batch, lambda images, _targets, _model: torch.full((len(images), 4, 3), 0.5))
        assert measure(inputs, "arcc(percentages=(20,))").undefined.all()
