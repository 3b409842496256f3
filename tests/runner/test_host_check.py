"""A host with other versions, files, images, weights or another run directory is refused by name, before work begins."""

from __future__ import annotations

import shutil
import socket
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from helpers.toys import toy_batch, toy_classifier

import camdbench
from camdbench.core.errors import UsageError
from camdbench.datasets.in_memory import InMemoryDataset
from camdbench.runner import host_check
from camdbench.runner.config import RunConfig, check_config
from camdbench.runner.host_check import Reply, Terms, agreed, hash_of
from camdbench.runner.prepare import Run, prepare
from camdbench.runner.resources import Resources

HOST = socket.gethostname()


@pytest.fixture
def run(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Run:
    monkeypatch.setattr(host_check, "_SECONDS", 0.0)
    resources = Resources(models={"toy": toy_classifier()}, dataset=InMemoryDataset(toy_batch(2)))
    return prepare(check_config(RunConfig("gradcam", "ad", models="toy", out=str(tmp_path / "run"), device="cpu"), resources), resources)


def test_a_host_that_shares_everything_is_accepted_and_leaves_no_file(run: Run):
    assert run.directory is not None
    before = sorted(run.directory.root.rglob("*"))
    with agreed(run) as terms:
        terms.check_reply(terms.meet())
        terms.check_images(run.resources.images.ids)
        terms.check_weights("toy", run.resources.classifier("toy").weights_hash())
        assert terms.versions["torch"]
        assert len(list(run.directory.root.glob(".shared-*"))) == 2
    assert sorted(run.directory.root.rglob("*")) == before


@pytest.mark.parametrize("name", ["python", "torch", "camdbench", "code of camdbench"])
def test_a_host_of_other_versions_is_refused_by_name(run: Run, name: str):
    with agreed(run) as terms, pytest.raises(UsageError, match=rf"host {HOST} has {name} \S+, not 0\.0\.1; install the same on all hosts"):
        replace(terms, versions={**terms.versions, name: "0.0.1"}).meet()


def test_a_host_of_another_folder_is_refused_from_both_sides(run: Run, tmp_path: Path):
    assert run.directory is not None
    with agreed(run) as terms:
        (tmp_path / "there").mkdir()
        for folder in (tmp_path / "there", tmp_path / "none"):  # of the same name on another host
            with pytest.raises(UsageError, match=f"--out = {folder}: host {HOST} has another folder of that name, or none; give a folder"):
                replace(terms, folder=folder).meet()
        copy = shutil.copytree(run.directory.root, tmp_path / "copy")  # a copy that a tool has made of the folder, token and all
        reply = replace(terms, folder=copy).meet()
        with pytest.raises(UsageError, match=f"--out = {terms.folder}: files of host {HOST} do not appear in it; give a folder that all"):
            terms.check_reply(reply)
        with pytest.raises(UsageError, match="do not appear"):
            terms.check_reply(Reply("other", terms.meet().file))


def test_a_host_that_cannot_write_is_refused(run: Run, monkeypatch: pytest.MonkeyPatch):
    def refuse(*arguments: Any, **options: Any) -> None:
        raise PermissionError(13, "Permission denied")

    with agreed(run) as terms:
        monkeypatch.setattr(Path, "write_text", refuse)
        with pytest.raises(UsageError, match=rf"host {HOST} cannot write to it \(Permission denied\); give a folder that all hosts share"):
            terms.meet()


def test_other_images_and_weights_are_refused(run: Run):
    with agreed(run) as terms:
        with pytest.raises(UsageError, match="other images than on the host of the command"):
            terms.check_images(list(run.resources.images.ids)[::-1])
        with pytest.raises(UsageError, match=r"model toy has weights abc, not [0-9a-f]{16}; give all hosts the same weights"):
            terms.check_weights("toy", "abc")


def test_own_files_are_compared_by_content(tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    monkeypatch.chdir(tmp_path)
    Path("beside.py").write_text("K = 1\n")
    own = tmp_path / "own.py"
    own.write_text("from beside import K\n\ndef first(trace):\n    return trace.activations.sum(1) * K\n")
    seen = list[Terms]()

    def look(run: Run, *_: Any) -> Any:
        with agreed(run) as terms:
            seen.append(terms)
            assert {Path(name).name for name in terms.files} == {"own.py", "beside.py"}
            terms.meet()
            Path("beside.py").write_text("K = 2\n")
            with pytest.raises(UsageError, match=rf"host {HOST} has another file {tmp_path / 'beside.py'}; put it into a folder"):
                terms.meet()
            Path("beside.py").unlink()
            with pytest.raises(UsageError, match=rf"host {HOST} has no file {tmp_path / 'beside.py'}"):
                terms.meet()
        yield from ()

    monkeypatch.setattr("camdbench.runner.executors.local", look)
    with pytest.raises(camdbench.CamdbenchError):  # nothing was computed
        camdbench.run("own.py:first", "ad", limit=1, out=tmp_path / "run", device="cpu", progress=False)
    assert seen
    assert hash_of(["a", "b"]) != hash_of(["b", "a"])
