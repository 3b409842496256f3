"""Protocols: the seven switches by which two readings of one metric differ; free of torch."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from typing import Any

SWITCHES = ("masking", "scored_class", "scored_output", "maps", "resize", "ground_truth", "reduction")


@dataclass(frozen=True)
class Protocol:
    """One convention by which the values of a metric are made; an empty switch does not apply to the metric.

    Where the metric's function has an option named like a switch, the switch is that option's value under the protocol.

    Attributes:
        name: what `protocol=` takes.
        masking: the space in which pixels are masked or replaced, and by what.
        scored_class: the class whose score counts: `target` (the explained one), `predicted` or `label`.
        scored_output: what is read of the network: `probability`, `logit`, ….
        maps: how maps are normalised: `default` is the explainer's own normalisation to [0, 1], `raw` its raw map.
        resize: how maps reach the size of the image.
        ground_truth: how ground truth is brought to the image, and whether the ends of boxes are inclusive.
        reduction: how values of images become the number of the table (see `camdbench.tables.aggregates`).
        paper: where the convention comes from, if not from the metric's own paper.
        options: values of further options of the metric's function under this protocol.
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
        """The same convention under another name, apart from `changes`; paper and options are not inherited.

        >>> Protocol("a", masking="pixels").variant("b", scored_class="label").switches["masking"]
        'pixels'
        """
        return replace(self, **({"name": name, "paper": "", "options": {}} | changes))

    @property
    def switches(self) -> dict[str, str]:
        """The seven switches by name."""
        return {name: getattr(self, name) for name in SWITCHES}

    def with_options(self, options: Mapping[str, Any]) -> Protocol:
        """The protocol as it is under these options: an option named like a switch sets the switch.

        >>> Protocol("rise", masking="normalised").with_options({"masking": "pixels", "step": 8}).masking
        'pixels'
        """
        switched = {name: str(value) for name, value in options.items() if name in SWITCHES}
        return replace(self, **switched, options={name: value for name, value in options.items() if name not in SWITCHES})

    def digest(self, metric: str) -> str:
        """Eight hexadecimal digits that change with every switch and option, whatever the protocol is called.

        >>> Protocol("a", masking="pixels").digest("ad") == Protocol("b", masking="pixels").digest("ad")
        True
        """
        text = json.dumps([metric, self.switches, dict(self.options)], sort_keys=True, default=str)
        return hashlib.sha256(text.encode()).hexdigest()[:8]
