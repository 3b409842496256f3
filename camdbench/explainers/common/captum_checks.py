"""Refusals of Captum methods where their values are known to be wrong, by passes of fixed images, counted as checks.

Captum replaces the backward pass of modules. It does not see functional operations, and gives any other nonlinearity its plain
gradient; both are looked for in the graph of a pass, and by the sum of a map where a method has one.
"""

from __future__ import annotations

import importlib
from collections.abc import Generator
from contextlib import contextmanager
from typing import Any

import torch
from torch import Tensor, nn

from camdbench.core.errors import NotApplicable, first_line
from camdbench.explainers.common.captum_methods import Attribution, captum_class
from camdbench.explainers.common.masked_scoring import fill_image
from camdbench.explainers.common.trace import Trace
from camdbench.models.capture import first_tensor, watch_outputs
from camdbench.models.classifier import Classifier
from camdbench.models.float64_copy import float64_copy
from camdbench.models.network_check import probe_images
from camdbench.models.tensor_layout import TensorLayout

_DEEPLIFT = ("DeepLift", "DeepLiftShap", "LayerDeepLift", "LayerDeepLiftShap")
_RELU_RULES = ("GuidedBackprop", "GuidedGradCam", "Deconvolution")
_COPIES = (*_DEEPLIFT, "LayerIntegratedGradients", "LayerConductance", "InternalInfluence", "LayerGradientShap")
_NONLINEAR = ("Gelu", "Silu", "Hardswish", "Hardsigmoid", "Hardtanh", "Mish", "Elu", "LeakyRelu", "Sigmoid", "Tanh", "Softplus", "Softmax")
_SHAPE_ONLY = (nn.Flatten, nn.Unflatten, nn.Identity)  # modules for which Captum's LRP has no rule
_WITHOUT_RELEVANCE = (nn.ReLU, nn.Dropout, nn.Tanh)
_TOLERANCE = 0.01  # of the largest change of a logit: rounding stays below 0.001


def check_attribution(trace: Trace, call: Attribution) -> None:
    """Refuse a method on a network on which Captum's values are wrong.

    Raises:
        NotApplicable: with the reason and, where there is one, another explainer.
        UsageError: the layer is unknown.
    """
    method = call.method
    if trace.classifier.batch_mates == "alone" and method in _COPIES:
        raise NotApplicable(f"captum:{call.name} passes several copies of an image in one batch, which batch_mates='alone' excludes")
    if method in (*_DEEPLIFT, *_RELU_RULES):
        _check_modules(trace, method)
    if method in _DEEPLIFT:
        _check_sum(trace, method, call)
    if method.endswith("LRP"):
        _check_conservation(trace, method)


def check_layer(trace: Trace, call: Attribution, layer: str) -> TensorLayout:
    """Layout of the output of a layer, in a pass of one image, counted as a check.

    Raises:
        NotApplicable: the layer runs more than once, which Captum's hooks do not support, or it has no channels first and Captum
            takes its second axis for channels.
        UsageError: the layer is unknown, or has no grid of places.
    """
    outputs, classifier = list[Tensor | None](), trace.classifier
    with watch_outputs([classifier.module(layer)], lambda _, output: outputs.append(first_tensor(output))):
        _pass(classifier, trace.images[:1])
    if len(outputs) != 1 or outputs[0] is None:
        times = f"runs {len(outputs)} times in a pass" if len(outputs) != 1 else "does not return a tensor"
        raise NotApplicable(f"captum:{call.name}: layer {layer!r} {times}, which Captum's hooks do not support; choose another layer")
    if call.method == "LayerLRP" and isinstance(classifier.module(layer), _WITHOUT_RELEVANCE):
        raise NotApplicable(f"captum:LayerLRP keeps no relevance of activations and dropout, as layer {layer!r}; name the layer before it")
    layout = classifier.layout(outputs[0], trace.size, layer)
    if layout.kind != "nchw" and "GradCam" in call.method:
        ours = "guidedgradcam" if call.method.startswith("Guided") else "gradcam(relu=False)"
        what = "tokens" if layout.kind == "tokens" else "rows"
        raise NotApplicable(f"captum:{call.name} takes the {what} of this layer for channels; use {ours}")
    return layout


@contextmanager
def lrp_rules(network: nn.Module) -> Generator[None]:
    """Inside the context, Captum's LRP has rules for modules that only reshape, and leaves the network as it was.

    Captum removes the rules of all modules after a call, leaves activations on them, and copies the weights onto themselves, which
    makes graphs of earlier passes invalid.
    """
    rule = importlib.import_module("captum.attr._utils.lrp_rules").EpsilonRule
    given = [(module, vars(module)["rule"]) for module in network.modules() if "rule" in vars(module)]
    weights = [(weight, weight.data) for weight in network.parameters()]
    added: list[Any] = [module for module in network.modules() if isinstance(module, _SHAPE_ONLY) and "rule" not in vars(module)]
    for module in added:
        module.rule = rule()
    vars(network)["load_state_dict"] = lambda weights: None  # noqa: ARG005 - they are restored below, by reference
    try:
        yield
    finally:
        del vars(network)["load_state_dict"]
        for weight, values in weights:
            weight.data = values
        for module in network.modules():
            vars(module).pop("rule", None)
            if isinstance(vars(module).get("activations"), dict):
                del vars(module)["activations"]
        for module, own in given:
            module.rule = own


def _pass(classifier: Classifier, images: Tensor) -> Tensor:
    """Logits of a pass counted as a check, in the graph of the images."""
    with torch.enable_grad(), classifier.uncounted():
        return classifier(images.detach().clone().requires_grad_())


def _check_modules(trace: Trace, name: str) -> None:
    """Refuse networks with ReLUs that are no modules, and with nonlinearities that the method gives their plain gradient.

    Raises:
        NotApplicable: naming what was found.
    """
    seen, calls = _nonlinearities(trace.classifier, trace.images[:1])
    relus, most = seen.pop("Relu", 0), max(calls.values(), default=0)
    lifted = name in _DEEPLIFT
    if relus > sum(calls.values()):
        raise NotApplicable(
            f"captum:{name} misses the functional ReLUs of this network and gives them the plain gradient; use {_ours(name)}"
        )
    if lifted and most > 1:
        raise NotApplicable(f"captum:{name} fails on ReLUs that run more than once, as in a ResNet; use {_ours(name)}")
    if not lifted and not relus:
        raise NotApplicable(f"captum:{name} is the plain gradient on a network without ReLU")
    if seen and not lifted:
        raise NotApplicable(f"captum:{name} gives {', '.join(sorted(seen))} of this network the plain gradient: it is defined for ReLUs")


def _ours(name: str) -> str:
    return "deeplift" if name in _DEEPLIFT else "guidedgradcam" if name == "GuidedGradCam" else "guidedbackprop"


def _nonlinearities(classifier: Classifier, image: Tensor) -> tuple[dict[str, int], dict[nn.Module, int]]:
    """Nonlinear operations in the graph of a pass of one image, and the calls of each ReLU module."""
    calls = dict[nn.Module, int]()

    def count(module: nn.Module, output: object) -> None:
        del output
        calls[module] = calls.get(module, 0) + 1

    relus = [module for module in classifier.network.modules() if isinstance(module, nn.ReLU)]
    with watch_outputs(relus, count):
        node = _pass(classifier, image).grad_fn
    seen, names, waiting = set[Any](), dict[str, int](), [node]
    while waiting:
        node = waiting.pop()
        if node is None or node in seen:
            continue
        seen.add(node)
        kind = node.name().partition("Backward")[0]
        if kind == "Relu" or kind in _NONLINEAR:
            names[kind] = names.get(kind, 0) + 1
        waiting += [parent for parent, _ in node.next_functions]
    return names, calls


def _check_sum(trace: Trace, name: str, call: Attribution) -> None:
    """Refuse DeepLIFT where its maps of fixed images do not sum to the change of the logit from the baseline.

    Raises:
        NotApplicable: with both numbers.
    """
    classifier = trace.classifier
    images = probe_images(trace.size, classifier).to(trace.images)
    start = fill_image(trace, call.baseline).expand_as(images).to(images)
    with classifier.uncounted():
        with torch.no_grad():
            gained = classifier(images) - classifier(start)
        classes = gained.abs().argmax(1)
        try:
            found = captum_class("DeepLift")(classifier).attribute(images.clone(), start, target=classes).detach()
        except (RuntimeError, AssertionError, AttributeError) as error:
            raise NotApplicable(f"captum:{name} fails on this network: {first_line(error)}") from error
    expected = gained.gather(1, classes[:, None]).squeeze(1)
    sums = found.flatten(1).sum(1)
    worst = int((sums - expected).abs().argmax())
    if float((sums - expected).abs()[worst]) > _TOLERANCE * float(expected.abs().max()):
        raise NotApplicable(
            f"captum:{name} does not add up on this network: {float(sums[worst]):.4g} where the logit changes by "
            f"{float(expected[worst]):.4g}, as happens with max pooling and GELU; use deeplift"
        )


def _check_conservation(trace: Trace, name: str) -> None:
    """Refuse LRP where a copy of the network without biases does not conserve relevance on a fixed image.

    Raises:
        NotApplicable: with the sum and the logit, or a layer has no rule.
    """
    copy = float64_copy(trace.classifier)
    for module in copy.network.modules():
        for part in ("bias", "running_mean"):
            if isinstance(values := getattr(module, part, None), Tensor):
                values.data.zero_()
    inputs = copy.normalised(probe_images(trace.size, copy)[:1].double())
    with torch.no_grad():
        logits = copy.network(inputs)
    logits = logits if isinstance(logits, Tensor) else logits[0]
    target = int(logits[0].abs().argmax())
    try:
        with lrp_rules(copy.network), torch.enable_grad():
            found = captum_class("LRP")(copy.network).attribute(inputs, target=target)
    except (RuntimeError, AssertionError, AttributeError, TypeError, ValueError) as error:
        raise NotApplicable(f"captum:{name} fails on this network: {first_line(error)}") from error
    total, logit = float(found.detach().sum()), float(logits[0, target])
    if abs(total - logit) > _TOLERANCE * abs(logit):
        raise NotApplicable(
            f"captum:{name} does not conserve relevance on this network: {total:.4g} of a logit of {logit:.4g} without biases, "
            "as with additions and products of activations; use inputxgradient or deeplift"
        )
