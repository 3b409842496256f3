"""Calls of Captum: images in [0, 1], random numbers of each image, counted passes, and refusals by `captum_checks`."""

from __future__ import annotations

import inspect
import random
from collections.abc import Generator, Mapping
from contextlib import ExitStack, contextmanager
from typing import Any

import numpy as np
import torch
from torch import Tensor, nn

from camdbench.core.errors import NotApplicable, UsageError, first_line
from camdbench.explainers.common.captum_checks import check_attribution, check_layer, lrp_rules
from camdbench.explainers.common.captum_methods import Attribution, captum_class, quiet
from camdbench.explainers.common.explained_network import Explained
from camdbench.explainers.common.masked_scoring import fill_image
from camdbench.explainers.common.trace import Trace
from camdbench.models.tensor_layout import TensorLayout


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
    classifier, targets = trace.classifier, trace.targets
    with quiet():
        check_attribution(trace, call)
    layout = _checked_layout(trace, call)
    given = inputs if inputs is not None else classifier.normalised(trace.images) if _is_lrp(call) else trace.images
    own_score = not trace.objective.is_logit
    if own_score and call.attribution is not None:
        raise NotApplicable(
            f"captum:{call.name}: the object explains the logit of the class; give the class: camdbench.captum({call.name})"
        )
    alone = call.draws or own_score or call.of_image is not None or (classifier.batch_mates == "alone" and layout is not None)
    rows = [slice(index, index + 1) for index in range(len(given))] if alone else [slice(None)]
    found = list[Tensor]()
    with ExitStack() as stack:
        stack.enter_context(torch.enable_grad())
        stack.enter_context(quiet())
        stack.enter_context(classifier.foreign_passes_counted("tail_backward" if _stops_at_layer(call) else "backward"))
        stack.enter_context(_not_in_place(classifier.network))
        explained = Explained(trace) if own_score else None
        attribution = call.attribution if call.attribution is not None else _make(trace, call, explained or classifier)
        arguments = dict(call.options) if call.attribution is not None else _arguments(trace, call, attribution)
        for row in rows:
            target = None if own_score else targets[row]
            if explained is not None:
                explained.index = row.start
            own = call.of_image(trace, row.start) if call.of_image is not None else {}
            seed = trace.random(row.start or 0, f"captum:{call.name}").initial_seed() % 2**32
            with _seeded(seed, given.device), lrp_rules(classifier.network) if _is_lrp(call) else ExitStack():
                found.append(_attribute(attribution, call.name, given[row].detach(), target, {**arguments, **own}))
    return _as_maps(call, torch.cat(found).detach(), layout)


def _is_lrp(call: Attribution) -> bool:
    """LRP is made with the network: its rules say nothing about the normalisation before it."""
    return call.method.endswith("LRP")


def _stops_at_layer(call: Attribution) -> bool:
    """Whether its backward passes end at the layer."""
    return call.method.startswith("Layer") or call.method == "InternalInfluence"


def _checked_layout(trace: Trace, call: Attribution) -> TensorLayout | None:
    """Layout of the target layer; None for methods without one."""
    if "layer" not in inspect.signature(call.type).parameters:
        return None
    return check_layer(trace, call, _layer_of(trace, call))


def _layer_of(trace: Trace, call: Attribution) -> str:
    """Name of the target layer: that of an object by its module."""
    if call.attribution is None:
        return trace.layer_name if call.layer is None else trace.classifier.layer_name(call.layer)
    module = call.attribution
    while hasattr(module, "attribution_method"):
        module = module.attribution_method
    held = module.grad_cam.layer if hasattr(module, "grad_cam") else module.layer
    name = next((name for name, known in trace.classifier.network.named_modules() if known is held), None)
    if name is None:
        raise UsageError(f"captum:{call.name}: its layer is not a module of the network; give the class: camdbench.captum({call.name})")
    return name


def _make(trace: Trace, call: Attribution, forward: nn.Module) -> Any:
    kind, classifier = call.kind or captum_class(call.name), trace.classifier
    if call.inner:
        return kind(captum_class(call.inner)(forward))
    owner: nn.Module = classifier.network if _is_lrp(call) else forward
    if "layer" not in inspect.signature(kind).parameters:
        return kind(owner)
    return kind(owner, classifier.module(_layer_of(trace, call)))


def _arguments(trace: Trace, call: Attribution, attribution: Any) -> dict[str, Any]:
    """Options and baseline, checked against the signature of `attribute`."""
    parameters = dict(inspect.signature(attribution.attribute).parameters)
    if call.inner:
        parameters |= inspect.signature(attribution.attribution_method.attribute).parameters
    if unknown := set(call.options) - set(parameters):
        raise UsageError(f"captum:{call.name}: no option {', '.join(sorted(unknown))}; options: {', '.join(parameters)}")
    if "baselines" not in parameters or "baselines" in call.options:
        return dict(call.options)
    baseline = fill_image(trace, call.baseline).expand(1, 3, *trace.size)
    return {**call.options, "baselines": baseline.repeat(2, 1, 1, 1) if call.name.endswith("DeepLiftShap") else baseline}


def _attribute(attribution: Any, name: str, images: Tensor, targets: Tensor | None, arguments: Mapping[str, Any]) -> Tensor:
    given = dict(arguments)
    baselines = given.get("baselines")
    if isinstance(baselines, Tensor) and len(baselines) == 1 and len(images) > 1:
        given["baselines"] = baselines.expand_as(images)
    if name != "LayerActivation":  # the only one that explains no class
        given["target"] = targets
    try:
        found = attribution.attribute(images.clone().requires_grad_(name == "LayerDeepLift"), **given)  # it hooks inputs of modules
    except torch.OutOfMemoryError:
        raise
    except TypeError as error:
        raise UsageError(f"captum:{name}: {first_line(error)}; give it as an option: camdbench.captum({name}, …)") from error
    except (RuntimeError, AssertionError, ValueError, AttributeError) as error:
        raise NotApplicable(f"captum:{name} fails on this network: {first_line(error)}") from error
    found = found[0] if isinstance(found, tuple) else found
    return found.detach()


def _as_maps(call: Attribution, found: Tensor, layout: TensorLayout | None) -> Tensor:
    """Channels (B, C, h, w) reduced to (B, h, w); layers in another layout are laid out first."""
    grid = found if layout is None or "GradCam" in call.method else layout.to_grid(found)
    if call.channels == "first":
        return grid[:, 0]
    if call.channels == "sum":
        return grid.sum(1)
    return grid.abs().amax(1) if call.channels == "max" else grid.abs().sum(1)


@contextmanager
def _not_in_place(network: nn.Module) -> Generator[None]:
    """Modules compute out of place inside: hooks on a module need its input."""
    hooked = [module for module in network.modules() if not isinstance(module, torch.jit.ScriptModule)]
    changed: list[Any] = [module for module in hooked if getattr(module, "inplace", False) is True]
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
