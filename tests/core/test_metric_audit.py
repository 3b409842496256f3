"""The line of a metric in the published audit, and none where there is none."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from camdbench.cli.main import run_cli
from camdbench.core import metric_audit
from camdbench.core.metric_audit import audit_lines

TABLE = """family,set,model,metric,truth,tau,tau_low,tau_high,tau_worst,conclusion
data,real,*,insertion,tracking,0.691,0.334,0.712,,follows
data,real,*,insertion,error,0.318,0.09,0.47,-0.07,open
data,real,bg-s0,insertion,error,-0.07,-0.4,0.2,,open
guided,real,*,insertion,tracking,-0.9,-1,-0.8,,against
data,real+controls,*,insertion,tracking,-0.9,-1,-0.8,,against
data,real,*,"insertion(protocol=""rise"")",tracking,0.5,,,,open
data,real,*,ad,tracking,,,,,open
"""


def test_a_metric_has_one_line_per_spec(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> None:
    file = tmp_path / "metric_audit.csv"
    assert audit_lines("insertion", file) == []
    file.write_text(TABLE, encoding="utf-8")
    expected = [
        "insertion: tau 0.69 [0.33, 0.71] with tracking truth, follows; tau 0.32 [0.09, 0.47] with error truth (worst network -0.07), open",
        'insertion(protocol="rise"): tau 0.50 with tracking truth, open',
    ]
    assert audit_lines("insertion", file) == expected
    assert audit_lines("pointing", file) == []
    monkeypatch.setattr(metric_audit, "audit_file", lambda: file)
    assert run_cli(["list", "metrics", "insertion"]) == 0
    assert f"audit             {expected[0]}\naudit             {expected[1]}\n" in capsys.readouterr().out
    assert run_cli(["list", "metrics", "insertion", "--json"]) == 0
    assert json.loads(capsys.readouterr().out)[0]["audit"] == expected
    assert run_cli(["list", "metrics", "pointing"]) == 0
    assert "\naudit  " not in capsys.readouterr().out
