"""Values of a paper's table, as printed."""

from __future__ import annotations

import csv
from dataclasses import dataclass
from decimal import Decimal, InvalidOperation
from pathlib import Path

from camdbench.core.errors import CamdbenchError

COLUMNS = ("table", "dataset", "model", "method", "metric", "value", "std", "higher_is_better")


@dataclass(frozen=True)
class PaperValue:
    """One cell of a table, or one point of a figure, which has no printed value.

    Attributes:
        dataset: label of the data set.
        model: label of the network.
        method: label of the line.
        metric: label of the column.
        value: the value with all printed digits; empty without one.
        std: printed standard deviation; empty without one.
        higher_is_better: direction of the paper's arrow; None without an arrow.
    """

    dataset: str
    model: str
    method: str
    metric: str
    value: str
    std: str
    higher_is_better: bool | None

    @property
    def labels(self) -> tuple[str, str, str, str]:
        """Labels that identify the cell in its table."""
        return self.dataset, self.model, self.method, self.metric

    @property
    def number(self) -> Decimal | None:
        """The printed value as an exact number."""
        return Decimal(self.value) if self.value else None

    @property
    def half_digit(self) -> float:
        """Half a unit of the last printed digit: the largest rounding error.

        >>> PaperValue("", "", "", "", "0.4860", "", None).half_digit, PaperValue("", "", "", "", "63", "", None).half_digit
        (5e-05, 0.5)
        """
        exponent = Decimal(self.value or "0").as_tuple().exponent
        return 0.5 * 10.0 ** int(exponent)


def read_paper_values(file: Path) -> tuple[PaperValue, ...]:
    """Read the values of one table.

    Raises:
        CamdbenchError: the columns differ, a value is not a number, or a cell is repeated.
    """
    with file.open(encoding="utf-8", newline="") as stream:
        lines = list(csv.DictReader(stream))
    if not lines or tuple(lines[0]) != COLUMNS:
        raise CamdbenchError(f"{file}: expected the columns {','.join(COLUMNS)} and at least one line")
    cells = tuple(_read(line, file) for line in lines)
    seen = set[tuple[str, str, str, str]]()
    for cell in cells:
        if cell.labels in seen:
            raise CamdbenchError(f"{file}: the cell {' / '.join(cell.labels)} is listed twice; remove one line")
        seen.add(cell.labels)
    return cells


def _read(line: dict[str, str], file: Path) -> PaperValue:
    for name in ("value", "std"):
        try:
            Decimal(line[name] or "0")
        except InvalidOperation:
            raise CamdbenchError(f"{file}: {name} {line[name]!r} is not a number") from None
    better = {"true": True, "false": False, "": None}[line["higher_is_better"]]
    return PaperValue(line["dataset"], line["model"], line["method"], line["metric"], line["value"], line["std"], better)
