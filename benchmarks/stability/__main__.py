"""Numerical spread of maps and values: one factor changed at a time from a base, written to results/stability.csv.

    python benchmarks/stability --work FOLDER                # measures what FOLDER lacks, then compares
    python benchmarks/stability --work FOLDER --compare      # compares what FOLDER holds

Base: all images in one batch, one thread, native instructions, float32. `docs/stability.md` explains the columns.
"""

from __future__ import annotations

import argparse
import os
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import NamedTuple

import numpy as np
import pandas as pd
from measure import NETWORKS, cases

from camdbench.core.registries import metrics
from camdbench.core.spec import parse_spec

RESULT = Path(__file__).parents[2] / "results" / "stability.csv"
_SCALAR = {"ATEN_CPU_CAPABILITY": "default", "ONEDNN_MAX_CPU_ISA": "SSE41", "MKL_CBWR": "COMPATIBLE"}
_AVX2 = {"ATEN_CPU_CAPABILITY": "avx2", "ONEDNN_MAX_CPU_ISA": "AVX2", "MKL_CBWR": "AVX2"}


class Setting(NamedTuple):
    """A setting: environment of the process, batch size and dtype of network and images."""

    process: str
    run: str


ENVIRONMENTS = {
    "native": {"OMP_NUM_THREADS": "1"},
    "threads": {"OMP_NUM_THREADS": "2"},
    "scalar": {"OMP_NUM_THREADS": "1", **_SCALAR},
    "avx2": {"OMP_NUM_THREADS": "1", **_AVX2},
}
BASE = Setting("native", "16 float32")
FACTORS = {
    "batch of 1": Setting("native", "1 float32"),
    "batches of 3": Setting("native", "3 float32"),
    "two threads": Setting("threads", "16 float32"),
    "no vector instructions": Setting("scalar", "16 float32"),
    "AVX2": Setting("avx2", "16 float32"),
    "float64": Setting("native", "16 float64"),
}


def measure_all(work: Path) -> None:
    """Start one process for each environment whose results are not there, one after another."""
    for name, environment in ENVIRONMENTS.items():
        runs = [setting.run for setting in (BASE, *FACTORS.values()) if setting.process == name]
        if not all((work / name / _file(network, run)).is_file() for network in NETWORKS for run in runs):
            words = [sys.executable, str(Path(__file__).with_name("measure.py")), *(run.replace(" ", ":") for run in runs)]
            subprocess.run([*words, "--out", str(work / name)], env=os.environ | environment, check=True)


def compare(work: Path) -> pd.DataFrame:
    """One row per network, explainer, metric (or map) and factor: largest and mean change from the base."""
    rows = list[dict[str, object]]()
    for network in NETWORKS:
        reduced = {str(case.explainer): case.reduced for case in cases(network)}
        base = _load(work, network, BASE)
        for factor, setting in FACTORS.items():
            other = _load(work, network, setting)
            for name, values in base.items():
                if name in other:
                    kind, explainer, *metric = name.split("|")
                    change = _change(values, other[name], kind)
                    row = {"network": network, "explainer": explainer, "metric": metric[0] if metric else "map", "factor": factor}
                    rows.append(row | change | {"images": len(values), "reduced": reduced.get(explainer, False)})
    return pd.DataFrame(rows).sort_values(["network", "explainer", "metric"], kind="stable", ignore_index=True)


def _change(base: np.ndarray, other: np.ndarray, kind: str) -> dict[str, float]:
    """Largest change of a pixel or of an image's value, and change of the mean over images; undefined values are left out."""
    difference = np.abs(other.astype(np.float64) - base)
    mean = np.nan if kind == "map" else abs(float(np.nanmean(other) - np.nanmean(base))) if np.isfinite(base).any() else 0.0
    return {"largest": float(np.nanmax(difference)) if np.isfinite(difference).any() else 0.0, "mean": mean}


def _load(work: Path, network: str, setting: Setting) -> dict[str, np.ndarray]:
    file = work / setting.process / _file(network, setting.run)
    if not file.is_file():
        return {}
    with np.load(file) as found:
        return dict(found)


def _file(network: str, run: str) -> str:
    return f"{network.replace('/', '+')} {run}.npz"


def _tolerances(table: pd.DataFrame) -> Iterator[str]:
    """Metrics whose mean moved by more than half of their tolerance for golden cells, float32 only."""
    means = table[(table["metric"] != "map") & (table["factor"] != "float64")].groupby(["explainer", "metric"])["mean"].max()
    for (explainer, metric), moved in means.items():
        tolerance = metrics.get(parse_spec(str(metric)).name).facts.tolerance
        if moved > tolerance / 2:
            yield f"{explainer} {metric}: the mean moves by {moved:.3g}, tolerance {tolerance}"


def main() -> None:
    """Measure and compare."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--work", type=Path, required=True, help="folder of the measured maps and values")
    parser.add_argument("--compare", action="store_true", help="measure nothing")
    parser.add_argument("--out", type=Path, default=RESULT, help="CSV file")
    options = parser.parse_args()
    if not options.compare:
        measure_all(options.work)
    table = compare(options.work)
    table.to_csv(options.out, index=False, float_format="%.3g", lineterminator="\n")
    print("\n".join(_tolerances(table)) or "no mean moves by more than half of its tolerance")


if __name__ == "__main__":
    main()
