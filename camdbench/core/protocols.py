"""Protocols: seven switches that distinguish variants of one metric; free of torch."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from typing import Any

SWITCHES = ("masking", "scored_class", "scored_output", "maps", "resize", "ground_truth", "reduction")


@dataclass(frozen=True)
class Protocol:
    """Convention for computing the values of a metric; an empty switch does not apply to the metric.

    An option of the metric's function with the name of a switch takes the switch's value under the protocol.

    Attributes:
        name: value of `protocol=`.
        masking: colour space and replacement of masked pixels.
        scored_class: class whose score is read: `target` (explained), `predicted` or `label`.
        scored_output: output of the network that is read: `probability`, `logit`, ….
        maps: normalisation of maps: `default` is the explainer's normalisation to [0, 1], `raw` the raw map.
        resize: interpolation of maps to image size.
        ground_truth: kind of ground truth, and whether box ends are inclusive.
        reduction: reduction over images (see `camdbench.tables.aggregates`).
        paper: source of the convention if it differs from the metric's paper.
        options: values of further options of the metric's function.
    """

    name: str
    masking: str = ""
    scored_class: str = ""
    scored_output: str = ""
    maps: str = ""
    resize: str = ""
    ground_truth: str = ""
    reduction: str = "mean"
    paper: str = ""
    options: Mapping[str, Any] = field(default_factory=dict[str, Any], hash=False)

    def variant(self, name: str, **changes: Any) -> Protocol:
        """A copy with another name and `changes`; paper and options are not inherited.

        >>> Protocol("a", masking="pixels").variant("b", scored_class="label").switches["masking"]
        'pixels'
        """
        return replace(self, **({"name": name, "paper": "", "options": {}} | changes))

    @property
    def switches(self) -> dict[str, str]:
        """All switches by name."""
        return {name: getattr(self, name) for name in SWITCHES}

    def with_options(self, options: Mapping[str, Any]) -> Protocol:
        """The protocol with option values; an option named like a switch sets the switch.

        >>> Protocol("rise", masking="normalised").with_options({"masking": "pixels", "step": 8}).masking
        'pixels'
        """
        switched = {name: str(value) for name, value in options.items() if name in SWITCHES}
        return replace(self, **switched, options={name: value for name, value in options.items() if name not in SWITCHES})

    def digest(self, metric: str) -> str:
        """Hash (8 hex digits) of metric, switches and options; the name does not enter.

        >>> Protocol("a", masking="pixels").digest("ad") == Protocol("b", masking="pixels").digest("ad")
        True
        """
        text = json.dumps([metric, self.switches, dict(self.options)], sort_keys=True, default=str)
        return hashlib.sha256(text.encode()).hexdigest()[:8]
