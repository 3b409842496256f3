"""Agreement of a measured value with the paper's value: is the paper's value in the confidence interval?"""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Literal

from camdbench.papers.paper_values import PaperValue

Agreement = Literal["agrees", "differs", "small", "not comparable", "not run"]


@dataclass(frozen=True)
class OurValue:
    """Measured value of a cell, in the unit of the paper.

    Attributes:
        value: the value; NaN if not measured.
        low: lower end of its 95 % interval over images, or over seeds if there are several; NaN without an interval.
        high: upper end of that interval.
        n: number of images.
        seeds: number of trained networks.
        reason: why there is no value; empty if there is one.
        fault: whether the measurement failed; the command then exits with an error.
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
    """The paper's value and the measured value of a cell."""

    paper: PaperValue
    measured: OurValue
    agreement: Agreement
    reason: str = ""

    @property
    def difference(self) -> float:
        """Measured minus paper's value; NaN if one is missing."""
        return math.nan if self.paper.number is None else self.measured.value - float(self.paper.number)


def compare_cell(paper: PaperValue, measured: OurValue, *, small: bool = False, not_comparable: str = "") -> CellComparison:
    """Compare the measured value of a cell with the paper's value.

    A paper's value p, printed with a last digit of size d, agrees if [p - d/2, p + d/2] overlaps the 95 % interval of the
    measured value. Without an interval, the measured value must round to p. A printed standard deviation has no effect.

    Args:
        paper: the paper's cell.
        measured: the measured value.
        small: whether it was measured on the embedded data and networks; it is not compared then.
        not_comparable: why the values must not be compared; empty if they may.
    """
    if math.isnan(measured.value):
        return CellComparison(paper, measured, "not run", measured.reason)
    if small:
        return CellComparison(paper, measured, "small")
    if not_comparable or paper.number is None:
        return CellComparison(paper, measured, "not comparable", not_comparable or "the paper prints no number")
    low, high = (measured.value, measured.value) if math.isnan(measured.low) else (measured.low, measured.high)
    centre = float(paper.number)
    slack = paper.half_digit * (1 + 1e-9)  # decimal halves have no exact binary form
    return CellComparison(paper, measured, "agrees" if centre - slack <= high and centre + slack >= low else "differs")
