"""Metric objects of Quantus; the library is not imported unless one is given."""

from __future__ import annotations

from collections.abc import Callable
from functools import partial
from typing import Any

from camdbench.core.errors import UsageError
from camdbench.core.registries import metrics
from camdbench.metrics.common.inputs import MetricInputs
from camdbench.metrics.common.result import MetricResult

_FIXED = {"abs", "normalise", "return_aggregate", "aggregate_func", "name", "base_metric"}  # stated by the bridge for every metric
_STATE = {"evaluation_scores", "all_evaluation_scores", "a_axes", "default_plot_func", "disable_warnings", "display_progressbar"}
_NAMES = {"same_class": "return_nan_when_prediction_changes"}  # options that Quantus names otherwise


def metric_from_object(obj: object) -> tuple[Callable[[MetricInputs], MetricResult], dict[str, Any]] | None:
    """A metric (inputs) -> result and its facts, of a Quantus metric; None for anything else.

    It computes what `quantus:NAME` does with the object's options: `abs`, `normalise` and `return_aggregate` are the bridge's.

    Raises:
        UsageError: the metric is refused, or the object has a setting that `quantus:NAME` has no option for.
    """
    if not any(base.__module__ == "quantus.metrics.base" and base.__name__ == "Metric" for base in type(obj).__mro__):
        return None
    name, held, kind = f"quantus:{type(obj).__name__}", _settings(obj), type(obj)
    entry = metrics.get(name)
    theirs = {option.name: _NAMES.get(option.name, option.name) for option in entry.options}
    options = {own: held[their] for own, their in theirs.items() if their in held}
    build: Any = kind
    default = _settings(build(**{theirs[own]: value for own, value in options.items()}, disable_warnings=True))
    for key in sorted(held.keys() - {theirs[own] for own in options}):
        if not _is_equal(held[key], default.get(key)):
            value = getattr(held[key], "__name__", repr(held[key]))
            raise UsageError(f"{name}: {key} = {value}: not an option; the options are {', '.join(options) or 'none'}")
    facts = {
        "paper": entry.facts.paper,
        "higher_is_better": build.score_direction.value == "higher",
        "unit": "",
        "tolerance": entry.facts.tolerance,
        "protocols": entry.facts.protocols,
        "needs": entry.facts.needs,
        "undefined": entry.facts.undefined,
    }
    function = metrics.load(name)
    return (lambda inputs: function(inputs, **options)), facts


def _settings(obj: object) -> dict[str, Any]:
    """Settings of a metric by their names in its constructor; a function with arguments is split into both."""
    found = dict[str, Any]()
    for key, value in vars(obj).items():
        if key.removeprefix("_") in _FIXED | _STATE:
            continue
        if isinstance(value, partial):
            found |= value.keywords
        found[key.removeprefix("_")] = value.func if isinstance(value, partial) else value
    return found


def _is_equal(value: Any, default: Any) -> bool:
    """Whether a setting is the default; arrays are compared by their elements."""
    try:
        return bool(value == default)
    except ValueError:
        import numpy as np

        return np.array_equal(value, default)
