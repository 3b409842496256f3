"""Calls of Captum: images in [0, 1], random numbers of each image, and refusals where its values are known to be wrong.

Captum replaces the backward pass of ReLU modules. It does not see functional ReLUs, and gives any other nonlinearity its plain
gradient; both are looked for in the graph of an uncounted pass of one image.
"""

from __future__ import annotations

import importlib
import inspect
import random
from collections.abc import Generator, Mapping
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass, field
from typing import Any, Literal

import numpy as np
import torch
from torch import Tensor, nn

from camdbench.core.captum_unsupported import UNSUPPORTED
from camdbench.core.errors import NotApplicable, UsageError, first_line
from camdbench.explainers.common.masked_scoring import fill_image
from camdbench.explainers.common.trace import Trace
from camdbench.models.capture import watch_outputs
from camdbench.models.classifier import Classifier

_BY_MODULE = ("DeepLift", "DeepLiftShap", "GuidedBackprop", "GuidedGradCam", "Deconvolution", "LayerDeepLift", "LayerDeepLiftShap")
_NONLINEAR = ("Gelu", "Silu", "Hardswish", "Hardsigmoid", "Hardtanh", "Mish", "Elu", "LeakyRelu", "Sigmoid", "Tanh", "Softplus", "Softmax")
_DRAWING = ("GradientShap", "LayerGradientShap", "NoiseTunnel", "Lime", "KernelShap", "ShapleyValueSampling")
_SERIES = "0.9."


@dataclass(frozen=True)
class Attribution:
    """One Captum method with its options.

    Attributes:
        name: class in `captum.attr`.
        layer: target layer of layer methods; None: the classifier's own.
        baseline: image of methods that need one.
        channels: reduction of channels.
        options: further arguments of `attribute`.
        kind: the class, where it is at hand.
        attribution: an object of the class, used as it is.
    """

    name: str
    layer: str | None = None
    baseline: Literal["black", "mean"] = "black"
    channels: Literal["max", "sum", "abs"] = "sum"
    options: Mapping[str, Any] = field(default_factory=dict[str, Any])
    kind: Any = None
    attribution: Any = None


def captum_class(name: str) -> Any:
    """A class of `captum.attr`, imported on first use.

    Raises:
        UsageError: it has no such class, or the installed series is not the supported one.
    """
    check_method_name(name)
    version = str(importlib.import_module("captum").__version__)
    if not version.startswith(_SERIES):
        raise UsageError(f"captum {version} is installed, and its values are not known; run: pip install 'captum>=0.9,<0.10'")
    found = getattr(importlib.import_module("captum.attr"), name, None)
    if not isinstance(found, type):
        raise UsageError(f"captum {version} has no method {name!r}; see captum.attr")
    return found


def check_method_name(name: str) -> None:
    """Refuse a method that has no map of an image here.

    Raises:
        UsageError: with the reason.
    """
    if reason := UNSUPPORTED.get(f"captum:{name}"):
        raise UsageError(f"captum:{name}: {reason}")


def check_method(attribution: object) -> None:
    """Refuse an object whose class is refused.

    Raises:
        UsageError: with the reason.
    """
    for base in type(attribution).__mro__:
        if base.__module__.startswith("captum."):
            return check_method_name(base.__name__)
    return None


def attributed(trace: Trace, call: Attribution, inputs: Tensor | None = None) -> Tensor:
    """Maps (B, h, w) of a Captum method.

    Args:
        trace: the batch.
        call: method and options.
        inputs: what the method's own network takes; default: images in [0, 1], for a method made with the classifier.

    Raises:
        NotApplicable: Captum's values are known to be wrong on this network, or it fails.
        UsageError: an option is unknown or missing.
    """
    name, given = call.name, trace.images if inputs is None else inputs
    targets = trace.targets
    if name in _BY_MODULE:
        _check_modules(trace, name)
    rows = [slice(index, index + 1) for index in range(len(given))] if _draws(call) else [slice(None)]
    found = list[Tensor]()
    with ExitStack() as stack:
        stack.enter_context(torch.enable_grad())
        stack.enter_context(trace.classifier.foreign_passes_counted())
        stack.enter_context(_not_in_place(trace.classifier.network))
        attribution = call.attribution if call.attribution is not None else _make(trace, call)
        arguments = dict(call.options) if call.attribution is not None else _arguments(trace, call, attribution)
        for row in rows:
            seed = trace.random(row.start or 0, f"captum:{name}").initial_seed() % 2**32
            with _seeded(seed, given.device):
                found.append(_attribute(attribution, name, given[row].detach(), targets[row], arguments))
    return _as_maps(trace, call, torch.cat(found).detach())


def _draws(call: Attribution) -> bool:
    kinds = type(call.attribution).__mro__ if call.attribution is not None else (call.kind or captum_class(call.name)).__mro__
    return any(kind.__name__ in _DRAWING for kind in kinds)


def _make(trace: Trace, call: Attribution) -> Any:
    kind, classifier = call.kind or captum_class(call.name), trace.classifier
    if "layer" not in inspect.signature(kind).parameters:
        return kind(classifier)
    return kind(classifier, classifier.module(classifier.layer_name(call.layer)))


def _arguments(trace: Trace, call: Attribution, attribution: Any) -> dict[str, Any]:
    """Options and baseline, checked against the signature of `attribute`."""
    parameters = inspect.signature(attribution.attribute).parameters
    if unknown := set(call.options) - set(parameters):
        raise UsageError(f"captum:{call.name}: no option {', '.join(sorted(unknown))}; options: {', '.join(parameters)}")
    if "baselines" not in parameters or "baselines" in call.options:
        return dict(call.options)
    baseline = fill_image(trace, call.baseline).expand(1, 3, *trace.size)
    return {**call.options, "baselines": baseline.repeat(2, 1, 1, 1) if call.name.endswith("DeepLiftShap") else baseline}


def _attribute(attribution: Any, name: str, images: Tensor, targets: Tensor, arguments: Mapping[str, Any]) -> Tensor:
    given = dict(arguments)
    baselines = given.get("baselines")
    if isinstance(baselines, Tensor) and len(baselines) == 1 and len(images) > 1:
        given["baselines"] = baselines.expand_as(images)
    try:
        found = attribution.attribute(images.clone(), target=targets, **given)
    except torch.OutOfMemoryError:
        raise
    except TypeError as error:
        raise UsageError(f"captum:{name}: {first_line(error)}; give it as an option: camdbench.captum({name}, …)") from error
    except (RuntimeError, AssertionError, ValueError, AttributeError) as error:
        raise NotApplicable(f"captum:{name} fails on this network: {first_line(error)}") from error
    found = found[0] if isinstance(found, tuple) else found
    return found.detach()


def _as_maps(trace: Trace, call: Attribution, found: Tensor) -> Tensor:
    """Channels (B, C, h, w) reduced to (B, h, w); layers in another layout are laid out first."""
    if found.ndim == 4 and found.shape[1] in (1, 3) and found.shape[2:] == trace.images.shape[2:]:
        grid = found
    elif "GradCam" in call.name:
        if found.ndim != 4:
            raise NotApplicable(f"captum:{call.name} takes the tokens of this layer for channels; use gradcam")
        grid = found
    else:
        grid = trace.classifier.layout(found, trace.size, call.layer).to_grid(found)
    if call.channels == "sum":
        return grid.sum(1)
    return grid.abs().amax(1) if call.channels == "max" else grid.abs().sum(1)


def _check_modules(trace: Trace, name: str) -> None:
    """Refuse networks with ReLUs that are no modules, and with nonlinearities that the method gives their plain gradient.

    Raises:
        NotApplicable: naming what was found.
    """
    seen, calls = _nonlinearities(trace.classifier, trace.images[:1])
    relus, most = seen.pop("Relu", 0), max(calls.values(), default=0)
    lifted = "DeepLift" in name
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
    return "deeplift" if "DeepLift" in name else "guidedgradcam" if name == "GuidedGradCam" else "guidedbackprop"


def _nonlinearities(classifier: Classifier, image: Tensor) -> tuple[dict[str, int], dict[nn.Module, int]]:
    """Nonlinear operations in the graph of a pass of one image, and the calls of each ReLU module."""
    calls = dict[nn.Module, int]()

    def count(module: nn.Module, output: object) -> None:
        del output
        calls[module] = calls.get(module, 0) + 1

    relus = [module for module in classifier.network.modules() if isinstance(module, nn.ReLU)]
    with watch_outputs(relus, count), torch.enable_grad(), classifier.uncounted():
        node = classifier(image.detach().clone().requires_grad_()).grad_fn
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


@contextmanager
def _not_in_place(network: nn.Module) -> Generator[None]:
    """Modules compute out of place inside: hooks on a module need its input."""
    changed: list[Any] = [module for module in network.modules() if getattr(module, "inplace", False) is True]
    for module in changed:
        module.inplace = False
    try:
        yield
    finally:
        for module in changed:
            module.inplace = True


@contextmanager
def _seeded(seed: int, device: torch.device) -> Generator[None]:
    """Seed the global generators, from which Captum draws, and restore them on exit."""
    numbers, words = np.random.get_state(), random.getstate()  # noqa: NPY002
    try:
        with torch.random.fork_rng([device] if device.type == "cuda" else []):
            np.random.seed(seed)  # noqa: NPY002
            random.seed(seed)
            torch.manual_seed(seed)
            yield
    finally:
        np.random.set_state(numbers)  # noqa: NPY002
        random.setstate(words)
