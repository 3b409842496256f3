"""A session's file states its usage so far and how it ended, and its time is a heartbeat."""

from __future__ import annotations

import json
import os
import socket
import threading
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from camdbench.core.errors import CamdbenchError
from camdbench.runner import session as session_module
from camdbench.runner.session import Session

PASSES = {"forward": 1, "backward": 0, "tail_forward": 0, "tail_backward": 2}


def content(folder: Path) -> dict[str, Any]:
    (file,) = folder.glob("*.json")
    return json.loads(file.read_text())


def soon(reached: Callable[[], bool]) -> bool:
    """Whether a condition is reached within a minute, on a busy machine."""
    for _ in range(6000):
        if reached():
            return True
        time.sleep(0.01)
    return False


def test_the_file_is_up_to_date_after_each_unit(tmp_path: Path):
    with Session(tmp_path, {"explainers": {"fakecam": {}}}) as session:
        assert (content(tmp_path)["jobs"], content(tmp_path)["end"], content(tmp_path)["ended"]) == (0, None, None)
        for jobs, dropped in ((2, 1), (1, 0)):
            session.add(jobs, PASSES, dropped, batch_size=4)
        found = content(tmp_path)
        assert (found["jobs"], found["boxes_dropped"], found["batch_size"], found["end"]) == (3, 1, 4, None)
        assert found["passes"] == {"forward": 2, "backward": 0, "tail_forward": 0, "tail_backward": 4}
    found = content(tmp_path)
    assert (found["ended"], found["jobs"], found["host"], found["explainers"]) == ("finished", 3, socket.gethostname(), {"fakecam": {}})
    assert found["start"] <= found["end"]


@pytest.mark.parametrize(
    ("error", "ended", "reason"),
    [
        (KeyboardInterrupt(), "interrupted", "KeyboardInterrupt"),
        (SystemExit(143), "interrupted", "143"),
        (CamdbenchError("disk\nfull"), "error", "disk"),
    ],
)
def test_the_file_states_how_the_session_ended(tmp_path: Path, error: BaseException, ended: str, reason: str):
    with pytest.raises(type(error)), Session(tmp_path, {}):
        raise error
    assert (content(tmp_path)["ended"], content(tmp_path)["reason"]) == (ended, reason)


def test_a_failure_to_write_between_units_is_made_good_by_the_next_writing(tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    write = session_module.write_json

    def fail(*_: object) -> None:
        raise CamdbenchError("no space left")

    with Session(tmp_path, {}) as session:
        monkeypatch.setattr(session_module, "write_json", fail)
        session.add(1, PASSES, 0)
        assert content(tmp_path)["jobs"] == 0
        monkeypatch.setattr(session_module, "write_json", write)
        session.add(1, PASSES, 0)
        assert content(tmp_path)["jobs"] == 2
    with pytest.raises(CamdbenchError, match="no space left"), Session(tmp_path / "other", {}):
        monkeypatch.setattr(session_module, "write_json", fail)


def test_the_time_of_the_file_is_renewed_until_the_session_ends(tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setattr(session_module, "BEAT_EVERY", 0.01)
    with Session(tmp_path, {}):
        (file,) = tmp_path.glob("*.json")
        before = file.read_bytes()
        os.utime(file, (0, 0))
        assert soon(lambda: file.stat().st_mtime > 0)
        assert file.read_bytes() == before
    assert soon(lambda: all(thread.name != "camdbench heartbeat" for thread in threading.enumerate()))
    os.utime(file, (0, 0))
    time.sleep(0.05)
    assert file.stat().st_mtime == 0


def test_a_file_that_is_gone_is_written_again_by_the_next_unit(tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setattr(session_module, "BEAT_EVERY", 0.01)
    with Session(tmp_path / "sessions", {}) as session:
        (file,) = (tmp_path / "sessions").glob("*.json")
        file.unlink()
        (tmp_path / "sessions").rmdir()
        time.sleep(0.05)
        session.add(1, PASSES, 0)
        assert content(tmp_path / "sessions")["jobs"] == 1
