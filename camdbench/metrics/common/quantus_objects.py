"""Metric objects of Quantus; the library is not imported unless one is given."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from camdbench.core.errors import UsageError
from camdbench.core.registries import metrics
from camdbench.metrics.common.inputs import MetricInputs
from camdbench.metrics.common.result import MetricResult

_FIXED = {"abs", "normalise", "return_aggregate", "name", "base_metric"}  # stated by the bridge for every metric


def metric_from_object(obj: object) -> tuple[Callable[[MetricInputs], MetricResult], dict[str, Any]] | None:
    """A metric (inputs) -> result and its facts, of a Quantus metric; None for anything else.

    It computes what `quantus:NAME` does with the object's options: `abs`, `normalise` and `return_aggregate` are the bridge's.

    Raises:
        UsageError: the metric is refused, or the object has a setting that `quantus:NAME` has no option for.
    """
    if not any(base.__module__ == "quantus.metrics.base" and base.__name__ == "Metric" for base in type(obj).__mro__):
        return None
    name, held, kind = f"quantus:{type(obj).__name__}", vars(obj), type(obj)
    entry = metrics.get(name)
    options = {option.name: held[option.name] for option in entry.options if option.name in held}
    build: Any = kind
    default = vars(build(**options, disable_warnings=True))
    for key in sorted(held.keys() - options.keys() - _FIXED):
        value = held[key]
        if not key.startswith("_") and isinstance(value, bool | int | float | str) and value != default.get(key):
            raise UsageError(f"{name}: {key} = {value!r}: not an option; the options are {', '.join(options) or 'none'}")
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
