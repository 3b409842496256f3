"""Expected Grad-CAM against a literal mean over points, and against Grad-CAM."""

from __future__ import annotations

from dataclasses import replace

import pytest
import torch
from helpers.toys import toy_batch, toy_classifier

from camdbench.datasets.samples import Batch
from camdbench.explainers.common.trace import Trace
from camdbench.explainers.expectedgradcam import expectedgradcam
from camdbench.explainers.gradcam import gradcam
from camdbench.functional.seeding import generator_for


def literal(classifier, batch: Batch, samples: int, baseline: str, noise: float, seed: int) -> torch.Tensor:
    """Image by image and point by point: autograd of the class logit by the activations of `relu2`."""
    found = []
    for name, image, label in zip(batch.ids, batch.images, batch.labels.tolist(), strict=True):
        draws = [generator_for(seed, name, f"expectedgradcam {what}") for what in ("places", "baselines", "noise")]
        weights, width = torch.zeros(0, dtype=torch.float64), noise * float(image.max() - image.min())
        for _ in range(samples):
            a = torch.rand(1, generator=draws[0])
            start = torch.rand(image.shape, generator=draws[1])
            if baseline != "noise":
                start = classifier.mean[0] if baseline == "mean" else torch.zeros(3, 1, 1)
            end = image + width * torch.randn(image.shape, generator=draws[2]) if noise else image
            seen = []
            layer = classifier.network.get_submodule(classifier.layer)
            handle = layer.register_forward_hook(lambda _, __, out, seen=seen: seen.append(out))
            with torch.enable_grad():
                logits = classifier((start + a * (end - start))[None].requires_grad_())
                [gradient] = torch.autograd.grad(logits[0, label], seen)
            handle.remove()
            own = gradient[0].double().mean((1, 2))
            weights = own if not len(weights) else weights + own
        activations = Trace(classifier, Batch((name,), image[None], torch.tensor([label]))).activations[0].double()
        found.append((weights[:, None, None] / samples * activations).sum(0))
    return torch.stack(found)


@pytest.mark.parametrize(("baseline", "noise"), [("noise", 0.15), ("mean", 0.0), ("black", 0.3)])
def test_gradients_are_averaged_over_points_between_baselines_and_noisy_copies(baseline: str, noise: float) -> None:
    classifier, batch = toy_classifier("dense").requires_grad_(False), toy_batch(3)
    found = expectedgradcam(Trace(classifier, batch, seed=4), samples=4, baseline=baseline, noise=noise, relu=False)
    expected = literal(classifier, batch, 4, baseline, noise, 4)
    torch.testing.assert_close(found.double(), expected, rtol=1e-4, atol=1e-6)
    rectified = expectedgradcam(Trace(classifier, batch, seed=4), samples=4, baseline=baseline, noise=noise)
    torch.testing.assert_close(rectified, found.relu())
    assert not torch.allclose(found, gradcam(Trace(classifier, batch), relu=False), rtol=1e-2)


def test_it_is_gradcam_on_a_linear_head_and_where_all_points_are_the_image() -> None:
    batch = toy_batch(3)
    linear = toy_classifier("gap").requires_grad_(False)
    torch.testing.assert_close(expectedgradcam(Trace(linear, batch), samples=2), gradcam(Trace(linear, batch)), rtol=1e-4, atol=1e-6)
    dense = toy_classifier("dense").requires_grad_(False)
    black = replace(batch, images=torch.zeros_like(batch.images))
    found = expectedgradcam(Trace(dense, black), samples=2, baseline="black", noise=0.0)
    torch.testing.assert_close(found, gradcam(Trace(dense, black)), rtol=1e-4, atol=1e-6)
