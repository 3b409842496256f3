"""Regression check: compare the means of a run with golden values."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pandas as pd

from camdbench.core.errors import UsageError
from camdbench.core.files import check_text, reading
from camdbench.core.registries import metrics
from camdbench.core.signs import BREAK
from camdbench.core.spec import parse_spec
from camdbench.core.written_files import write_whole
from camdbench.tables.cell_values import KEY
from camdbench.tables.load import load_run
from camdbench.tables.summary import summarise
from camdbench.tables.table import Cell, Column, Section, Table

GOLDEN_COLUMNS = (*KEY, "mean", "n", "tolerance")
_SUMMARY_COLUMNS = (*KEY, "mean", "n")  # of a summary.csv, as far as they are read
_MOVED = ("moved", "n_differs", "missing")
_COLUMNS = (
    Column("cell", "cell", "text"),
    Column("status", "status", "text"),
    Column("golden_mean", "golden", "number"),
    Column("run_mean", "run", "number"),
    Column("difference", "difference", "number"),
    Column("tolerance", "tolerance", "number"),
)


@dataclass(frozen=True)
class GoldenComparison:
    """Means of a run beside their golden values.

    Attributes:
        cells: one row per cell: the columns `KEY`, golden_mean, run_mean, difference, tolerance, golden_n, run_n and
            status: `ok`; `moved` by more than the tolerance; `n_differs`: another number of images; `missing` or `new` in the run.
    """

    cells: pd.DataFrame

    @property
    def moved(self) -> pd.DataFrame:
        """Cells that fail the check: moved, n_differs, missing."""
        return self.cells[self.cells["status"].isin(_MOVED)]

    @property
    def new(self) -> pd.DataFrame:
        """Cells without a golden value; they do not fail the check."""
        return self.cells[self.cells["status"] == "new"]

    @property
    def ok(self) -> bool:
        """Whether every golden cell agrees."""
        return self.moved.empty


def check(run: str | Path, against: str | Path) -> GoldenComparison:
    """Compare the means of a run with golden values.

    A cell agrees if the numbers of images are equal and the means differ by at most the cell's tolerance, in the metric's unit. If
    the golden mean is missing, the mean of the run must be missing too.

    Args:
        run: a run directory, or its `summary.csv`.
        against: a CSV with the columns `GOLDEN_COLUMNS`, as written by `write_golden`.

    Returns:
        The comparison; `.ok` is True if all cells agree.

    Raises:
        UsageError: not a run, or not a file of golden values.
        CamdbenchError: a file of the run is damaged.
    """
    golden = read_golden(against)
    return compare(read_summary(run), golden)


def compare(summary: pd.DataFrame, golden: pd.DataFrame) -> GoldenComparison:
    """Compare a summary with golden values."""
    key = list(KEY)
    placed, measured = golden.assign(place=range(len(golden))), summary[[*key, "mean", "n"]]
    both = placed.merge(measured, on=key, how="outer", suffixes=("_golden", "_run"), indicator=True)
    both = both.sort_values("place", kind="stable", ignore_index=True)  # order of the golden file, then new cells
    difference = both["mean_run"] - both["mean_golden"]
    within = (difference.abs() <= both["tolerance"]) | (both["mean_run"].isna() & both["mean_golden"].isna())
    status = np.select(
        [both["_merge"] == "left_only", both["_merge"] == "right_only", both["n_golden"] != both["n_run"], ~within],
        ["missing", "new", "n_differs", "moved"],
        default="ok",
    )
    cells = both[key].assign(
        golden_mean=both["mean_golden"],
        run_mean=both["mean_run"],
        difference=difference,
        tolerance=both["tolerance"],
        golden_n=both["n_golden"].astype("Int64"),
        run_n=both["n_run"].astype("Int64"),
        status=status,
    )
    return GoldenComparison(cells)


def read_golden(path: str | Path) -> pd.DataFrame:
    """Read golden values.

    Raises:
        UsageError: no such file, invalid CSV, missing column or cells, invalid number, or duplicate cell.
    """
    file = Path(path)
    golden = _read_cells(file, GOLDEN_COLUMNS, "golden values", "write it with camdbench check RUN --against FILE --update")
    if not (golden["tolerance"] >= 0).all():
        raise UsageError(f"{file}: tolerance and n must be 0 or more, n an integer")
    return golden


def read_summary(run: str | Path) -> pd.DataFrame:
    """Read the means of a run: of its directory, or of the `summary.csv` that `camdbench summarise` writes there.

    Returns:
        One row per cell, with the columns `KEY`, `mean` in the metric's unit and `n`, among others.

    Raises:
        UsageError: neither a run nor such a file.
        CamdbenchError: a file of the run is damaged.
    """
    return _read_cells(Path(run), _SUMMARY_COLUMNS, "summary", "give the summary.csv of a run") if Path(run).is_file() else summarise(run)


def _read_cells(file: Path, columns: Sequence[str], what: str, fix: str) -> pd.DataFrame:
    """Read a CSV with one row per cell; names are kept as they are, numbers parsed."""
    if not file.is_file():
        raise UsageError(f"{file}: no such file; expected a CSV with the columns {', '.join(columns)}")
    with reading(file, fix=f"give a CSV with the columns {', '.join(columns)}"):
        check_text(file)
        cells = pd.read_csv(file, dtype=str, keep_default_na=False)
    if not isinstance(cells.index, pd.RangeIndex):  # pandas uses surplus fields as an index and shifts the others
        raise UsageError(f"{file}: invalid CSV: its rows have more fields than its header")
    if absent := [name for name in columns if name not in cells]:
        raise UsageError(f"{file}: no {what}: missing column {', '.join(absent)}")
    cells = cells[list(columns)]
    if cells.empty:
        raise UsageError(f"{file}: no cells; {fix}")
    for name, empty in (("mean", "nan"), ("n", ""), ("tolerance", "")):
        if name in cells:
            cells[name] = _numbers(cells[name].replace("", empty), file)
    if not ((cells["n"] >= 0) & (cells["n"] % 1 == 0)).all():
        raise UsageError(f"{file}: tolerance and n must be 0 or more, n an integer")
    if cells.duplicated(list(KEY)).any():
        twice = cells[cells.duplicated(list(KEY))].iloc[0]
        raise UsageError(f"{file}: duplicate cell: {', '.join(twice[list(KEY)])}")
    return cells


def write_golden(run: str | Path, path: str | Path, *, tolerances: Mapping[str, float] | None = None) -> pd.DataFrame:
    """Write the means of a run as golden values.

    Args:
        run: a run directory, or its `summary.csv`.
        path: CSV to write; replaced atomically.
        tolerances: by metric spec, in the metric's unit; default: the tolerances of the run's record, or of the metrics.

    Returns:
        The golden values: the columns `GOLDEN_COLUMNS`.

    Raises:
        UsageError: not a run, no finished part, or a tolerance for a metric that the run does not have.
        CamdbenchError: a file of the run is damaged.
    """
    about, summary, own = {} if Path(run).is_file() else load_run(run), read_summary(run), dict(tolerances or {})
    names = list(summary["metric"].unique())
    if unknown := sorted(set(own) - set(names)):
        raise UsageError(f"tolerances: {', '.join(unknown)} not in the run; choose from {', '.join(names)}")
    recorded = {name: facts["tolerance"] for name, facts in about.get("metrics", {}).items() if "tolerance" in facts}
    known = {name: (recorded | own).get(name) for name in names}
    known |= {name: metrics.get(parse_spec(name).name).facts.tolerance for name, value in known.items() if value is None}
    golden = summary.assign(tolerance=summary["metric"].map(known).astype(float))[list(GOLDEN_COLUMNS)]
    write_whole(Path(path), golden.to_csv(index=False, float_format="%.10g", lineterminator="\n"))
    return golden


def golden_table(comparison: GoldenComparison) -> Table:
    """Table of the cells that moved, with a count of the cells."""
    cells, moved = comparison.cells, comparison.moved
    met = int((cells["status"] == "ok").sum())
    without = f"; without a golden value: {len(comparison.new)}" if len(comparison.new) else ""
    count = f"{met} of {len(cells) - len(comparison.new)} golden cells met{without}."
    rows = list[tuple[Cell, ...]]()
    for cell in moved.to_dict("records"):
        what = f"{cell['explainer']} · {cell['metric']} ({cell['protocol']})"
        where = f"{cell['model']} · {cell['dataset']} {cell['split']} · target: {cell['target_rule']}"
        n = cell["golden_n"] if cell["status"] == "missing" else cell["run_n"]
        before = f"{cell['golden_n']} → " if cell["status"] == "n_differs" else f"{cell['status']}{BREAK}"
        status = f"{before}{n} image{'' if n == 1 else 's'}"
        rows.append((Cell(f"{what}{BREAK}{where}"), Cell(status), *(Cell(_write(cell[column.key])) for column in _COLUMNS[2:])))
    return Table("Cells that moved", _COLUMNS, (Section(tuple(rows)),), (count,))


def _write(number: float) -> str:
    return "—" if math.isnan(number) else f"{number:.4g}"


def _numbers(texts: pd.Series, file: Path) -> pd.Series:
    try:
        return texts.map(float).astype(np.float64)  # unlike the parser of pandas, float parses nan
    except ValueError as error:
        raise UsageError(f"{file}, column {texts.name}: {error}") from None
