"""Commands on Ray clusters of real processes: quiet, interrupted, killed, refused (`tox -e cluster`)."""

from __future__ import annotations

import gc
import json
import os
import shutil
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pandas as pd
import pytest
from helpers.own_code import OWN

import camdbench

pytestmark = [pytest.mark.cluster, pytest.mark.timeout(900), pytest.mark.filterwarnings("ignore")]

SLOW = """
import os, signal, time
from pathlib import Path

HERE = Path(__file__).parent

def slow(trace):
    (HERE / f"begun-{os.getpid()}").touch()
    if not (HERE / "over").exists():
        time.sleep(2)
    return trace.activations.sum(1)

def fatal(trace):
    if HERE.joinpath("driver").read_text() != str(os.getpid()) and float(trace.images.sum()) == 0:
        os.kill(os.getpid(), signal.SIGKILL)
    return trace.activations.sum(1)

def many():
    generator = torch.Generator().manual_seed(1)
    return [(torch.rand(3, 32, 32, generator=generator), index % 8) for index in range(320)]

def dark():
    return [(image * (32 > index), label) for index, (image, label) in enumerate(many()[:64])]
"""
GIVEN = ("--metrics", "ad", "--models", "mine=own.py:small(width=6)", "--device", "cpu", "--batch-size", "32")
SLOWLY = ("--explainers", "own.py:slow", "--dataset", "own.py:many", *GIVEN)


@pytest.fixture
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.chdir(tmp_path)
    monkeypatch.delenv("RAY_ADDRESS", raising=False)
    (tmp_path / "own.py").write_text(OWN + SLOW)
    return tmp_path


def start(*words: str, **environment: str) -> subprocess.Popen[str]:
    command = [sys.executable, "-m", "camdbench", "run", *words]
    pipe = subprocess.PIPE
    return subprocess.Popen(command, env=os.environ | environment, stdout=pipe, stderr=pipe, text=True, start_new_session=True)


def finish(*words: str, **environment: str) -> tuple[int, str, str]:
    process = start(*words, **environment)
    with process:
        out, err = process.communicate(timeout=400)
    return process.returncode, out, err


def small_cluster() -> Any:
    from ray.cluster_utils import Cluster

    small = {"num_cpus": 1, "object_store_memory": 80 * 2**20}
    return Cluster(initialize_head=True, head_node_args=small, shutdown_at_exit=False)


def workers(folder: Path) -> list[int]:
    return [int(file.name.removeprefix("begun-")) for file in folder.glob("begun-*")]


def wait_for(what: Callable[[], object], seconds: float = 120.0) -> None:
    end = time.monotonic() + seconds
    while not what():
        assert time.monotonic() < end
        time.sleep(0.1)


def alive(pid: int) -> bool:
    try:
        return "State:\tZ" not in Path(f"/proc/{pid}/status").read_text()
    except OSError:
        return False


def rows(folder: str) -> pd.DataFrame:
    return camdbench.load_rows(folder).drop(columns="run")


def test_a_cluster_started_here_prints_what_a_serial_run_prints(folder: Path):
    given = ("--limit", "40", "--explainers", "gradcam,random", "--metrics", "ad", "--device", "cpu", "--json", "--quiet")
    alone, together = finish(*given, "--out", "a/run"), finish(*given, "--out", "b/run", "--executor", "ray")
    assert (alone[0], alone[2]) == (together[0], together[2]) == (0, "")
    tables = [[{**row, "seconds_per_image": None} for row in json.loads(out)] for _, out, _ in (alone, together)]
    assert len(tables[0]) == 2
    assert tables[0] == tables[1]


@pytest.mark.parametrize("sign", [signal.SIGINT, signal.SIGTERM])
@pytest.mark.parametrize("group", [False, True], ids=["process", "group"])  # a terminal interrupts the group
def test_an_interrupt_ends_the_workers_and_keeps_what_is_finished(folder: Path, sign: signal.Signals, group: bool):
    process = start(*SLOWLY, "--executor", "ray", "--out", "run", "--quiet")
    wait_for(lambda: len(list(folder.glob("run/rows/*/*/part-*.parquet"))) >= 2)
    (os.killpg if group else os.kill)(process.pid, sign)
    out, err = process.communicate(timeout=60)
    assert process.returncode in (130, 143)
    assert (out, len(err.strip().splitlines())) == ("", 1)  # click ends the line of ^C
    assert "finished work is kept" in err
    wait_for(lambda: not any(map(alive, workers(folder))), 20.0)
    kept = len(list(folder.glob("run/rows/*/*/part-*.parquet")))
    assert 2 <= kept < 10
    assert not list(folder.glob("run/.shared-*"))
    (folder / "over").touch()
    assert finish(*SLOWLY, "--out", "run", "--quiet")[0] == 0
    assert finish(*SLOWLY, "--out", "alone", "--quiet")[0] == 0
    pd.testing.assert_frame_equal(rows("run"), rows("alone"))


def test_a_killed_command_leaves_no_worker(folder: Path):
    process = start(*SLOWLY, "--executor", "ray", "--out", "run", "--quiet")
    wait_for(lambda: workers(folder))
    process.kill()
    process.communicate()
    wait_for(lambda: not any(map(alive, workers(folder))), 60.0)


def test_a_unit_that_kills_every_worker_is_named(folder: Path):
    (folder / "driver").write_text("0")
    given = ("--explainers", "own.py:fatal", "--dataset", "own.py:dark", *GIVEN, "--executor", "ray", "--out", "run", "--quiet")
    code, _, err = finish(*given)
    lines = err.splitlines()
    assert code == 1
    assert lines[-1].startswith("Error: --executor ray: 4 workers died with model mine, images 32-63 (its process was killed")
    assert "finished parts are kept, run the same command again" in lines[-1]
    assert all(line.startswith("warning: ") for line in lines[:-1])
    assert len([line for line in lines if line.startswith("warning: a worker died with model mine, images 32-63")]) == 3
    assert len(list(folder.glob("run/rows/*/*/part-*.parquet"))) == 1


def test_an_error_in_a_worker_is_the_line_of_a_serial_run(folder: Path):
    (folder / "own.py").write_text(OWN.replace('"1", mean', '"0", mean'))
    given = ("--explainers", "gradcam(layer='nothere')", "--dataset", "own.py:pictures", *GIVEN, "--quiet")
    alone, together = finish(*given, "--out", "alone"), finish(*given, "--out", "together", "--executor", "ray")
    assert together[0] == alone[0]
    assert len(together[2].splitlines()) == len(alone[2].splitlines()) == 1


@pytest.mark.parametrize("kind", ["nothing listens", "nothing answers"])
def test_an_address_that_does_not_answer_is_one_line_in_time(folder: Path, kind: str):
    with socket.create_server(("127.0.0.1", 0)) as server:
        address = f"127.0.0.1:{server.getsockname()[1]}"
        if kind == "nothing listens":
            server.close()
        begun = time.monotonic()
        code, out, err = finish("--executor", "ray", "--out", "run", RAY_ADDRESS=address)
    assert (code, out, len(err.splitlines())) == (2, "", 1)
    assert err.startswith(f"Error: RAY_ADDRESS = {address}: ")
    assert time.monotonic() - begun < 120
    assert not (folder / "run").exists()


def test_more_cores_than_the_cluster_has_are_refused(folder: Path):
    cluster = small_cluster()
    try:
        many = {"RAY_ADDRESS": cluster.address, "OMP_NUM_THREADS": "2"}
        code, out, err = finish("--executor", "ray", "--device", "cpu", "--out", "run", "--limit", "2", **many)
    finally:
        cluster.shutdown()
        del cluster
        gc.collect()  # while Ray's warnings on processes and files that it leaves to the collector are ignored
    assert (code, out) == (2, "")
    assert "a worker takes 2 cores, as many as torch has threads, and the largest of 1 host(s) of the cluster has 1" in err
    assert len(err.splitlines()) == 1
    assert not (folder / "run").exists()


def test_a_host_of_other_code_is_refused_before_work_begins(folder: Path, monkeypatch: pytest.MonkeyPatch):
    package = Path(camdbench.__file__).parent
    other = shutil.copytree(package, folder / "other" / "camdbench", ignore=shutil.ignore_patterns("*.pyc"))
    with (other / "core" / "row.py").open("a") as file:
        file.write("# changed\n")
    with monkeypatch.context() as there:
        there.setenv("PYTHONPATH", str(other.parent))
        cluster = small_cluster()
    try:
        given = ("--explainers", "gradcam", "--metrics", "ad", "--limit", "2", "--device", "cpu", "--out", "run", "--quiet")
        code, out, err = finish(*given, "--executor", "ray", RAY_ADDRESS=cluster.address, OMP_NUM_THREADS="1")
    finally:
        cluster.shutdown()
        del cluster
        gc.collect()  # while Ray's warnings on processes and files that it leaves to the collector are ignored
    assert (code, out) == (2, "")
    assert err.startswith(f"Error: --executor ray: host {socket.gethostname()} has code of camdbench ")
    assert len(err.splitlines()) == 1
    assert not list(folder.glob("run/rows"))
