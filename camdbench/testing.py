"""For tests of one's own: a run held to golden values."""

from __future__ import annotations

import math
from pathlib import Path
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    import pandas as pd

    from camdbench.tables.golden import GoldenComparison

__all__ = ["assert_matches_golden"]

_SHOWN = 20  # cells that a failed assertion spells out; `camdbench check` shows them all


def assert_matches_golden(run_or_rows: str | Path | pd.DataFrame, golden_csv: str | Path) -> None:
    """Fail a test where a mean of a run has moved from its golden value by more than the cell's tolerance.

    Every cell of the file must be met: the same mean within its tolerance, over as many images. Cells that the file does
    not know fail nothing. The same results as those of `camdbench check`.

        from camdbench.testing import assert_matches_golden

        def test_my_explainer():
            assert_matches_golden(camdbench.run("my_cam", "ad,ag", limit=16), "tests/golden.csv")

    Args:
        run_or_rows: a run directory, or rows as `camdbench.run` and `camdbench.load_rows` return them, or a part of those.
        golden_csv: golden values, as `camdbench check RUN --against FILE --update` writes them.

    Raises:
        AssertionError: a cell moved; the text says which, from what, to what, and what was tolerated.
        UsageError: either is not what it should be.
    """
    __tracebackhide__ = True  # pytest shows the test's line, not this one
    from camdbench.tables.golden import compare, read_golden

    comparison = compare(_summary(run_or_rows), read_golden(golden_csv))
    if not comparison.ok:
        raise AssertionError(_text(comparison, golden_csv))


def _summary(run_or_rows: Any) -> pd.DataFrame:
    import pandas as pd

    from camdbench.tables.load import load_curves, load_run
    from camdbench.tables.summary import summarise

    home = run_or_rows.attrs.get("run") if isinstance(run_or_rows, pd.DataFrame) else None
    if home is None:
        return summarise(run_or_rows)
    return summarise(run_or_rows, about=load_run(home), curves=load_curves(home))  # some numbers are made of curves, not of rows


def _text(comparison: GoldenComparison, golden_csv: str | Path) -> str:
    moved = comparison.moved
    known = len(comparison.cells) - len(comparison.new)
    lines = [f"{len(moved)} of {known} golden cells of {golden_csv} moved:"]
    lines += [_line(cell) for cell in moved.head(_SHOWN).to_dict("records")]
    if len(moved) > _SHOWN:
        lines.append(f"  … and {len(moved) - _SHOWN} more")
    return "\n".join([*lines, f"If that is meant: camdbench check RUN --against {golden_csv} --update"])


def _line(cell: dict[Any, Any]) -> str:
    """What moved, from, to, and by how much it might have."""
    name = f"  {cell['explainer']} · {cell['metric']} ({cell['protocol']}) · {cell['model']} · {cell['dataset']} {cell['split']}"
    name += f" · target: {cell['target_rule']}: "
    if cell["status"] == "missing":
        return f"{name}missing in the run; golden mean {_write(cell['golden_mean'])}"
    means = f"{_write(cell['golden_mean'])} → {_write(cell['run_mean'])}"
    if cell["status"] == "n_differs":
        return f"{name}{cell['golden_n']} → {cell['run_n']} images (mean {means})"
    return f"{name}mean {means}, tolerance {_write(cell['tolerance'])}"


def _write(number: float) -> str:
    return "no value" if math.isnan(number) else f"{number:.6g}"
