"""docs/huggingface.md and results/huggingface.csv: the page prints the file, which has every family."""

from __future__ import annotations

import runpy
from pathlib import Path

import pandas as pd
import pytest

from camdbench.models.huggingface_layers import FAMILIES

ROOT = Path(__file__).parents[1]


def test_the_page_prints_the_measured_table_of_all_families() -> None:
    tool = ROOT / "benchmarks" / "huggingface" / "__main__.py"
    if not tool.is_file():
        pytest.skip("run from the working tree, not from an installed wheel")
    lines = pd.read_csv(ROOT / "results" / "huggingface.csv", dtype=str)
    assert lines["family"].tolist() == sorted(FAMILIES)
    assert runpy.run_path(str(tool))["page_table"](lines) in (ROOT / "docs" / "huggingface.md").read_text(encoding="utf-8")
