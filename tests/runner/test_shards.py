"""Shards: disjoint and complete, without coordination; the command without --shard finishes what they left."""

from __future__ import annotations

import json
import signal
from collections import Counter
from contextlib import nullcontext
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest
from helpers import killed
from helpers.each import each
from helpers.processes import forkserver
from hypothesis import given
from hypothesis import strategies as st

import camdbench
from camdbench.cli.main import run_cli
from camdbench.core.errors import UsageError
from camdbench.core.registry import load_plugin
from camdbench.core.spec import Spec
from camdbench.runner import executors
from camdbench.runner.dry_run import describe_jobs
from camdbench.runner.prepare import missing_units
from camdbench.runner.run_directory import PartKey
from camdbench.runner.shards import Shard, parse_shard
from camdbench.tables.load import load_rows, load_run, load_usage
from camdbench.tables.summary import summarise

REQUEST: dict[str, Any] = {"explainers": "gradcam,fakecam", "metrics": "ad,accuracy", "dataset": "shortcuts(size=32)", "device": "cpu"}
CELL = ["model", "explainer", "image", "metric"]
COUNTED = ["model", "explainer", "stage", "images", "forward", "backward", "tail_forward", "tail_backward"]
Said = pytest.CaptureFixture[str]


@given(st.integers(1, 40), st.integers(1, 300), st.integers(1, 9), st.sets(st.integers(0, 60)))
def test_shards_are_disjoint_and_complete(count: int, images: int, chunk_size: int, done: set[int]):
    asked = (["m", "n"], ["m@w", "n@w"], [Spec("gradcam"), Spec("fakecam")], images, chunk_size)
    finished = {PartKey("m@w", "gradcam", chunk) for chunk in done}
    shards = [missing_units(*asked, finished.__contains__, Shard(index, count)) for index in range(count)]
    assert Counter(unit for units in shards for unit in units) == Counter(missing_units(*asked, finished.__contains__))
    for index, units in enumerate(shards):
        assert all(unit.chunk % count == index for unit in units)


@each("text", ["16/16", "1/0", "0/0", "-1/4", "1", "1/", "/16", "a/b", "1/2/3", "0.5/2", "", "1/१", f"0/{'9' * 5000}"])
def test_what_is_no_shard_is_refused_before_any_work(text: str, tmp_path: Path, capsys: Said):
    with pytest.raises(UsageError, match=r"^--shard = .*: expected I/N with 0 <= I < N, such as 0/16 for the first of 16; count from 0$"):
        camdbench.run(shard=text, out=tmp_path / "run")
    assert run_cli(["run", f"--shard={text}", "--out", str(tmp_path / "run")]) == 2
    assert capsys.readouterr().err.startswith("Error: --shard = ")
    assert not (tmp_path / "run").exists()


def test_forms_of_a_shard():
    assert [parse_shard(text) for text in ("0/1", " 03/016 ", None)] == [Shard(0, 1), Shard(3, 16), Shard(0, 1)]
    with pytest.raises(UsageError, match="--shard 3"):
        camdbench.run(shard=3)


def table(out: Path) -> pd.DataFrame:
    found = load_rows(out).drop(columns="run")
    assert not found.duplicated(CELL).any()
    return found


@pytest.mark.timeout(600)
def test_the_plain_command_finishes_what_a_killed_shard_left(tmp_path: Path):
    out, request = tmp_path / "shards", REQUEST | {"limit": 14, "chunk_size": 4, "batch_size": 2}
    killed.run(out=tmp_path / "whole", **request)
    first = killed.run(out=out, shard="0/3", **request)
    victim = forkserver("helpers.killed").Process(target=killed.run_and_die, args=(7,), kwargs={"out": out, "shard": "1/3", **request})
    victim.start()
    victim.join()
    assert victim.exitcode == -signal.SIGKILL
    ids = load_run(out)["ids"]
    assert set(first["image"]) == {*ids[:4], *ids[12:]}
    assert first.attrs["shard"].startswith("shard 0/3: 6 of 6 jobs done, ")
    assert 0 < len(load_rows(out)) < len(load_rows(tmp_path / "whole"))
    last = killed.run(out=out, shard="2/3", **request)
    assert set(last["image"]) == set(ids[8:12])
    killed.run(out=out, **request)
    pd.testing.assert_frame_equal(table(out), table(tmp_path / "whole"))
    ended = [(session["config"]["shard"], session["ended"]) for session in load_run(out)["sessions"]]
    assert [shard for shard, _ in ended] == ["0/3", "1/3", "2/3", None]
    assert [state for _, state in ended] == ["finished", "running", "finished", "finished"]  # running, for two minutes after the kill
    assert "shard" not in (out / "run.yaml").read_text()


def test_usage_and_summary_are_those_of_one_session(tmp_path: Path):
    request = REQUEST | {"limit": 10, "chunk_size": 4}
    killed.run(out=tmp_path / "whole", **request)
    for shard in ("0/2", "1/2", None):
        killed.run(out=tmp_path / "shards", shard=shard, **request)
    one, two = (load_usage(tmp_path / name)[COUNTED].sort_values(COUNTED).reset_index(drop=True) for name in ("whole", "shards"))
    pd.testing.assert_frame_equal(one, two)
    passes = [pd.DataFrame([own["passes"] for own in load_run(tmp_path / name)["sessions"]]).sum() for name in ("whole", "shards")]
    pd.testing.assert_series_equal(*passes)
    assert passes[0]["forward"] > 0
    tables = [summarise(tmp_path / name).drop(columns="seconds_per_image") for name in ("whole", "shards")]
    pd.testing.assert_frame_equal(*tables)
    assert len(load_run(tmp_path / "shards")["sessions"]) == 2  # the plain command had nothing to do


class Seen:
    """Progress, as numbers."""

    def __init__(self) -> None:
        self.started, self.done, self.within = (0, 0), 0, 0.0

    def start(self, root: Path, total: int, done: int) -> None:
        self.started = total, done

    def working(self, jobs: float, what: str) -> None:
        self.within = jobs

    def advance(self, jobs: int, what: str) -> None:
        self.done += jobs


@pytest.mark.parametrize("executor", ["local", "ray"])
def test_an_executor_gets_the_units_of_its_shard(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, executor: str):
    chunks, seen = list[int](), Seen()

    def spy(run: Any, units: Any, working: Any) -> Any:
        chunks.extend(unit.chunk for unit in units)
        return executors.local(run, units, working)

    monkeypatch.setattr(executors, "executing", lambda *_: nullcontext(spy))
    killed.run(out=tmp_path, shard="1/2", executor=executor, progress=seen, **REQUEST | {"limit": 9, "chunk_size": 2})
    assert chunks == [1, 3]
    assert (seen.started, seen.done, seen.within) == ((6, 0), 6, 2)  # two explainers, and the metric of the model alone, which begins last


def test_a_shard_of_the_command_line_prints_a_line_and_no_table(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: Said):
    monkeypatch.chdir(tmp_path)
    words = ["run", "--explainers", "fakecam", "--metrics", "ad", "--limit", "40", "--dataset", "shortcuts(size=32)", "--device", "cpu"]
    words += ["--out", "mine"]
    again = "the same command without --shard computes the rest, packs and summarises: mine"
    assert run_cli([*words, "--shard", "1/2"]) == 0
    out, err = capsys.readouterr()
    assert out == ""
    assert err.splitlines()[-1] == f"shard 1/2: 1 of 1 jobs done, 1 of 2 in the whole run; {again}"
    assert not Path("mine/summary.csv").exists()
    assert run_cli([*words, "--shard", "2/3", "-q", "--json"]) == 0  # two chunks, so this one is empty
    assert capsys.readouterr() == ("[]\n", "")
    assert run_cli([*words, "--shard", "0/2", "--json"]) == 0
    out, err = capsys.readouterr()
    assert out == "[]\n"
    assert "2 of 2 in the whole run; the same command without --shard packs and summarises" in err
    assert run_cli([*words, "--json"]) == 0
    assert json.loads(capsys.readouterr().out)[0]["n"] == 40
    assert len(load_run("mine")["sessions"]) == 2


def test_a_shard_with_failed_images_exits_with_3_and_names_those_of_its_own(tmp_path: Path, capsys: Said):
    ids = camdbench.run(out=tmp_path / "ids", **REQUEST | {"limit": 40, "metrics": "ad", "explainers": "fakecam"})["image"].unique()
    np.savez(tmp_path / "maps.npz", **{name: np.eye(4) for name in ids[:32]})  # none of the second chunk
    words = ["run", "-q", "-e", "fakecam", "-m", "ad", "--maps", f"mine={tmp_path}/maps.npz", "--limit", "40"]
    words += ["--dataset", "shortcuts(size=32)", "--device", "cpu", "--out", str(tmp_path / "run")]
    assert run_cli([*words, "--shard", "1/2"]) == 3
    assert capsys.readouterr() == ("", "error: shortcuts-ce, mine: there is no saved map of this image (8 images)\n")
    assert run_cli([*words, "--shard", "0/2"]) == 0
    assert capsys.readouterr() == ("", "")


def test_a_notebook_shows_the_line_and_no_summary(tmp_path: Path):
    rows = killed.run(out=tmp_path, shard="0/2", **REQUEST | {"limit": 4, "chunk_size": 2})
    assert rows._repr_html_() == f"<p>{rows.attrs['shard'].replace('&', '&amp;')}</p>"
    assert "table" not in rows._repr_html_()


def test_saved_maps_are_scored_in_shards(tmp_path: Path):
    asked = REQUEST | {"metrics": "ad", "limit": 40, "save_maps": "raw"}
    camdbench.run(out=tmp_path / "maps", **asked)
    camdbench.score(tmp_path / "maps", "ag", out=tmp_path / "whole")
    for shard in ("1/2", None):
        camdbench.score(tmp_path / "maps", "ag", out=tmp_path / "shards", shard=shard)
    pd.testing.assert_frame_equal(table(tmp_path / "whole"), table(tmp_path / "shards"))
    assert [own["jobs"] for own in load_run(tmp_path / "shards")["sessions"]] == [2, 2]


def test_a_dry_run_states_the_images_of_the_shard(monkeypatch: pytest.MonkeyPatch):
    from camdbench.runner.config import RunConfig, check_config
    from camdbench.runner.prepare import prepare
    from camdbench.runner.timing import Pace

    monkeypatch.setattr("camdbench.runner.dry_run.measure", lambda *_, **__: Pace(1.0, 10.0))

    def lines(shard: str) -> list[str]:
        config = RunConfig(explainers="gradcam", metrics="ad", limit=70, dataset="shortcuts(size=32)", shard=shard)
        return describe_jobs(prepare(check_config(config), in_memory=True))

    first, job, _ = lines("0/2")
    assert first == "shard 0/2: 38 of 70 images, in chunks of 32"
    assert job.startswith("shortcuts-ce × gradcam: 38 images, 76 passes")
    assert lines("3/4") == ["shard 3/4: 0 of 70 images, in chunks of 32"]


PLUGIN = """
import time
from pathlib import Path
from camdbench import explainer


def meet(trace):
    # Until the session files of both processes are there, so that the two sessions overlap.
    for _ in range(6000):
        if len(list(Path({out!r}).glob("sessions/[!.]*.json"))) >= 2:
            return trace.images.mean(1)
        time.sleep(0.01)
    raise RuntimeError("the other session does not start")


@explainer("first", paper="a test")
def first(trace):
    '''Brightness.'''
    return meet(trace)


@explainer("second", paper="a test", control=True)
def second(trace):
    '''Brightness.'''
    return meet(trace)
"""


@pytest.mark.timeout(600)
def test_two_sessions_of_different_explainers_at_once_lose_nothing(tmp_path: Path):
    out, plugin = tmp_path / "run", tmp_path / "both.py"
    plugin.write_text(PLUGIN.format(out=str(out)))
    request = REQUEST | {"metrics": "ad", "limit": 5, "chunk_size": 2}
    context = forkserver("helpers.killed")
    running = [
        context.Process(target=killed.run_and_die, args=(None, plugin), kwargs={"out": out, **request, "explainers": name})
        for name in ("first", "second")
    ]
    for process in running:
        process.start()
    for process in running:
        process.join()
    assert [process.exitcode for process in running] == [0, 0]
    about, rows = load_run(out), table(out)
    assert [session["ended"] for session in about["sessions"]] == ["finished", "finished"]
    assert [list(session["explainers"]) for session in about["sessions"]] in ([["first"], ["second"]], [["second"], ["first"]])
    assert {name: facts["control"] for name, facts in about["explainers"].items()} == {"first": False, "second": True}
    assert set(about["plugins"]) == {"explainer first", "explainer second"}
    assert not (out / "partial").exists() or not list((out / "partial").rglob("*.pt"))
    load_plugin(plugin)
    killed.run(out=tmp_path / "one", **request | {"explainers": "first,second"})  # its explainers meet in the folder of the others
    expected = table(tmp_path / "one")
    pd.testing.assert_frame_equal(rows.sort_values(CELL, ignore_index=True), expected.sort_values(CELL, ignore_index=True))


@pytest.mark.timeout(600)
def test_a_copied_folder_is_resumed_elsewhere(tmp_path: Path):
    import shutil

    request = REQUEST | {"limit": 8, "chunk_size": 4}
    killed.run(out=tmp_path / "whole", **request)
    victim = forkserver("helpers.killed").Process(target=killed.run_and_die, args=(9,), kwargs={"out": tmp_path / "here", **request})
    victim.start()
    victim.join()
    shutil.copytree(tmp_path / "here", tmp_path / "there")
    shutil.rmtree(tmp_path / "here")
    killed.run(out=tmp_path / "there", **request)
    pd.testing.assert_frame_equal(table(tmp_path / "there"), table(tmp_path / "whole"))
    assert [session["ended"] for session in load_run(tmp_path / "there")["sessions"]][1:] == ["finished"]


def test_partial_results_stay_while_another_session_may_write_some(tmp_path: Path):
    camdbench.run(out=tmp_path, **REQUEST | {"limit": 2})
    (tmp_path / "partial" / "model=x").mkdir(parents=True)
    (file,) = (tmp_path / "sessions").glob("*.json")
    ended = file.read_text()
    for content, remains in ((json.dumps(json.loads(ended) | {"end": None}), True), (ended, False)):
        file.write_text(content)
        camdbench.run(out=tmp_path, **REQUEST | {"limit": 2})
        assert (tmp_path / "partial").exists() == remains
