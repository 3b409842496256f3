"""Values of a paper's table, as printed."""

from __future__ import annotations

import csv
import io
import re
from dataclasses import dataclass
from decimal import Decimal
from pathlib import Path

from camdbench.core.errors import CamdbenchError
from camdbench.core.files import read_text, reading

COLUMNS = ("table", "dataset", "model", "method", "metric", "value", "std", "higher_is_better")
_NUMBER = re.compile(r"(-?[0-9]{1,15}(\.[0-9]{1,15})?)?")  # as printed; empty without one


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
    text = read_text(file, fix="write the printed values into it", error=CamdbenchError)
    with reading(file, fix=f"expected the columns {','.join(COLUMNS)}", error=CamdbenchError):
        lines = list(csv.DictReader(io.StringIO(text, newline=""), restkey="", restval=""))
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
        if not _NUMBER.fullmatch(line[name]):
            raise CamdbenchError(f"{file}: {name} {line[name]!r} is not a number")
    directions = {"true": True, "false": False, "": None}
    if line["higher_is_better"] not in directions:
        raise CamdbenchError(f"{file}: higher_is_better {line['higher_is_better']!r}: expected true, false or nothing")
    better = directions[line["higher_is_better"]]
    return PaperValue(line["dataset"], line["model"], line["method"], line["metric"], line["value"], line["std"], better)
