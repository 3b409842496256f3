"""The verdict on a cell: does our interval hold the paper's value?"""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Literal

from camdbench.papers.printed import Printed

Verdict = Literal["agrees", "differs", "scaled", "not compared", "not run"]


@dataclass(frozen=True)
class Measured:
    """Our number of a cell, in the unit of the paper.

    Attributes:
        value: the number; NaN where it could not be measured.
        low: lower end of its 95 % interval, over images, or over seeds where there are several; NaN where there is none.
        high: its upper end.
        n: images behind it.
        seeds: trained networks behind it.
        reason: why there is no number; empty where there is one.
        fault: whether something went wrong, so that the command does not end well.
    """

    value: float = math.nan
    low: float = math.nan
    high: float = math.nan
    n: int = 0
    seeds: int = 1
    reason: str = ""
    fault: bool = False


@dataclass(frozen=True)
class Line:
    """One cell, the paper's value and ours."""

    printed: Printed
    ours: Measured
    verdict: Verdict
    reason: str = ""

    @property
    def difference(self) -> float:
        """Ours less the paper's; NaN where one of them is not there."""
        return math.nan if self.printed.number is None else self.ours.value - float(self.printed.number)


def judge(printed: Printed, ours: Measured, *, scaled: bool = False, unlike: str = "") -> Line:
    """The verdict on one cell.

    The paper's value agrees with ours if some number that would be printed like it lies in our 95 % interval: with the
    value p printed to a last digit of size d, if [p - d/2, p + d/2] and the interval meet. Where ours has no interval, our
    number must be printed like the paper's. A spread that the paper prints is shown, and plays no part.

    Args:
        printed: the paper's cell.
        ours: what was measured.
        scaled: measured on the embedded data and networks, which is compared with nothing.
        unlike: why the two must not be compared, if so.
    """
    if math.isnan(ours.value):
        return Line(printed, ours, "not run", ours.reason)
    if scaled:
        return Line(printed, ours, "scaled")
    if unlike or printed.number is None:
        return Line(printed, ours, "not compared", unlike or "the paper prints no number")
    low, high = (ours.value, ours.value) if math.isnan(ours.low) else (ours.low, ours.high)
    centre = float(printed.number)
    slack = printed.half_digit * (1 + 1e-9)  # decimal halves have no exact binary form
    return Line(printed, ours, "agrees" if centre - slack <= high and centre + slack >= low else "differs")
