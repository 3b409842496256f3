"""DeepLIFT and DeepLiftShap: what they add up to, captum where captum is right, and refusals."""

from __future__ import annotations

import pytest
import torch
from captum.attr import DeepLift, DeepLiftShap
from helpers.networks import random_network
from helpers.toys import toy_batch, toy_classifier
from torch import Tensor, nn
from torch.nn import functional as F

from camdbench.core.errors import NotApplicable
from camdbench.datasets.in_memory import make_batch
from camdbench.datasets.samples import Batch
from camdbench.explainers.common.trace import Trace
from camdbench.explainers.deeplift import attributions, deeplift, deepliftshap
from camdbench.functional.seeding import generator_for
from camdbench.models.backward_rules import BackwardRules, rescale_maximum
from camdbench.models.classifier import Classifier

pytestmark = pytest.mark.usefixtures("float64")

quiet = pytest.mark.filterwarnings("ignore:Setting forward, backward hooks", "ignore:Input Tensor")


@quiet
@pytest.mark.parametrize("head", ["gap", "dense"])
@pytest.mark.parametrize("baseline", ["black", "mean"])
def test_is_captums(batch: Batch, head: str, baseline: str) -> None:
    trace = Trace(toy_classifier(head), batch)
    start = torch.zeros_like(batch.images) if baseline == "black" else trace.classifier.mean.expand_as(batch.images)
    reference = DeepLift(trace.classifier).attribute(batch.images.clone().requires_grad_(), start, target=trace.targets).detach()
    torch.testing.assert_close(deeplift(trace, baseline=baseline), reference.sum(1), rtol=1e-3, atol=1e-5)


def _pooling(*layers: nn.Module) -> Trace:
    torch.manual_seed(0)
    network = nn.Sequential(nn.Conv2d(3, 6, 3), *layers, nn.Flatten(), nn.LazyLinear(5))
    network(torch.rand(1, 3, 16, 12))
    return Trace(Classifier(network.eval(), "0", mean=0.4, std=0.3), toy_batch())


def _captums(trace: Trace) -> Tensor:
    images = trace.images.clone().requires_grad_()
    return DeepLift(trace.classifier).attribute(images, torch.zeros_like(images), target=trace.targets).detach()


def test_adds_up_through_windows_that_overlap_and_a_gelu() -> None:
    trace = _pooling(nn.ReLU(), nn.MaxPool2d(3, 2, 1), nn.Conv2d(6, 6, 3), nn.GELU())
    torch.testing.assert_close(deeplift(trace).sum((1, 2)), _gained(trace), rtol=1e-3, atol=1e-4)


@quiet
def test_is_captums_through_windows_that_do_not_overlap() -> None:
    trace = _pooling(nn.MaxPool2d(2), nn.Conv2d(6, 6, 3), nn.Tanh())
    torch.testing.assert_close(deeplift(trace), _captums(trace).sum(1), rtol=1e-3, atol=1e-5)


@quiet
def test_captum_does_not_add_up_through_windows_that_overlap_before_a_relu() -> None:
    trace = _pooling(nn.MaxPool2d(3, 2, 1), nn.ReLU())
    off = (_captums(trace).sum((1, 2, 3)) - _gained(trace)).abs().max()
    assert off > 0.01, "captum has fixed its max pooling: let it be a reference there"
    torch.testing.assert_close(deeplift(trace).sum((1, 2)), _gained(trace), rtol=1e-3, atol=1e-4)


def test_pooled_maxima_are_credited_to_the_places_that_they_come_from() -> None:
    pairs = torch.tensor([[1.0, 4.0, 2.0], [3.0, 0.0, 1.0]])[:, None, None]  # an input, then its reference
    leaf = pairs.clone().requires_grad_()
    with BackwardRules({"max_pool2d": rescale_maximum}):
        pooled = F.max_pool2d(leaf, (1, 2), 1)  # 4, 4 against 3, 1
    gradient = torch.autograd.grad(pooled[0].sum(), leaf)[0][0].flatten()
    assert gradient.tolist() == pytest.approx([0, ((4 - 3) + (4 - 1)) / 4, 0])
    lowered = pairs.flip(0).clone().requires_grad_()
    with BackwardRules({"max_pool2d": rescale_maximum}):
        pooled = F.max_pool2d(lowered, (1, 2), 1)
    gradient = torch.autograd.grad(pooled[0].sum(), lowered)[0][0].flatten()
    assert gradient.tolist() == pytest.approx([0, ((3 - 4) + (1 - 4)) / -4, 0])


@pytest.mark.parametrize("name", ["resnet18", "small_vgg", "densenet121", "squeezenet1_0"])
def test_adds_up_on_real_networks(name: str) -> None:
    trace = _real(name)
    gained = _gained(trace)
    torch.testing.assert_close(deeplift(trace).sum((1, 2)), gained, rtol=0, atol=1e-3 * gained.abs().max().item())


@pytest.mark.parametrize(("name", "word"), [("convnext_tiny", "NativeLayerNorm"), ("efficientnet_b0", "product"), ("small_vit", "")])
def test_is_refused_where_the_rule_says_nothing(name: str, word: str) -> None:
    with pytest.raises(NotApplicable, match=f"deeplift is not defined for.*{word}"):
        deeplift(_real(name, 32))


@quiet
def test_deepliftshap_is_captums_on_the_same_references_and_adds_up(batch: Batch) -> None:
    trace = Trace(toy_classifier("dense"), batch)
    found, expected, starts = deepliftshap(trace, baselines=3), list[Tensor](), list[Tensor]()
    for index in range(4):
        generator = generator_for(0, f"image-{index}", "gradientshap baselines")
        starts.append(torch.stack([torch.rand(batch.images.shape[1:], generator=generator) for _ in range(3)]))
        own = batch.images[index : index + 1].clone().requires_grad_()
        reference = DeepLiftShap(trace.classifier).attribute(own, starts[-1], target=trace.targets[index : index + 1])
        expected.append(reference.detach().sum(1))
    torch.testing.assert_close(found, torch.cat(expected), rtol=1e-3, atol=1e-5)
    with torch.no_grad():
        logits = trace.score(torch.cat(starts)).gather(1, trace.targets.repeat_interleave(3)[:, None])
    torch.testing.assert_close(found.sum((1, 2)), trace.target_logits - logits.reshape(4, 3).mean(1), rtol=1e-6, atol=1e-8)


def test_the_mean_over_references_on_a_linear_model_is_known() -> None:
    network = nn.Sequential(nn.Flatten(), nn.Linear(3, 2, bias=False))
    network[1].weight.data = torch.tensor([[1.0, -2.0, 0.5], [0.0, 0.0, 1.0]])
    image = torch.tensor([1.0, 3.0, 4.0]).reshape(1, 3, 1, 1)
    trace = Trace(Classifier(network, mean=0.0, std=1.0), Batch(("image",), image, torch.tensor([0])))
    found = sum(attributions(trace, torch.full_like(image, value), "deepliftshap") for value in (0.0, 2.0)) / 2
    assert found.flatten().tolist() == pytest.approx([0, -4, 1.5])


def test_passes_are_counted(batch: Batch) -> None:
    trace = Trace(toy_classifier(), batch)
    trace.logits  # noqa: B018 - read so that it is paid for
    before = trace.classifier.passes
    deeplift(trace)
    spent = trace.classifier.passes - before
    assert (spent.forward, spent.backward, spent.total()) == (8, 8, 16)


def _gained(trace: Trace) -> Tensor:
    """The logit of the image less that of black, (B,)."""
    with torch.no_grad():
        black = trace.score(torch.zeros_like(trace.images)).gather(1, trace.targets[:, None]).squeeze(1)
    return trace.target_logits - black


def _real(name: str, side: int = 64) -> Trace:
    classifier = random_network(name)
    images = torch.rand(2, 3, side, side, generator=torch.Generator().manual_seed(2))
    return Trace(classifier, make_batch(images), target=torch.tensor([7, 400]))
