"""Explainers `captum:NAME`: Captum called directly, our own methods and identities beside them, and its whole list of names."""

# ruff: noqa: NPY002 - the global generator is the one that Captum draws from
from __future__ import annotations

import random
import re
from typing import Any

import captum.attr
import numpy as np
import pytest
import torch
from helpers.each import each
from helpers.toys import maps_of, toy_batch, toy_classifier
from torch import Tensor

import camdbench
from camdbench.core.captum_unsupported import UNSUPPORTED
from camdbench.core.errors import UsageError
from camdbench.core.registries import explainers, parse_explainers
from camdbench.explainers.common.captum_inputs import baselines, features
from camdbench.explainers.common.captum_methods import captum_class
from camdbench.explainers.common.foreign_objects import explainer_from_object
from camdbench.explainers.common.trace import Trace
from camdbench.models.classifier import Classifier

pytestmark = [pytest.mark.usefixtures("float64"), pytest.mark.filterwarnings("ignore")]

NAMES = [name.removeprefix("captum:") for name in explainers.names() if name.startswith("captum:")]
STEPS, FEW, BASELINES = {"n_steps": 4}, {"n_samples": 4}, {"n_samples": 3, "stdevs": 0.1, "n_baselines": 2}
WINDOW = {"sliding_window_shapes": (3, 4, 4), "strides": (3, 4, 4)}
# Options here, and the arguments of `attribute` that they stand for.
OPTIONS: dict[str, tuple[str, dict[str, Any]]] = {
    "IntegratedGradients": ("n_steps=4", STEPS),
    "LayerIntegratedGradients": ("n_steps=4", STEPS),
    "LayerConductance": ("n_steps=4", STEPS),
    "InternalInfluence": ("n_steps=4", STEPS),
    "DeepLiftShap": ("n_baselines=2", {}),
    "LayerDeepLiftShap": ("n_baselines=2", {}),
    "GradientShap": ("n_samples=3, stdevs=0.1, n_baselines=2", {"n_samples": 3, "stdevs": 0.1}),
    "LayerGradientShap": ("n_samples=3, stdevs=0.1, n_baselines=2", {"n_samples": 3, "stdevs": 0.1}),
    "NoiseTunnel": (
        'method="InputXGradient", nt_type="vargrad", nt_samples=4, stdevs=0.1',
        {"nt_type": "vargrad", "nt_samples": 4, "stdevs": 0.1},
    ),
    "Occlusion": ("sliding_window_shapes=4, strides=4", WINDOW),
    "FeatureAblation": ("cells=3", {}),
    "ShapleyValueSampling": ("n_samples=2, cells=3", {"n_samples": 2}),
    "Lime": ("n_samples=30, cells=2", {"n_samples": 30}),
    "KernelShap": ("n_samples=30, cells=2", {"n_samples": 30}),
    "LayerLRP": ('layer="conv2"', {}),
    "LayerFeatureAblation": ("", {"layer_mask": torch.arange(48).reshape(1, 1, 8, 6).expand(1, 8, 8, 6)}),
    "GuidedGradCam": ('interpolate_mode="bilinear"', {"interpolate_mode": "bilinear"}),
    "Saliency": ("", {"abs": False}),
}
SEGMENTED = ("FeatureAblation", "ShapleyValueSampling", "Lime", "KernelShap")
BLACK = ("IntegratedGradients", "DeepLift", "LayerIntegratedGradients", "LayerConductance", "InternalInfluence", "LayerDeepLift")


def spec_of(name: str) -> str:
    options = OPTIONS.get(name, ("", {}))[0]
    return f"captum:{name}({options})" if options else f"captum:{name}"


def direct(trace: Trace, name: str, index: int) -> Tensor:
    """What Captum gives for one image alone, seeded as here: attributions (1, C, h, w)."""
    classifier, method = trace.classifier, getattr(captum.attr, name)
    image, given = trace.images[index : index + 1].clone(), dict(OPTIONS.get(name, ("", {}))[1])
    owner = classifier.network if "LRP" in name else classifier
    module = classifier.module("conv2" if name == "LayerLRP" else "relu2")
    if name in BLACK:
        given["baselines"] = torch.zeros_like(image)
    if name.endswith(("DeepLiftShap", "GradientShap")):
        given |= baselines("noise", 2)(trace, index)
    if name in SEGMENTED:
        side = 3 if name.startswith(("Feature", "Shapley")) else 2
        rows, columns = torch.arange(16) * side // 16, torch.arange(12) * side // 12
        given["feature_mask"] = (rows[:, None] * side + columns).repeat(1, 3, 1, 1)
    if "LRP" in name:
        image = (image - classifier.mean) / classifier.std
        classifier.network.head[1] = torch.nn.Unflatten(1, (8,))  # Captum has no rule for Flatten
        classifier.network.head[1].rule = captum.attr._utils.lrp_rules.EpsilonRule()
        classifier.network.head[1].forward = lambda values: values.flatten(1)
    if name != "LayerActivation":
        given["target"] = trace.targets[index : index + 1]
    seed = trace.random(index, f"captum:{name}").initial_seed() % 2**32
    np.random.seed(seed), random.seed(seed), torch.manual_seed(seed)
    if name == "NoiseTunnel":
        found = method(captum.attr.InputXGradient(classifier)).attribute(image, **given)
    else:
        at = [module] if name.startswith(("Layer", "Internal", "GuidedGradCam")) else []
        found = method(owner, *at).attribute(image.requires_grad_(), **given)
    return (found[0] if isinstance(found, tuple) else found).detach()


@each("name", NAMES)
def test_is_what_captum_gives_for_the_image_alone(name: str) -> None:
    classifier, batch = toy_classifier(), toy_batch(3)
    classifier.network.relu1.inplace = False  # hooks of Captum need the inputs of modules
    found = maps_of(classifier, batch, spec_of(name)).raw
    default = explainers.get(f"captum:{name}").defaults().get("channels")
    with classifier.frozen():
        trace = Trace(toy_classifier().requires_grad_(False), batch)
        trace.classifier.network.relu1.inplace = False
        grid = direct(trace, name, 2)
    reduced = {"sum": grid.sum(1), "abs": grid.abs().sum(1), "max": grid.abs().amax(1), None: grid[:, 0]}[default]
    torch.testing.assert_close(found[2:], reduced, rtol=1e-6, atol=1e-9)
    assert reduced.abs().max() > 0


@each(
    ("theirs", "ours"),
    [
        ("captum:Saliency", "saliency"),
        ('captum:Saliency(channels="sum")', 'saliency(channels="sum")'),
        ("captum:InputXGradient", "inputxgradient"),
        ('captum:IntegratedGradients(n_steps=5, baseline="mean")', 'integratedgradients(steps=5, baseline="mean")'),
        ("captum:GuidedBackprop", "guidedbackprop"),
        ("captum:Deconvolution", "deconvnet"),
        ("captum:DeepLift", "deeplift"),
        ('captum:DeepLiftShap(baseline="mean", n_baselines=3)', 'deeplift(baseline="mean")'),
        ("captum:NoiseTunnel(stdevs=0.0, nt_samples=2)", 'saliency(channels="sum")'),
        ("captum:Occlusion(sliding_window_shapes=4, strides=2)", 'occlusion(window=4, stride=2, fill="black", score="logit")'),
        ("captum:LayerGradCam", "gradcam(relu=False)"),
        ("captum:LayerGradCam(relu_attributions=True)", "gradcam"),
        ('captum:LayerGradientXActivation(layer="conv2")', 'hirescam(relu=False, layer="conv2")'),
    ],
)
@each("toy", ["gap", "dense"])
def test_is_our_own_method(toy: str, theirs: str, ours: str) -> None:
    if toy == "dense" and ("Guided" in theirs or "Deconvolution" in theirs):
        pytest.skip("not defined for its tanh")
    classifier, batch = toy_classifier(toy), toy_batch(2)
    torch.testing.assert_close(maps_of(classifier, batch, theirs).raw, maps_of(classifier, batch, ours).raw, rtol=1e-3, atol=1e-6)


def changes(trace: Trace, start: Tensor) -> Tensor:
    """The logit of the image less that of another, (B,)."""
    with torch.no_grad():
        return trace.target_logits - trace.classifier(start.expand_as(trace.images)).gather(1, trace.targets[:, None]).squeeze(1)


@pytest.mark.parametrize(
    ("spec", "tolerance"),
    [
        ("captum:LayerDeepLift", 1e-3),
        ("captum:LayerIntegratedGradients(n_steps=200)", 1e-3),
        ("captum:LayerConductance(n_steps=400)", 2e-2),
        ("captum:IntegratedGradients(n_steps=200)", 1e-2),
    ],
)
def test_adds_up_to_the_change_of_the_logit(spec: str, tolerance: float) -> None:
    classifier, batch = toy_classifier("dense"), toy_batch(2)
    with classifier.frozen():
        gained = changes(Trace(classifier, batch), torch.zeros(1, 3, 1, 1))
    torch.testing.assert_close(maps_of(classifier, batch, spec).raw.sum((1, 2)), gained, rtol=0, atol=tolerance * gained.abs().max().item())


def test_segments_add_up_and_places_are_those_of_a_replay() -> None:
    classifier, batch = toy_classifier("dense"), toy_batch(2)
    shapley = maps_of(classifier, batch, 'captum:ShapleyValueSampling(n_samples=2, cells=2, baseline="mean")').raw
    with classifier.frozen():
        trace = Trace(classifier, batch)
        torch.testing.assert_close(shapley[:, ::8, ::6].sum((1, 2)).double(), changes(trace, classifier.mean), rtol=1e-5, atol=1e-6)
        for index in range(2):
            without = trace.activations[index].expand(48, -1, -1, -1).clone()
            without.flatten(2)[range(48), :, range(48)] = 0
            lost = trace.target_logits[index] - trace.replay(index, without)[:, trace.targets[index]]
            found = maps_of(classifier, batch, "captum:LayerFeatureAblation").raw[index]
            torch.testing.assert_close(found.flatten(), lost, rtol=1e-6, atol=1e-9)


def test_relevance_is_the_input_times_its_gradient_on_a_network_of_relus() -> None:
    """Ancona et al. 2018, arXiv:1711.06104, proposition 1."""
    classifier, batch = toy_classifier(), toy_batch(2)
    inputs = classifier.normalised(batch.images).requires_grad_()
    chosen = classifier.network(inputs).gather(1, batch.labels[:, None]).sum()
    expected = (inputs * torch.autograd.grad(chosen, inputs)[0]).sum(1).detach()
    torch.testing.assert_close(maps_of(classifier, batch, "captum:LRP").raw, expected, rtol=1e-5, atol=1e-8)
    at_layer = maps_of(classifier, batch, 'captum:LayerLRP(layer="conv2")').raw
    torch.testing.assert_close(at_layer, maps_of(classifier, batch, 'hirescam(relu=False, layer="conv2")').raw, rtol=1e-5, atol=1e-8)


def test_tokens_are_laid_out() -> None:
    classifier, batch = toy_classifier("vit"), toy_batch(2, size=(32, 32))
    theirs = maps_of(classifier, batch, "captum:LayerGradientXActivation").raw
    torch.testing.assert_close(theirs, maps_of(classifier, batch, "hirescam(relu=False)").raw, rtol=1e-5, atol=1e-8)
    ablated = maps_of(classifier, batch, "captum:LayerFeatureAblation").raw
    assert ablated.shape == (2, 4, 4)
    with classifier.frozen():
        trace = Trace(classifier, batch)
        without = trace.activations[:1].clone()
        without[:, :, 2, 1] = 0
        lost = trace.target_logits[0] - trace.replay(0, without)[0, trace.targets[0]]
    torch.testing.assert_close(ablated[0, 2, 1], lost, rtol=1e-6, atol=1e-9)


class TestNames:
    def test_every_name_of_captum_is_an_explainer_or_refused(self) -> None:
        assert {f"captum:{name}" for name in captum.attr.__all__} == {f"captum:{name}" for name in NAMES} | set(UNSUPPORTED)
        assert not {f"captum:{name}" for name in NAMES} & set(UNSUPPORTED)

    def test_a_refused_name_says_why_and_advises_what_exists(self) -> None:
        for name, reason in UNSUPPORTED.items():
            for refuse in (explainers.parse, lambda given: captum_class(given.removeprefix("captum:"))):
                with pytest.raises(UsageError, match=f"{name}: {re.escape(reason)}"):
                    refuse(name)
            for advised in re.findall(r"use (\S+)", reason):
                assert advised in explainers or advised == "camdbench"

    def test_all_leaves_them_out(self) -> None:
        assert not any(":" in spec.name for spec in parse_explainers("all", ("boxes", "masks")))
        assert str(parse_explainers("captum:saliency", ())[0]) == "captum:Saliency"


def test_masks_of_segments_are_numbered_from_zero() -> None:
    trace = Trace(toy_classifier(), toy_batch(2))
    mask = features("quickshift", 8)(trace, 1)["feature_mask"]
    assert mask.shape == (1, 3, 16, 12)
    assert mask.unique().tolist() == list(range(int(mask.max()) + 1))


def test_classifiers_of_other_channel_orders_are_explained_in_rgb() -> None:
    classifier, batch = toy_classifier(), toy_batch(2)
    flipped = Classifier(classifier.network, "relu2", mean=(0.4, 0.5, 0.6), std=(0.2, 0.25, 0.3), channels="bgr")
    expected = maps_of(flipped, batch, "inputxgradient").raw
    torch.testing.assert_close(maps_of(flipped, batch, "captum:InputXGradient").raw, expected, rtol=1e-6, atol=1e-9)
    assert not torch.allclose(expected, maps_of(classifier, batch, "inputxgradient").raw)
    seen = list[np.ndarray[Any, Any]]()

    def of_quantus(model: torch.nn.Module, inputs: np.ndarray[Any, Any], targets: np.ndarray[Any, Any]) -> np.ndarray[Any, Any]:
        seen.append(inputs)
        return inputs

    with flipped.frozen():
        of_network = explainer_from_object(captum.attr.LayerGradCam(flipped.network, flipped.network.relu2))
        assert of_network is not None
        torch.testing.assert_close(of_network(Trace(flipped, batch)), maps_of(flipped, batch, "gradcam(relu=False)").raw)
    camdbench.explain(flipped, batch.images, of_quantus, targets=0)
    np.testing.assert_allclose(seen[0], flipped.normalised(batch.images), rtol=1e-6)


def test_the_layer_of_a_call_is_that_of_a_name_and_of_a_class() -> None:
    classifier, images = toy_classifier("dense"), toy_batch(2).images
    expected = camdbench.explain(classifier, images, "gradcam(relu=False)", targets=1, layer="conv2").raw
    for given in ("captum:LayerGradCam", 'captum:LayerGradCam(layer="conv2")', camdbench.captum("LayerGradCam")):
        found = camdbench.explain(classifier, images, given, targets=1, layer="conv2").raw
        torch.testing.assert_close(found, expected, rtol=1e-6, atol=1e-9)
