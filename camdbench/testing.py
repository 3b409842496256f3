"""Test helper: compare a run with golden values."""

from __future__ import annotations

import math
from pathlib import Path
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    import pandas as pd

    from camdbench.tables.golden import GoldenComparison

__all__ = ["assert_matches_golden"]

_SHOWN = 20  # cells listed by a failed assertion; `camdbench check` lists all


def assert_matches_golden(run_or_rows: str | Path | pd.DataFrame, golden_csv: str | Path) -> None:
    """Fail a test if a mean of a run differs from its golden value by more than the cell's tolerance.

    Every cell of the file must agree: the mean within its tolerance, over the same number of images. Cells that are not in the file
    are ignored. The results equal those of `camdbench check`.

        from camdbench.testing import assert_matches_golden

        def test_my_explainer():
            assert_matches_golden(camdbench.run("my_cam", "ad,ag", limit=16), "tests/golden.csv")

    Args:
        run_or_rows: a run directory, or rows as returned by `camdbench.run` and `camdbench.load_rows`, or a subset of them.
        golden_csv: golden values, as written by `camdbench check RUN --against FILE --update`.

    Raises:
        AssertionError: a cell moved; the message lists cells, golden and new means, and tolerances.
        UsageError: not a run, or not a file of golden values.
    """
    __tracebackhide__ = True  # pytest shows the test's line, not this one
    from camdbench.tables.golden import compare, read_golden

    comparison = compare(_summary(run_or_rows), read_golden(golden_csv))
    if not comparison.ok:
        raise AssertionError(_text(comparison, golden_csv))


def _summary(run_or_rows: Any) -> pd.DataFrame:
    import pandas as pd

    from camdbench.tables.curve_lists import RunCurves
    from camdbench.tables.load import load_run
    from camdbench.tables.summary import summarise

    home = run_or_rows.attrs.get("run") if isinstance(run_or_rows, pd.DataFrame) else None
    if home is None:
        return summarise(run_or_rows)
    return summarise(run_or_rows, about=load_run(home), curves=RunCurves((Path(home),)))  # some reductions need the run's curves


def _text(comparison: GoldenComparison, golden_csv: str | Path) -> str:
    moved = comparison.moved
    known = len(comparison.cells) - len(comparison.new)
    lines = [f"{len(moved)} of {known} golden cells of {golden_csv} moved:"]
    lines += [_line(cell) for cell in moved.head(_SHOWN).to_dict("records")]
    if len(moved) > _SHOWN:
        lines.append(f"  … and {len(moved) - _SHOWN} more")
    return "\n".join([*lines, f"If intended: camdbench check RUN --against {golden_csv} --update"])


def _line(cell: dict[Any, Any]) -> str:
    """Describe a cell that moved: golden and new mean, tolerance."""
    name = f"  {cell['explainer']} · {cell['metric']} ({cell['protocol']}) · {cell['model']} · {cell['dataset']} {cell['split']}"
    name += f" · target: {cell['target_rule']}: "
    if cell["status"] == "missing":
        return f"{name}missing in the run; golden mean {_format(cell['golden_mean'])}"
    means = f"{_format(cell['golden_mean'])} → {_format(cell['run_mean'])}"
    if cell["status"] == "n_differs":
        return f"{name}{cell['golden_n']} → {cell['run_n']} images (mean {means})"
    return f"{name}mean {means}, tolerance {_format(cell['tolerance'])}"


def _format(number: float) -> str:
    return "no value" if math.isnan(number) else f"{number:.6g}"
