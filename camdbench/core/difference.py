"""Differences between implementations of one method."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True)
class Difference:
    """One way in which another implementation of a metric or explainer departs from ours.

    Attributes:
        who: the paper, library or release.
        what: what it does.
        effect: what that does to its values; empty if unknown.
    """

    who: str
    what: str
    effect: str = ""
