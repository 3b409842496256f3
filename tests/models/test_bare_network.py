"""Wrappers of torch, networks without gradients and networks without layers: what works, and what is refused by name."""

from __future__ import annotations

import warnings
from collections.abc import Callable
from copy import deepcopy

import pytest
import torch
from helpers.toys import LAYER, toy_batch, toy_classifier
from torch import Tensor, nn

import camdbench
from camdbench.core.errors import CamdbenchWarning, UsageError
from camdbench.models.classifier import Classifier

STATED = {"mean": (0.4, 0.5, 0.6), "std": (0.2, 0.25, 0.3)}
IMAGES = toy_batch(2).images


def in_inference_mode() -> nn.Module:
    network = toy_classifier().network
    with torch.inference_mode():
        return deepcopy(network)


class WithoutGradients(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.inner = toy_classifier().network

    @torch.no_grad()
    def forward(self, images: Tensor) -> Tensor:
        return self.inner(images)


@pytest.mark.parametrize(
    ("wrap", "layer", "notice"),
    [
        (lambda: torch.compile(toy_classifier().network), f"_orig_mod.{LAYER}", "compiled network OptimizedModule"),
        (lambda: nn.DataParallel(toy_classifier().network), LAYER, "parallel network DataParallel"),
        (in_inference_mode, LAYER, "Toy was built inside torch.inference_mode"),
    ],
    ids=["compiled", "parallel", "built in inference mode"],
)
def test_the_network_inside_is_explained_with_a_line(wrap: Callable[[], nn.Module], layer: str, notice: str) -> None:
    network = wrap()
    with pytest.warns(CamdbenchWarning, match=notice):
        classifier = Classifier(network, layer, **STATED)
    assert classifier.layer == LAYER
    assert classifier.weights_hash() == toy_classifier().weights_hash()
    for spec in ("gradcam", "saliency", "rise(masks=8)"):
        expected = camdbench.explain(toy_classifier(), IMAGES, spec, targets=1)
        torch.testing.assert_close(camdbench.explain(classifier, IMAGES, spec, targets=1).raw, expected.raw)


def test_a_network_without_gradients_has_the_maps_that_need_none() -> None:
    classifier = Classifier(WithoutGradients(), f"inner.{LAYER}", **STATED)
    for spec in ("scorecam", "ablationcam", "eigencam", "rise(masks=8)", "occlusion"):
        expected = camdbench.explain(toy_classifier(), IMAGES, spec, targets=1)
        torch.testing.assert_close(camdbench.explain(classifier, IMAGES, spec, targets=1).raw, expected.raw)
    for spec in ("gradcam", "saliency", "opticam", "power(gradcam)"):
        with pytest.raises(UsageError, match=r"explainer .*: needs gradients of custom, but its outputs carry no gradients"):
            camdbench.explain(classifier, IMAGES, spec)


@pytest.mark.filterwarnings("ignore::DeprecationWarning", "ignore::UserWarning", "ignore::FutureWarning")
class TestWithoutLayers:
    """Programs of torch.jit and torch.export: black-box explainers and gradients at the pixels."""

    @pytest.mark.parametrize(
        "make",
        [
            torch.jit.script,
            lambda network: torch.jit.trace(network, IMAGES),
            lambda network: torch.export.export(network, (IMAGES,), dynamic_shapes=({0: torch.export.Dim.DYNAMIC},)).module(),
        ],
        ids=["script", "trace", "export"],
    )
    def test_what_needs_no_layer_works(self, make: Callable[[nn.Module], nn.Module]) -> None:
        classifier = Classifier(make(toy_classifier().network), **STATED)
        for spec in ("saliency", "rise(masks=8)"):
            expected = camdbench.explain(toy_classifier(), IMAGES, spec, targets=1)
            torch.testing.assert_close(camdbench.explain(classifier, IMAGES, spec, targets=1).raw, expected.raw, rtol=1e-4, atol=1e-6)
        with pytest.raises(UsageError, match=r"layers of TorchScript cannot be captured|name one with layer="):
            camdbench.explain(classifier, IMAGES, "gradcam")

    def test_a_layer_of_torchscript_is_refused_at_once(self) -> None:
        with pytest.raises(UsageError, match="layer = relu2: layers of TorchScript cannot be captured"):
            Classifier(torch.jit.script(toy_classifier().network), LAYER, **STATED)

    def test_an_exported_program_and_a_function_are_no_networks(self) -> None:
        program = torch.export.export(toy_classifier().network, (IMAGES,))
        for given, message in ((program, r"ExportedProgram: expected an nn.Module; give its module\(\)"), (len, "expected an nn.Module")):
            with pytest.raises(UsageError, match=message):
                Classifier(given, mean=0, std=1)
        with pytest.raises(UsageError, match=r"fails on an image of shape .*: Guard failed"):
            camdbench.explain(Classifier(program.module(), **STATED), IMAGES, "rise(masks=8)")

    def test_a_quantised_network_is_hashed_and_its_dependence_on_the_batch_is_seen(self) -> None:
        """Dynamic quantisation scales activations by the range of a whole batch."""
        networks = [toy_classifier().network for _ in range(3)]
        networks[2].head[-1].weight.data.mul_(2)
        made = [torch.ao.quantization.quantize_dynamic(one, {nn.Linear}) for one in networks]
        hashes = [Classifier(one, LAYER, **STATED).weights_hash() for one in made]
        assert hashes[0] == hashes[1] != hashes[2]
        alone = Classifier(made[0], LAYER, **STATED, batch_mates="alone")
        assert camdbench.explain(alone, IMAGES, "scorecam").status == ("ok", "ok")


def test_ordinary_networks_are_taken_as_they_are() -> None:
    network = toy_classifier().network
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        assert Classifier(network, LAYER, **STATED).network is network
