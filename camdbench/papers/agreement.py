"""Agreement of our value of a cell with the paper's: does our interval hold it?"""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Literal

from camdbench.papers.paper_values import PaperValue

Agreement = Literal["agrees", "differs", "small", "not comparable", "not run"]


@dataclass(frozen=True)
class OurValue:
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
class CellComparison:
    """One cell, the paper's value and ours."""

    printed: PaperValue
    ours: OurValue
    agreement: Agreement
    reason: str = ""

    @property
    def difference(self) -> float:
        """Ours less the paper's; NaN where one of them is not there."""
        return math.nan if self.printed.number is None else self.ours.value - float(self.printed.number)


def compare_cell(printed: PaperValue, ours: OurValue, *, small: bool = False, not_comparable: str = "") -> CellComparison:
    """Compare our value of a cell with the paper's.

    The paper's value agrees with ours if some number that would be printed like it lies in our 95 % interval: with the
    value p printed to a last digit of size d, if [p - d/2, p + d/2] and the interval meet. Where ours has no interval, our
    number must be printed like the paper's. A spread that the paper prints is shown, and plays no part.

    Args:
        printed: the paper's cell.
        ours: what was measured.
        small: measured on the embedded data and networks, which is compared with nothing.
        not_comparable: why the two must not be compared, if so.
    """
    if math.isnan(ours.value):
        return CellComparison(printed, ours, "not run", ours.reason)
    if small:
        return CellComparison(printed, ours, "small")
    if not_comparable or printed.number is None:
        return CellComparison(printed, ours, "not comparable", not_comparable or "the paper prints no number")
    low, high = (ours.value, ours.value) if math.isnan(ours.low) else (ours.low, ours.high)
    centre = float(printed.number)
    slack = printed.half_digit * (1 + 1e-9)  # decimal halves have no exact binary form
    return CellComparison(printed, ours, "agrees" if centre - slack <= high and centre + slack >= low else "differs")
