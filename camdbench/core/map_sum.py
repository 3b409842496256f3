"""Completeness: what the raw map of an explainer sums to; free of torch."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any, Literal

Reference = Literal["black", "mean", "zero"]


@dataclass(frozen=True)
class Completeness:
    """Claim that the values of a raw map sum to y(x) - y(x'), with a reference image x' of one colour.

    Attributes:
        reference: option that names the colour of x', `black` or `mean`; or `zero`: the map sums to y(x) itself.
        when: options and the values with which the claim is made; default: always.
    """

    reference: str
    when: Mapping[str, Any] = field(default_factory=dict[str, Any], hash=False)

    def __str__(self) -> str:
        """Text shown by `camdbench list`.

        >>> print(Completeness("baseline", when={"channels": "sum"}))
        the map sums to y(x) - y(x'), x' of the colour baseline, if channels=sum
        """
        total = "y(x)" if self.reference == "zero" else f"y(x) - y(x'), x' of the colour {self.reference}"
        conditions = " and ".join(f"{name}={value}" for name, value in self.when.items())
        return f"the map sums to {total}{f', if {conditions}' if conditions else ''}"

    def of(self, options: Mapping[str, Any]) -> Reference | None:
        """Colour of x' under option values, `zero` if the map sums to y(x); None: no claim is made.

        >>> Completeness("baseline", when={"channels": "sum"}).of({"baseline": "mean", "channels": "sum"})
        'mean'
        """
        if any(options[name] != value for name, value in self.when.items()):
            return None
        found = options.get(self.reference, self.reference)
        return found if found in ("black", "mean", "zero") else None
