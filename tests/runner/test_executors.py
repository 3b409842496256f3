"""Executors: workers elsewhere give the rows that this process gives."""

from __future__ import annotations

import gc
import os
import pickle
import signal
import sys
import threading
import time
from contextlib import suppress
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest
import torch
from helpers.own_code import OWN
from helpers.toys import toy_batch, toy_classifier
from PIL import Image

import camdbench
from camdbench.core.errors import CamdbenchWarning, UsageError
from camdbench.datasets.in_memory import InMemoryDataset
from camdbench.runner.config import RunConfig, check_config
from camdbench.runner.resources import Resources
from camdbench.tables.load import load_run

REQUEST: dict[str, Any] = {"explainers": "gradcam,random", "metrics": "ad,ag", "limit": 70, "device": "cpu"}


@pytest.mark.timeout(240)
@pytest.mark.filterwarnings("ignore")  # Ray's own, at its start and end
def test_a_ray_cluster_gives_the_rows_of_one_process(tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    (tmp_path / "own.py").write_text(OWN)
    monkeypatch.chdir(tmp_path)
    given: dict[str, Any] = {
        "explainers": "gradcam,random,own.py:first(count=2),three=own.py:first(count=3),short=opticam(iterations=2)",
        "metrics": "ad,ag,own.py:inside(power=2)",
        "models": "shortcuts-ce,mine=own.py:small(width=6)",
        "dataset": "own.py:pictures",
        "device": "cpu",
    }
    alone = camdbench.run(out="alone", **given)
    together = camdbench.run(out="together", executor="ray", **given)
    pd.testing.assert_frame_equal(alone.drop(columns="run"), together.drop(columns="run"))
    assert set(alone["status"]) <= {"ok", "constant_map"}


def test_without_ray_no_folder_is_made(tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setitem(sys.modules, "ray", None)
    with pytest.raises(UsageError, match=r'--executor ray needs Ray: pip install "camdbench\[ray\]"'):
        camdbench.run(out=tmp_path / "run", executor="ray", **REQUEST)
    assert not (tmp_path / "run").exists()


DRILL = """
import os, time
from pathlib import Path

def waiting(trace):
    (Path(__file__).parent / f"begun-{os.getpid()}").touch()
    while not (Path(__file__).parent / "over").exists():  # until the drill has killed a host and a worker
        time.sleep(0.02)
    return trace.activations.sum(1)

def many():
    generator = torch.Generator().manual_seed(1)
    return [(torch.rand(3, 32, 32, generator=generator), index % 8) for index in range(100)]
"""
FAST_NEWS = {"health_check_initial_delay_ms": 0, "health_check_period_ms": 500, "health_check_failure_threshold": 2}
SMALL = {"num_cpus": 1, "object_store_memory": 80 * 2**20}


@pytest.mark.timeout(240)
@pytest.mark.filterwarnings("ignore")  # Ray's own, at its start and end
def test_a_lost_host_and_a_killed_worker_change_no_row(tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    from ray.cluster_utils import Cluster

    (tmp_path / "own.py").write_text(OWN + DRILL)
    monkeypatch.chdir(tmp_path)
    given: dict[str, Any] = {"explainers": "own.py:waiting,random", "metrics": "ad,ag", "device": "cpu"}
    given |= {"models": "mine=own.py:small(width=6)", "dataset": "own.py:many"}
    Path("over").touch()
    alone = camdbench.run(out="alone", **given)
    Path("over").unlink()
    Path(f"begun-{os.getpid()}").unlink()
    threads = torch.get_num_threads()
    host = SMALL | {"num_cpus": threads}
    cluster = Cluster(initialize_head=True, head_node_args={**host, "_system_config": FAST_NEWS}, shutdown_at_exit=False)
    other = cluster.add_node(**host)

    def kill(cluster: Any, other: Any) -> None:
        while len(begun := sorted(Path().glob("begun-*"))) < 2:
            time.sleep(0.05)
        cluster.remove_node(other, allow_graceful=False)
        for file in begun:
            with suppress(ProcessLookupError):  # went with its host
                os.kill(int(file.name.removeprefix("begun-")), signal.SIGKILL)
        Path("over").touch()

    monkeypatch.setenv("RAY_ADDRESS", cluster.address)
    drill = threading.Thread(target=kill, args=(cluster, other))
    drill.start()
    try:
        with pytest.warns(CamdbenchWarning, match="a worker died with model mine, images .*; another one takes its place") as warned:
            together = camdbench.run(out="together", executor="ray", **given)
    finally:
        drill.join()
        cluster.shutdown()
        del cluster, other, drill
        gc.collect()  # while Ray's warnings on processes and files that it leaves to the collector are ignored
    assert len([own for own in warned if "a worker died with model mine" in str(own.message)]) >= 2
    pd.testing.assert_frame_equal(alone.drop(columns="run"), together.drop(columns="run"))
    session = load_run(Path("together"))["sessions"][0]
    assert sum(own["units"] for own in session["workers"].values()) == 4
    assert {own["machine"]["threads"] for own in session["workers"].values()} == {threads}
    assert not list(Path("together").glob(".shared-*"))


def test_an_unknown_executor_is_refused(tmp_path: Path):
    with pytest.raises(UsageError, match="no executor 'rey'; did you mean 'ray'"):
        camdbench.run(out=tmp_path, executor="rey", **REQUEST)


def test_a_worker_in_another_folder_finds_all_that_was_named_from_here(tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    random = np.random.default_rng(0)
    for name in ("data/images/a", "masks", "elsewhere"):
        (tmp_path / name).mkdir(parents=True)
    for number in range(3):
        picture = Image.fromarray(random.integers(0, 255, (96, 96, 3), dtype=np.uint8))
        picture.save(tmp_path / "data" / "images" / "a" / f"{number}.png")
        (tmp_path / "masks" / "a").mkdir(exist_ok=True)
        Image.fromarray(np.uint8(255 * np.tri(96))).save(tmp_path / "masks" / "a" / f"{number}.png")
    monkeypatch.chdir(tmp_path)
    request = check_config(RunConfig("gradcam", "ad", dataset="folder(masks='masks', size=96)", data_root="data"))
    state = pickle.dumps(Resources().bind(request).with_absolute_paths())
    monkeypatch.chdir(tmp_path / "elsewhere")
    there: Resources = pickle.loads(state)
    masks = [there.images[index].mask for index in range(3)]
    assert all(mask is not None and mask.float().mean() == pytest.approx(0.5, abs=0.02) for mask in masks)
    assert str(there.checked_request.dataset) == str(request.dataset)  # what stands in rows is what was asked for


class Local(camdbench.Classifier):
    """A classifier that cannot be pickled, as one with a lambda."""

    def __reduce__(self) -> Any:
        raise TypeError("cannot pickle a lambda")


def own(trace: Any) -> Any:
    return trace.activations.sum(1)


@pytest.mark.parametrize(
    ("given", "message"),
    [
        ({"explainers": own}, "explainer own is an object of this session, which workers cannot load; give FILE.py:NAME"),
        ({"explainers": {"mine": own}}, "explainer mine is an object"),
        ({"metrics": {"mine": lambda inputs: inputs.saliency.mean((1, 2))}}, "metric mine is an object"),
        ({"models": {"mine": "local"}}, r"model mine cannot be pickled \(cannot pickle a lambda\); give FILE.py:NAME, or use"),
        ({"dataset": "local"}, "dataset memory cannot be pickled"),
    ],
)
def test_a_live_object_that_a_worker_cannot_have_is_refused_before_a_folder_is_made(tmp_path: Path, given: dict[str, Any], message: str):
    toy, data = toy_classifier(), InMemoryDataset(toy_batch(2))
    if given.get("models"):
        given = {"models": {"mine": Local(toy.network, "relu2", mean=0.5, std=0.25)}}
    if given.get("dataset"):
        data.fingerprint = lambda: "1"  # pyright: ignore[reportAttributeAccessIssue]
        given = {"dataset": data}
    options = {"explainers": "gradcam", "metrics": "ad", "models": {"toy": toy}, "dataset": data, **given}
    with pytest.raises(UsageError, match=f"--executor ray: {message}") as refused:
        camdbench.run(out=tmp_path / "run", executor="ray", **options)
    assert "\n" not in str(refused.value)
    assert not (tmp_path / "run").exists()
