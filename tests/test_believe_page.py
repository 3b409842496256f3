"""docs/believe.md holds the numbers of the study's CSV files, and its blocks are written by benchmarks/shortcuts/audit_page.py."""

from __future__ import annotations

import importlib.util
from pathlib import Path

import pandas as pd

ROOT = Path(__file__).parents[1]
_SPEC = importlib.util.spec_from_file_location("audit_page", ROOT / "benchmarks" / "shortcuts" / "audit_page.py")
assert _SPEC is not None
assert _SPEC.loader is not None
audit_page = importlib.util.module_from_spec(_SPEC)
_SPEC.loader.exec_module(audit_page)
PAGE = (ROOT / "docs" / "believe.md").read_text(encoding="utf-8")


def test_the_page_holds_the_tables_of_the_results() -> None:
    assert audit_page.filled(PAGE, ROOT / "results") == PAGE


def test_a_table_holds_the_values_of_its_file(tmp_path: Path) -> None:
    facts = {"family": "data", "group": "main", "model": "*"}
    network = facts | {"model": "c100-s0", "n": 48, "accuracy": 97.5, "share": 0.354, "share_low": 0.3, "share_high": 0.4}
    pd.DataFrame([network | {"share_positive": 0.4, "se_share": 0.05, "reliability": 0.9}]).to_csv(
        tmp_path / "audit_networks.csv", index=False
    )
    explainer = facts | {"explainer": "gradcam", "set": "real", "share_map": 0.6, "error": 0.2, "error_low": 0.1, "error_high": 0.3}
    explainer |= {"tracking": 0.912, "tracking_low": 0.8, "tracking_high": 0.95, "slope": 1.3, "same_as": ""}
    pd.DataFrame([explainer]).to_csv(tmp_path / "audit_explainers.csv", index=False)
    metric = facts | {"metric": "ad", "set": "real", "explainers": 30, "n": 48, "tau_low": -0.5, "tau_high": 0.1, "tau_worst": -0.7}
    metric |= {"above_fakecam": 0.07, "above_random": 0.8, "above_centre": 0.2, "above_edges": 0.43, "alpha": 0.3, "conclusion": "open"}
    pd.DataFrame([metric | {"truth": "error", "tau": 0.25}, metric | {"truth": "tracking", "tau": -0.254}]).to_csv(
        tmp_path / "metric_audit.csv", index=False
    )
    page = audit_page.filled(PAGE, tmp_path)
    assert "| data | `c100-s0` | 48 | 97.5 | 0.35 [0.30, 0.40] | 0.40 | 0.05 | 0.90 |" in page
    assert "| `gradcam` | real | 0.60 | 0.20 [0.10, 0.30] | 0.91 [0.80, 0.95] | 1.30 |  |" in page
    assert "| `ad` | 48 | 30 | -0.25 [-0.50, 0.10] | 0.25 [-0.50, 0.10] | -0.70 | 7 80 20 43 | 0.30 | open | open |" in page
    assert audit_page.ABSENT not in page
    assert audit_page.filled(page, tmp_path / "nowhere") == audit_page.filled(PAGE, tmp_path / "nowhere")
