"""Where the values on a page come from, which jobs are missing, and data whose pictures are not copied."""

from __future__ import annotations

import html
import json
import os
import shlex
from dataclasses import replace
from pathlib import Path

import pytest

import camdbench
from camdbench.cli.main import run_cli
from camdbench.core.errors import UsageError
from camdbench.core.registries import datasets
from camdbench.reporting.report_provenance import provenance
from camdbench.reporting.report_runs import open_runs
from camdbench.tables.load import load_run

HOUR_AGO = 1_000_000_000.0


@pytest.fixture
def run(tmp_path: Path) -> Path:
    camdbench.run("gradcam,saliency", "ad", limit=3, out=tmp_path / "run")
    return tmp_path / "run"


def test_a_run_is_made_again_by_the_lines_of_its_page(run: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    [shown] = open_runs([run])
    own = provenance(shown, run)
    _, pins, command = own.again.splitlines()
    versions = load_run(run)["sessions"][0]["versions"]
    assert shlex.split(pins)[:2] == ["pip", "install"]
    assert shlex.split(pins)[2:] == [f"{name}=={version}" for name, version in versions.items() if name != "python"]
    monkeypatch.chdir(tmp_path)
    assert run_cli([*shlex.split(command)[1:], "-q"]) == 0
    rows = [camdbench.load_rows(folder)[["explainer", "image", "value"]] for folder in (run, tmp_path / "run-again")]
    assert rows[0].equals(rows[1])
    about = load_run(run)
    assert own.hashes["data"] == about["dataset"]["fingerprint"]
    assert own.hashes["weights of shortcuts-ce"] == about["models"]["shortcuts-ce"]["weights_hash"]
    assert own.hashes["code of camdbench"] == about["code"]
    assert own.sessions[0].facts["how it ended"] == "finished"


def test_an_audit_in_the_folder_of_the_run_is_linked(run: Path, tmp_path: Path):
    [shown] = open_runs([run])
    assert provenance(shown, run).audits == {}
    camdbench.audit(run, truth="none", resamples=2, progress=False)
    assert provenance(shown, run).audits == {"run/audit/audit.md": "audit/audit.md"}
    assert provenance(shown, run / "report").audits == {"run/audit/audit.md": "../audit/audit.md"}
    assert provenance(shown, tmp_path).audits == {}
    assert '<a href="audit/audit.md">run/audit/audit.md</a>' in camdbench.report(run, images=0).file.read_text()


def test_lost_sessions_and_missing_jobs_are_named(run: Path):
    [session] = (run / "sessions").glob("*.json")
    facts = json.loads(session.read_text(encoding="utf-8"))
    lost = session.with_name(f"0{session.name}")
    lost.write_text(json.dumps(facts | {"end": None, "ended": None, "host": "node7"}), encoding="utf-8")
    os.utime(lost, (HOUR_AGO, HOUR_AGO))
    [part] = run.glob("rows/*/explainer=saliency/*.parquet")
    part.unlink()
    text = html.unescape(camdbench.report(run).file.read_text(encoding="utf-8"))
    assert "run: 1 of 2 jobs are done; the same command again computes the others." in text
    assert "1 session was lost (no end, no heartbeat for 2 minutes): node7 since" in text
    [part] = run.glob("rows/*/explainer=gradcam/*.parquet")
    part.unlink()
    with pytest.raises(UsageError, match="no rows, as no job is finished; run the same command again"):
        camdbench.report(run)


def test_data_that_should_not_be_copied_are_not_unless_asked_for(run: Path, monkeypatch: pytest.MonkeyPatch):
    assert datasets.get("chest_xray").facts.no_copies
    entry = datasets.get("shortcuts")
    facts = replace(entry.facts, no_copies="drawn by hand", licence="for looking at")
    monkeypatch.setitem(datasets._entries(), "shortcuts", replace(entry, facts=facts))
    for given, copies in (([], False), (["--show-images"], True), (["--no-images"], False)):
        assert run_cli(["report", str(run), *given]) == 0
        text = html.unescape((run / "report.html").read_text(encoding="utf-8"))
        assert ('"input":"' in text) == copies
        assert ("Inputs and maps are not shown: drawn by hand; --show-images shows them." in text) == (not given)
        assert ("Licence of shortcuts: for looking at. The page holds copies of its pictures." in text) == copies
