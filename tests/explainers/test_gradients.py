"""Gradients at the pixels against captum, in closed form on linear models, and by a literal reading."""

from __future__ import annotations

import pytest
import torch
from captum.attr import InputXGradient, IntegratedGradients, NoiseTunnel, Saliency
from helpers.toys import SIZE, toy_batch, toy_classifier
from torch import Tensor, nn

from camdbench.datasets.samples import Batch
from camdbench.explainers.common.trace import Trace
from camdbench.explainers.gradients import gradientshap, inputxgradient, integratedgradients, reduce_channels, saliency, smoothgrad, vargrad
from camdbench.functional import pass_size
from camdbench.functional.seeding import generator_for
from camdbench.models.classifier import Classifier


@pytest.fixture
def trace(batch: Batch) -> Trace:
    return Trace(toy_classifier("dense"), batch)


@pytest.fixture
def leaf(batch: Batch) -> Tensor:
    return batch.images.clone().requires_grad_()


@pytest.fixture
def linear() -> tuple[Trace, Tensor]:
    """A linear model's trace, and the weights (B, 3, H, W) of the explained classes."""
    network = nn.Sequential(nn.Flatten(), nn.Linear(3 * SIZE[0] * SIZE[1], 5))
    batch = toy_batch()
    weights = network[1].weight.detach()[batch.labels].reshape(4, 3, *SIZE)
    return Trace(Classifier(network, mean=0.4, std=0.5), batch), weights / 0.5


@pytest.mark.usefixtures("float64")
def test_saliency_is_captums(trace: Trace, leaf: Tensor) -> None:
    reference = Saliency(trace.classifier).attribute(leaf, target=trace.targets, abs=False).detach()
    torch.testing.assert_close(saliency(trace), reference.abs().amax(1))
    torch.testing.assert_close(saliency(trace, channels="sum"), reference.sum(1))
    torch.testing.assert_close(saliency(trace, channels="abs"), reference.abs().sum(1))


@pytest.mark.usefixtures("float64")
def test_inputxgradient_is_captums(trace: Trace, leaf: Tensor) -> None:
    reference = InputXGradient(trace.classifier).attribute(leaf, target=trace.targets).detach()
    torch.testing.assert_close(inputxgradient(trace), reference.sum(1))


@pytest.mark.parametrize("baseline", ["black", "mean"])
def test_integratedgradients_is_captums(trace: Trace, leaf: Tensor, baseline: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(pass_size, "CPU_PIXELS", 3 * 4 * SIZE[0] * SIZE[1])  # chunks of 3 steps
    start = torch.zeros_like(leaf) if baseline == "black" else trace.classifier.mean.expand_as(leaf)
    reference = IntegratedGradients(trace.classifier).attribute(leaf, start, target=trace.targets, n_steps=7).detach()
    torch.testing.assert_close(integratedgradients(trace, steps=7, baseline=baseline), reference.sum(1), rtol=1e-3, atol=1e-5)


def test_integratedgradients_adds_up_to_the_difference_of_the_logits(trace: Trace) -> None:
    black = trace.score(torch.zeros_like(trace.images)).gather(1, trace.targets[:, None]).squeeze(1)
    found = integratedgradients(trace, steps=200).sum((1, 2))
    torch.testing.assert_close(found, (trace.target_logits - black).detach(), rtol=0.02, atol=0.02)


@pytest.mark.usefixtures("float64")
def test_smoothgrad_is_the_mean_of_gradients_at_noisy_images(trace: Trace) -> None:
    total = torch.zeros(4, 3, *SIZE)
    for image in range(4):
        generator = generator_for(0, f"image-{image}", "smoothgrad")
        own = trace.images[image]
        for _ in range(6):
            noisy = own + 0.2 * (own.max() - own.min()) * torch.randn(own.shape, generator=generator)
            noisy = noisy[None].requires_grad_()
            total[image] += torch.autograd.grad(trace.score(noisy)[0, trace.targets[image]], noisy)[0][0]
    torch.testing.assert_close(smoothgrad(trace, samples=6, noise=0.2), (total / 6).abs().amax(1))


def test_smoothgrad_on_a_linear_model_is_its_gradient(linear: tuple[Trace, Tensor]) -> None:
    trace, weights = linear
    torch.testing.assert_close(smoothgrad(trace, samples=3), weights.abs().amax(1))


def noise_of(trace: Trace, samples: int, level: float) -> Tensor:
    """(B, n, 3, H, W), the noise that smoothgrad and vargrad add, drawn again."""
    rows = []
    for index, own in enumerate(trace.images):
        generator = generator_for(0, f"image-{index}", "smoothgrad")
        width = level * (own.max() - own.min())
        rows.append(torch.stack([width * torch.randn(own.shape, generator=generator) for _ in range(samples)]))
    return torch.stack(rows)


@pytest.mark.usefixtures("float64")
@pytest.mark.parametrize("kind", ["smoothgrad", "smoothgrad_sq", "vargrad"])
def test_statistics_of_noisy_gradients_are_captums_on_the_same_noise(trace: Trace, kind: str, monkeypatch: pytest.MonkeyPatch) -> None:
    noise = noise_of(trace, 6, 0.2)
    monkeypatch.setattr(torch, "normal", lambda *_: noise.flatten(0, 1))
    tunnel = NoiseTunnel(Saliency(trace.classifier))
    reference = tunnel.attribute(trace.images, nt_type=kind, nt_samples=6, stdevs=1.0, target=trace.targets, abs=False).detach()
    if kind == "vargrad":
        torch.testing.assert_close(vargrad(trace, samples=6, noise=0.2, compat="captum"), reference.mean(1))
        torch.testing.assert_close(vargrad(trace, samples=6, noise=0.2), reference.mean(1) * 6 / 5)
    else:
        found = smoothgrad(trace, samples=6, noise=0.2, channels="sum", squared=kind == "smoothgrad_sq")
        torch.testing.assert_close(found, reference.sum(1))


class SumOfSquares(nn.Module):
    def forward(self, images: Tensor) -> Tensor:
        return images.square().sum((1, 2, 3))[:, None].expand(-1, 5)


@pytest.mark.usefixtures("float64")
def test_vargrad_of_a_square_is_four_variances_of_the_noise_and_that_of_magnitudes_is_another_quantity() -> None:
    images = torch.zeros(1, 3, 16, 12)
    images[..., -1] = 1  # the range of values
    trace = Trace(Classifier(SumOfSquares(), mean=0.0, std=1.0), Batch(("image-0",), images, torch.tensor([0])))
    found = vargrad(trace, samples=1000)  # sigma 0.15
    assert found.mean().item() == pytest.approx(0.09, rel=0.01)
    assert ((found - 0.09).abs() < 5 * 0.09 * (2 / 3000) ** 0.5).all()
    magnitudes = (2 * noise_of(trace, 1000, 0.15)).abs()[0, ..., :-1]  # at pixels of value 0
    assert magnitudes.var(0).mean().item() == pytest.approx(0.033, abs=5e-4)


def test_vargrad_of_a_linear_model_is_exactly_zero(linear: tuple[Trace, Tensor]) -> None:
    assert not vargrad(linear[0], samples=4).any()


@pytest.mark.parametrize("baseline", ["black", "mean"])
def test_gradientshap_on_a_linear_model_is_exact_for_a_fixed_baseline(linear: tuple[Trace, Tensor], baseline: str) -> None:
    trace, weights = linear
    start = 0 if baseline == "black" else 0.4
    torch.testing.assert_close(gradientshap(trace, samples=3, baseline=baseline), (weights * (trace.images - start)).sum(1))


def test_gradientshap_with_random_baselines_tends_to_the_mean_baseline(linear: tuple[Trace, Tensor]) -> None:
    trace, weights = linear
    expected = (weights * (trace.images - 0.5)).sum(1)  # the mean of a uniform pixel
    spread = weights.square().sum(1).div(12 * 400).sqrt()
    assert ((gradientshap(trace, samples=400) - expected).abs() < 5 * spread).all()


@pytest.mark.usefixtures("float64")
def test_gradientshap_is_the_literal_sum(trace: Trace) -> None:
    own, image = trace.images[1], 1
    draws = {name: generator_for(0, "image-1", f"gradientshap {name}") for name in ("places", "baselines", "noise")}
    total = torch.zeros(3, *SIZE)
    for _ in range(5):
        end = own + 0.1 * torch.randn(own.shape, generator=draws["noise"])
        start = torch.rand(own.shape, generator=draws["baselines"])
        point = (start + torch.rand(1, 1, 1, generator=draws["places"]) * (end - start))[None].requires_grad_()
        total += (end - start) * torch.autograd.grad(trace.score(point)[0, trace.targets[image]], point)[0][0]
    torch.testing.assert_close(gradientshap(trace, samples=5, noise=0.1)[1], total.sum(0) / 5, rtol=1e-4, atol=1e-6)


@pytest.mark.parametrize("method", [smoothgrad, gradientshap, vargrad])
def test_draws_do_not_depend_on_how_many_are_made_at_a_time(trace: Trace, method: type, monkeypatch: pytest.MonkeyPatch) -> None:
    whole = method(trace, samples=7)
    monkeypatch.setattr(pass_size, "CPU_PIXELS", 3 * 4 * SIZE[0] * SIZE[1])
    torch.testing.assert_close(method(trace, samples=7), whole)


def test_passes_are_counted(trace: Trace) -> None:
    trace.logits  # noqa: B018 - read so that it is paid for
    for method, options, passes in ((saliency, {}, 1), (integratedgradients, {"steps": 6}, 6), (smoothgrad, {"samples": 5}, 5)):
        before = trace.classifier.passes
        method(trace, **options)
        spent = trace.classifier.passes - before
        assert (spent.forward, spent.backward, spent.total()) == (4 * passes, 4 * passes, 8 * passes)


def test_colours_are_reduced_as_asked() -> None:
    values = torch.tensor([1.0, -3.0, 0.5]).reshape(1, 3, 1, 1)
    assert [reduce_channels(values, how).item() for how in ("max", "sum", "abs")] == [3.0, -1.5, 4.5]
