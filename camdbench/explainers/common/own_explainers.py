"""Explainers of the user's: functions and objects as entries of the registry for the duration of a call."""

from __future__ import annotations

from collections.abc import Callable
from contextlib import AbstractContextManager
from dataclasses import replace
from functools import partial
from typing import Any, Literal

import torch
from torch import Tensor

from camdbench.core.errors import UsageError
from camdbench.core.facts import ExplainerFacts
from camdbench.core.options import bind_options
from camdbench.core.own_entry import OwnEntry, default_name, holding_own, own_entry
from camdbench.core.references import Given, check_name, parameters_of
from camdbench.core.registries import explainers
from camdbench.core.spec import Spec
from camdbench.explainers.common.foreign_objects import cam_with_options, explainer_from_object, is_cam_class
from camdbench.explainers.common.saliency import normalisation_of
from camdbench.explainers.common.trace import Trace

Function = Callable[..., Any]
CHANNELS = "sum"  # how a map with a value per colour channel becomes one per pixel
_FORMS = "expected (trace), (classifier, images, targets) or (model, inputs, targets)"


def own_explainers(given: Any) -> AbstractContextManager[Any]:
    """Inside the context, the given functions and objects are explainers; it yields the specs, in the order given.

    Raises:
        UsageError: a name is taken or invalid, or the parameters of a function have unknown names.
    """
    return holding_own(given, explainers, lambda one: (_alias(one), one.label) if one.is_text else _entry(one))


def _alias(given: Given) -> OwnEntry[ExplainerFacts]:
    """A registered explainer with options under another name.

    Raises:
        UsageError: it is unknown, or wraps others.
    """
    spec = explainers.parse_one(str(given.thing))
    entry, function = explainers.get(spec.name), explainers.load(spec.name)
    if spec.wrapped:
        raise UsageError(f"explainers: {given.label}={spec}: a wrapper has no other name; give {spec}")
    options = bind_options(entry.options, spec.arguments)
    bound = partial(function, **spec.arguments)
    return OwnEntry(replace(entry, name=given.label, options=options), bound, bound, str(spec), f"{given.label}={spec}", fixed=True)


def _entry(given: Given) -> tuple[OwnEntry[ExplainerFacts], str]:
    """The entry of a function or object, and its spec: with options that a reference states, unless an alias stands for these."""
    of_class = is_cam_class(given.thing)
    name = f"pgc:{given.thing.__name__}" if of_class and not given.label else check_name(given.label or _name(given), "explainers")
    registered = explainers.entry_of(given.thing)
    foreign = cam_with_options(given.thing) if of_class else None if registered else explainer_from_object(given.thing)
    function = foreign or _adapted(given.thing, name)
    facts = registered.facts if registered else ExplainerFacts("", objective=_objective_of(given.thing, foreign is not None))
    doc = getattr(given.thing, "__doc__", None) or name
    try:
        entry = explainers.make_entry(name, foreign or given.thing, facts, doc)
    except TypeError as error:
        raise UsageError(f"explainer {name}: {error}") from None
    checked = entry.spec(Spec.of(name, given.options)).arguments
    return own_entry(entry, function, given.thing, given, checked)


def _objective_of(thing: Any, foreign: bool) -> Literal["any", "logit"]:
    """Which objectives a function or object explains: any if a trace is all that it takes, or grad-cam gets a target from it."""
    captum = foreign and not isinstance(thing, type) and not hasattr(thing, "activations_and_grads")
    of_trace = foreign or (callable(thing) and parameters_of(thing) == ("trace",))
    return "any" if of_trace and not captum else "logit"


def _name(given: Given) -> str:
    registered = explainers.entry_of(given.thing)
    return registered.name if registered else given.name or default_name(given.thing, explainers)


def _adapted(function: Any, name: str) -> Function:
    """The function as one of a trace, by the names of its parameters; its maps as `maps_of` returns them.

    Raises:
        UsageError: the names are others.
    """
    if isinstance(function, type) and function.__module__.startswith("pytorch_grad_cam."):
        raise UsageError(f"explainer {name}: {function.__name__} of pytorch-grad-cam wraps a method and is none itself; see pgc:GradCAM")
    if isinstance(function, type):
        raise UsageError(f"explainer {name}: {function.__name__} is a class; give an object of it")
    names = parameters_of(function) if callable(function) else ()
    calls: dict[tuple[str, ...], Function] = {
        ("trace",): function,
        ("classifier", "images", "targets"): lambda trace, **options: function(
            trace.classifier, trace.images.detach().clone(), trace.targets.clone(), **options
        ),
        ("model", "inputs", "targets"): lambda trace, **options: function(*_of_quantus(trace), **options),
    }
    if explainers.entry_of(function) is not None and names:  # a decorated function takes a trace, and wrapped explainers after it
        return lambda trace, *inner, **options: maps_of(function(trace, *inner, **options))
    if names not in calls:
        what = f"{name}({', '.join(names)})" if callable(function) else f"{name}, of type {type(function).__name__}"
        raise UsageError(f"explainer {what}: {_FORMS}")
    return lambda trace, **options: maps_of(calls[names](trace, **options))


def _of_quantus(trace: Trace) -> tuple[Any, ...]:
    """Network, normalised images (B, 3, H, W) and targets (B,) as arrays, as Quantus gives them to a function."""
    classifier = trace.classifier
    return classifier.network, classifier.normalised(trace.images.detach()).cpu().numpy(), trace.targets.cpu().numpy()


def maps_of(found: Any) -> Any:
    """Maps (B, h, w) from a tensor or an array (B, h, w), (B, 1, h, w) or (B, 3, H, W), whose channels are summed.

    >>> maps_of(torch.ones(2, 3, 4, 4)).shape, float(maps_of(torch.ones(2, 3, 4, 4)).max())
    (torch.Size([2, 4, 4]), 3.0)
    """
    import numpy as np

    maps = torch.from_numpy(np.ascontiguousarray(found)) if isinstance(found, np.ndarray) and found.dtype.kind in "fiub" else found
    if isinstance(maps, Tensor) and maps.ndim == 4 and maps.shape[1] in (1, 3):
        return maps.sum(1) if maps.shape[1] == 3 else maps[:, 0]
    return maps


def own_record(spec: Spec) -> dict[str, Any]:
    """Facts of an explainer of a user or a plug-in that its saved maps need, for the record."""
    own = explainers.own(spec.name)
    about = {} if own is None else {"origin": own.origin, "channels": CHANNELS}
    return about | {"normalisation": normalisation_of(spec)}
