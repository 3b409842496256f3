"""Kill -9, then the same command again: the same rows, none twice, none lost."""

from __future__ import annotations

import shutil
import signal
import sys
from datetime import datetime, timedelta
from itertools import pairwise
from pathlib import Path
from typing import Any
from unittest.mock import patch

import pandas as pd
import pyarrow.parquet as pq
import pytest
from helpers import killed
from helpers.processes import forkserver

from camdbench.core import provenance
from camdbench.core.registry import load_plugin
from camdbench.runner import run_directory
from camdbench.tables.load import load_rows, load_run, load_usage

pytestmark = pytest.mark.timeout(600)  # processes start slowly on a busy machine

REQUEST: dict[str, Any] = {
    "explainers": "gradcam,opticam(iterations=2)",
    "metrics": "ad,ag,ai",
    "limit": 8,
    "dataset": "shortcuts(size=32)",
    "device": "cpu",
    "batch_size": 2,
    "chunk_size": 4,
}


def rows(out: Path) -> pd.DataFrame:
    found = load_rows(out).drop(columns="run")
    assert not found.duplicated(["model", "explainer", "image", "metric"]).any()
    return found


def usage(out: Path) -> pd.DataFrame:
    return load_usage(out).drop(columns=["seconds", "peak_memory_mb"])


def die(*arguments: Any, **request: Any) -> None:
    session = forkserver("helpers.killed").Process(target=killed.run_and_die, args=arguments, kwargs=request)
    session.start()
    session.join()
    assert session.exitcode == -signal.SIGKILL


def test_a_run_killed_before_any_step_on_the_disk_ends_with_the_rows_of_one_that_was_not(tmp_path: Path) -> None:
    out = tmp_path / "whole"
    with killed.photographed(out, tmp_path / "killed") as copies:
        killed.run(out=out, **REQUEST)
    expected, passes, halves = rows(out), usage(out), [half.relative_to(copy).parts[0] for copy in copies for half in copy.rglob(".*.tmp")]
    assert {kind: halves.count(kind) for kind in ("sessions", "partial", "usage", "predictions", "rows")} == {
        "sessions": 4,  # at its start, after each of two chunks, at its end
        "partial": 8,  # for each of four batches and two explainers
        "usage": 2,  # for each of two chunks
        "predictions": 2,
        "rows": 4,  # for each of two chunks and two explainers
    }
    for copy in copies:
        for part in copy.glob("rows/**/[!.]*.parquet"):
            pq.read_table(part)  # whatever is there is whole
        killed.run(out=copy, **REQUEST)
        pd.testing.assert_frame_equal(rows(copy), expected)
        pd.testing.assert_frame_equal(usage(copy), passes)  # none twice, also of a kill between the rows of two explainers


def test_usage_of_explainers_that_come_later_is_that_of_one_session(tmp_path: Path) -> None:
    killed.run(out=tmp_path / "whole", **REQUEST)
    for explainers in ("gradcam", "opticam(iterations=2)", "opticam(iterations=2),gradcam"):
        killed.run(out=tmp_path / "grown", **REQUEST | {"explainers": explainers})
    pd.testing.assert_frame_equal(usage(tmp_path / "grown"), usage(tmp_path / "whole"))
    files = [len(list((tmp_path / name).glob("usage/*/*.parquet"))) for name in ("whole", "grown")]
    assert files == [2, 4]  # for each of two chunks, one file, and one of each session


def test_processes_killed_one_after_the_other_end_with_the_rows_of_one_that_was_not(tmp_path: Path) -> None:
    out, found = tmp_path / "killed", list[frozenset[Path]]()
    killed.run(out=tmp_path / "whole", **REQUEST)
    for step in (2, 3, 6, 7, 13):  # behind run.json, between partial results, behind usage, between two rows, in the second chunk
        die(step, out=out, **REQUEST)
        found.append(frozenset(file for file in out.rglob("[!.]*.*") if "sessions" not in file.parts))
    for before, after in pairwise(found):  # each went further than the one before: partial results make way for rows
        lost = {file for file in before - after if "partial" not in file.parts}
        assert after - before
        assert not lost
    killed.run(out=out, **REQUEST)
    pd.testing.assert_frame_equal(rows(out), rows(tmp_path / "whole"))
    pd.testing.assert_frame_equal(usage(out), usage(tmp_path / "whole"))
    assert len(list(out.glob("usage/*/part-00000-*.parquet"))) == 2  # of the unit, and of the explainer that was left of it


def test_a_folder_that_is_copied_goes_on_elsewhere_also_by_a_clock_that_is_a_day_behind(tmp_path: Path) -> None:
    killed.run(out=tmp_path / "whole", **REQUEST)
    die(8, out=tmp_path / "begun", **REQUEST)
    copy = tmp_path / "other" / "copied"
    shutil.copytree(tmp_path / "begun", copy, copy_function=shutil.copyfile)
    shutil.rmtree(tmp_path / "begun")

    class Yesterday(datetime):
        @classmethod
        def now(cls, tz: Any = None) -> datetime:
            return datetime.now(tz) - timedelta(days=1)

    with (
        patch.object(sys.modules[run_directory.Session.__module__], "datetime", Yesterday),
        patch.object(provenance, "datetime", Yesterday),
    ):
        killed.run(out=copy, **REQUEST)
    pd.testing.assert_frame_equal(rows(copy), rows(tmp_path / "whole"))
    assert set(load_rows(copy)["run"]) == {load_run(copy)["run"]} == {"begun"}
    first, second = load_run(copy)["sessions"]  # by their clocks
    assert first["end"] is not None
    assert second["end"] is None
    assert first["start"] < second["start"]
    assert list(load_rows(copy)["explainer"].unique()) == list(load_rows(tmp_path / "whole")["explainer"].unique())


def test_a_process_killed_within_an_explainer_loses_that_batch_alone(tmp_path: Path) -> None:
    plugin = tmp_path / "stopper.py"
    plugin.write_text(
        "import os\nfrom multiprocessing import parent_process\nfrom camdbench import explainer\ncalls = []\n\n\n"
        "@explainer('stopper', paper='a test')\ndef stopper(trace):\n    '''Brightness, or death.'''\n    calls.append(1)\n"
        "    if parent_process() and len(calls) == 3:\n        os.kill(os.getpid(), 9)\n    return trace.images.mean(1)\n"
    )
    request = REQUEST | {"explainers": "opticam(iterations=4),stopper", "metrics": "ad", "chunk_size": 8}
    die(None, plugin, out=tmp_path / "run", **request)
    load_plugin(plugin)
    killed.run(out=tmp_path / "run", **request)
    passes = load_run(tmp_path / "run")["sessions"][1]["passes"]
    # Of the third batch the trace and the explainer that died; of the last batch everything.
    assert (passes["forward"], passes["backward"]) == (2 * (1 + 1) + 2 * (1 + 1 + 4 + 1 + 1), 2 * 4)
