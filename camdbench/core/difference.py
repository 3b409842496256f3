"""Differences between implementations of one method."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True)
class Difference:
    """A difference between another implementation of a metric or explainer and ours.

    Attributes:
        who: paper, library or release.
        what: behaviour of the other implementation.
        effect: effect on its values; empty if unknown.
    """

    who: str
    what: str
    effect: str = ""
