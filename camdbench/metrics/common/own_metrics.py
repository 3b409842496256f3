"""Metrics of the user's: functions and objects as entries of the registry for the duration of a call."""

from __future__ import annotations

from collections.abc import Callable
from contextlib import AbstractContextManager
from dataclasses import dataclass, replace
from typing import Any

import torch

from camdbench.core.errors import UsageError
from camdbench.core.facts import MetricFacts
from camdbench.core.own_entry import OwnEntry, default_name, holding_own, own_entry
from camdbench.core.references import Given, check_name, parameters_of
from camdbench.core.registries import metrics
from camdbench.core.spec import Spec
from camdbench.metrics.common.inputs import MetricInputs
from camdbench.metrics.common.quantus_objects import metric_from_object
from camdbench.metrics.common.result import MetricResult

Function = Callable[..., Any]
_FORMS = "expected (inputs) or (classifier, images, maps, targets)"


@dataclass(frozen=True)
class OwnMetric:
    """A function or object with the facts of a metric.

    Attributes:
        function: the function, or an object of another library.
        facts: facts that replace the default ones.
    """

    function: Any
    facts: dict[str, Any]


def metric_of(function: Any, *, higher_is_better: bool | None = None, unit: str = "", tolerance: float = 0.01) -> OwnMetric:
    """State the facts of a metric, for `run` and `evaluate`.

    Args:
        function: `f(inputs, *, options)`, or `f(classifier, images, maps, targets)` with images in [0, 1], maps (B, H, W) in
            [0, 1] and classes (B,); it returns B values.
        higher_is_better: direction; None: the metric is not ranked.
        unit: unit of the values, `%` or empty.
        tolerance: change of a mean, in `unit`, above which `camdbench check` reports it as moved.
    """
    direction = {} if higher_is_better is None else {"higher_is_better": higher_is_better}
    return OwnMetric(function, {**direction, "unit": unit, "tolerance": tolerance})


def own_metrics(given: Any) -> AbstractContextManager[Any]:
    """Inside the context, the given functions and objects are metrics; it yields the specs, in the order given.

    Raises:
        UsageError: a name is taken or invalid, or the parameters of a function have unknown names.
    """
    return holding_own(given, metrics, _entry)


def _entry(given: Given) -> tuple[OwnEntry[MetricFacts], str]:
    """The entry of a function or object, and its spec: with options that a reference states, unless an alias stands for these.

    Raises:
        UsageError: another name for a metric of camdbench, or its parameters have unknown names.
    """
    if given.is_text:
        raise UsageError(f"metrics: {given.label}={given.thing}: a metric of camdbench keeps its name; give {given.thing}")
    thing, stated = (given.thing.function, given.thing.facts) if isinstance(given.thing, OwnMetric) else (given.thing, {})
    registered = metrics.entry_of(thing)
    name = check_name(given.label or (registered.name if registered else given.name or default_name(thing, metrics)), "metrics")
    foreign = None if registered else metric_from_object(thing)
    facts = registered.facts if registered else MetricFacts(paper="", higher_is_better=None, unit="", tolerance=0.01)
    if foreign is None:
        function = _adapted(thing, name, registered=registered is not None)
    else:
        function, known = foreign
        facts = replace(facts, **known)
    try:
        entry = metrics.make_entry(name, function if foreign else thing, replace(facts, **stated), getattr(thing, "__doc__", None) or name)
    except TypeError as error:
        raise UsageError(f"metric {name}: {error}") from None
    checked = entry.spec(Spec.of(name, given.options)).arguments
    return own_entry(entry, function, thing, given, checked)


def _adapted(function: Any, name: str, *, registered: bool) -> Function:
    """The function as one of `MetricInputs`, by the names of its parameters.

    Raises:
        UsageError: the names are others.
    """
    if isinstance(function, type):
        raise UsageError(f"metric {name}: {function.__name__} is a class; give an object of it")
    names = parameters_of(function) if callable(function) else ()
    if names == ("inputs",) or (registered and len(names) == 1):
        return lambda inputs, **options: _values(function(inputs, **options))
    if names == ("classifier", "images", "maps", "targets"):

        def adapted(inputs: MetricInputs, **options: Any) -> Any:
            return _values(function(inputs.classifier, inputs.images, inputs.saliency, inputs.targets, **options))

        return adapted
    what = f"{name}({', '.join(names)})" if callable(function) else f"{name}, of type {type(function).__name__}"
    raise UsageError(f"metric {what}: {_FORMS}")


def _values(found: Any) -> Any:
    """Values (B,) from an array or a list; tensors and results as they are."""
    import numpy as np

    if isinstance(found, torch.Tensor | MetricResult):
        return found
    array = np.asarray(found)
    return torch.from_numpy(array) if array.dtype.kind in "fiub" else found
