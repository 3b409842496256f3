"""A run directory as the runner writes it, from values that a test spells out."""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any
from urllib.parse import quote

import pandas as pd
import pytest

from camdbench.core.row import Row
from camdbench.tables.summary import SUMMARY_COLUMNS

FACTS = {
    "ad": {"protocol": "opticam", "higher_is_better": False, "unit": "%", "tolerance": 0.5},
    "ag": {"protocol": "opticam", "higher_is_better": True, "unit": "%", "tolerance": 0.5},
    "ai": {"protocol": "opticam", "higher_is_better": True, "unit": "%", "tolerance": 1.6},
    "sparseness": {"protocol": "own", "higher_is_better": True, "unit": "", "tolerance": 0.01},
    "peak": {"protocol": "default", "higher_is_better": None, "unit": "", "tolerance": 0.01, "switches": {"reduction": "mean"}},
    "ssim": {"protocol": "own", "higher_is_better": True, "unit": "", "tolerance": 0.01},
}
CONTROLS = ("fakecam", "centre", "random")
Values = Mapping[str, Mapping[str, Sequence[float | tuple[float, str]]]]  # explainer -> metric -> value or (value, status) by image
MakeRun = Callable[..., Path]


def rows_of(values: Values, model: str = "net", run: str = "run") -> pd.DataFrame:
    """Tidy rows, image after image; a bare number has status ok."""
    rows = list[Row]()
    for explainer, by_metric in values.items():
        for index in range(len(next(iter(by_metric.values())))):
            for metric, by_image in by_metric.items():
                item = by_image[index]
                value, status = item if isinstance(item, tuple) else (item, "ok")
                reason = "" if status == "ok" else f"it is {status}"
                protocol = FACTS.get(metric, {}).get("protocol", "p")
                row = Row(
                    run, "shapes", "val", f"i{index}", 1, model, explainer, "label", 1, metric, protocol, "00c0ffee", value, status, reason
                )
                rows.append(row)
    return pd.DataFrame(rows, columns=list(Row._fields)).astype({"value": float})


def write_part(folder: Path, kind: str, model: str, explainer: str, part: pd.DataFrame, chunk: int = 0) -> Path:
    file = folder / kind / f"model={quote(model, safe='')}" / f"explainer={quote(explainer, safe='')}" / f"part-{chunk:05d}.parquet"
    file.parent.mkdir(parents=True, exist_ok=True)
    part.drop(columns=["model", "explainer"], errors="ignore").to_parquet(file, index=False)
    return file


@pytest.fixture
def make_run(tmp_path: Path) -> MakeRun:
    """Write a run directory; models share the values unless `values_of` gives a model its own."""

    def make(
        values: Values,
        *,
        name: str = "run",
        models: Sequence[str] = ("net",),
        costs: Mapping[str, Sequence[Mapping[str, Any]]] | None = None,
        request: Mapping[str, Any] | None = None,
        values_of: Mapping[str, Values] | None = None,
    ) -> Path:
        folder = tmp_path / name
        rows = pd.concat([rows_of((values_of or {}).get(model, values), model, name) for model in models], ignore_index=True)
        metrics = list(rows["metric"].unique())
        record = {
            "schema": 2,
            "run": name,
            "config": {"explainers": list(values), "metrics": metrics, "models": list(models), **(request or {})},
            "explainers": {spec: {"paper": "p", "control": spec in CONTROLS} for spec in values},
            "metrics": {spec: FACTS[spec] for spec in metrics},
            "models": {model: {} for model in models},
            "ids": list(rows["image"].unique()),
        }
        folder.mkdir(exist_ok=True)
        (folder / "run.json").write_text(json.dumps(record), encoding="utf-8")
        for (model, explainer), part in rows.groupby(["model", "explainer"]):
            write_part(folder, "rows", str(model), str(explainer), part)
        for explainer, stages in (costs or {}).items():
            for model in models:
                write_part(folder, "usage", model, explainer, pd.DataFrame(list(stages)))
        return folder

    return make


@pytest.fixture
def make_rows() -> Callable[..., pd.DataFrame]:
    return rows_of


@pytest.fixture
def add_part() -> Callable[..., Path]:
    return write_part


@pytest.fixture
def make_summary() -> Callable[..., pd.DataFrame]:
    """A summary written down directly: one mapping per cell, the rest filled with plain values."""

    def make(*cells: Mapping[str, Any]) -> pd.DataFrame:
        plain: dict[str, Any] = {"dataset": "shapes", "split": "val", "model": "net", "protocol": "opticam", "target_rule": "label"}
        plain |= {"mean": 1.0, "ci_low": 0.5, "ci_high": 1.5, "n": 4, "tie_group": ""}
        plain |= dict.fromkeys(("n_failed", "n_not_applicable", "n_undefined", "n_constant"), 0)
        plain |= {"passes_per_image": 2.0, "seconds_per_image": 0.25}
        lines = list[dict[str, Any]]()
        for cell in cells:
            facts = FACTS[cell["metric"]]
            own = {name: facts[name] for name in ("unit", "higher_is_better", "protocol")} | {"is_control": cell["explainer"] in CONTROLS}
            lines.append(plain | own | cell)
        return pd.DataFrame(lines)[list(SUMMARY_COLUMNS)]

    return make
