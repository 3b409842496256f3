"""A session without end and without heartbeat is lost; no clock of a host is compared with that of another."""

from __future__ import annotations

import errno
import json
import os
import shutil
import time
from pathlib import Path
from typing import Any

import pytest
from helpers.each import each

from camdbench.cli.main import run_cli
from camdbench.core.errors import CamdbenchError
from camdbench.tables import sessions as sessions_module
from camdbench.tables.load import load_run
from camdbench.tables.sessions import lost_line, read_sessions

DAY = 86400.0


def write(run: Path, name: str, silent: float = 0.0, **facts: Any) -> Path:
    """A session file whose last heartbeat was `silent` seconds ago."""
    file = run / "sessions" / f"{name}.json"
    file.parent.mkdir(exist_ok=True)
    file.write_text(json.dumps({"start": "2026-01-01T00:00:00+00:00", "end": None, "host": name, **facts}))
    os.utime(file, (file.stat().st_mtime - silent,) * 2)
    return file


def states(run: Path) -> dict[str, str | None]:
    return {session["host"]: session["ended"] for session in read_sessions(run)}


def test_a_session_is_lost_without_end_and_two_minutes_after_its_last_heartbeat(tmp_path: Path):
    for silent in (0, 110, 130, 7 * DAY):
        write(tmp_path, f"silent{silent:.0f}", silent)
    for ended in ("finished", "interrupted", "error", None):  # None: of an earlier version
        write(tmp_path, f"ended {ended}", 7 * DAY, end="2026-01-01T01:00:00+00:00", ended=ended)
    ended = {f"ended {name}": name for name in ("finished", "interrupted", "error", None)}
    assert states(tmp_path) == {"silent0": "running", "silent110": "running", "silent130": "lost", "silent604800": "lost"} | ended
    assert sorted(path.suffix for path in (tmp_path / "sessions").iterdir()) == [".json"] * 8  # the question leaves nothing behind


@pytest.mark.parametrize("shift", [-DAY, DAY])
def test_the_clocks_of_hosts_do_not_matter(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, shift: float):
    own = time.gmtime(time.time() + shift)  # of the host that writes; the file system sets the file's time
    write(tmp_path, "alive", start=time.strftime("%Y-%m-%dT%H:%M:%S+00:00", own))
    write(tmp_path, "dead", 130, start=time.strftime("%Y-%m-%dT%H:%M:%S+00:00", own))
    assert states(tmp_path) == {"alive": "running", "dead": "lost"}
    monkeypatch.setattr(time, "time", lambda now=time.time: now() + shift)  # of the host that reads
    monkeypatch.setattr(time, "time_ns", lambda now=time.time_ns: now() + int(shift * 1e9))
    assert states(tmp_path) == {"alive": "running", "dead": "lost"}


def test_a_session_of_a_copied_folder_is_lost(tmp_path: Path):
    (tmp_path / "run").mkdir()
    write(tmp_path / "run", "killed", 130)
    write(tmp_path / "run", "of a clock that is ahead", -DAY)
    shutil.copytree(tmp_path / "run", tmp_path / "copy")  # keeps times
    assert set(states(tmp_path / "copy").values()) == {"lost"}


def test_a_folder_that_cannot_be_written_leaves_it_open(tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    def refuse(**_: object) -> None:
        raise OSError(errno.EROFS, "Read-only file system")

    monkeypatch.setattr(sessions_module, "TemporaryFile", refuse)
    write(tmp_path, "old", DAY)
    write(tmp_path, "done", DAY, end="2026-01-01T01:00:00+00:00", ended="finished")
    assert states(tmp_path) == {"old": "unknown", "done": "finished"}
    assert lost_line(read_sessions(tmp_path)) == ""


def test_a_file_that_its_session_replaces_on_nfs_is_read_again(tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    write(tmp_path, "busy")
    left, read = 3, Path.read_text

    def stale(self: Path, *arguments: Any, **options: Any) -> str:
        nonlocal left
        left -= 1
        if left >= 0:
            raise OSError(errno.ESTALE, "Stale file handle", str(self))
        return read(self, *arguments, **options)

    monkeypatch.setattr(Path, "read_text", stale)
    assert states(tmp_path) == {"busy": "running"}
    left = 4
    with pytest.raises(CamdbenchError, match=r"busy\.json: cannot be read \(stale file handle\)"):
        read_sessions(tmp_path)


@each("damage", ["{", "[]", '{"end": 5}', '{"jobs": "many"}', '{"passes": {"forward": "x"}}', '{"host": null}'])
def test_a_damaged_file_is_named(tmp_path: Path, damage: str):
    write(tmp_path, "bad").write_text(damage)
    with pytest.raises(CamdbenchError, match=r"bad\.json: damaged"):
        read_sessions(tmp_path)


def test_summarise_names_lost_sessions_in_one_line(make_run: Any, capsys: pytest.CaptureFixture[str]):
    run = make_run({"gradcam": {"ad": [1.0, 2.0]}})
    write(run, "node1", 0)
    assert run_cli(["summarise", str(run)]) == 0
    assert capsys.readouterr().err == ""
    for host in range(2, 7):
        write(run, f"node{host}", 130)
    assert run_cli(["summarise", str(run)]) == 0
    since = "since 2026-01-01T00:00:00+00:00"
    names = f"node2 {since}, node3 {since}, node4 {since} and 2 more"
    assert capsys.readouterr().err == (
        f"{run}: 5 sessions were lost (no end, no heartbeat for 2 minutes): {names}; the same command again computes any missing rows\n"
    )
    assert [session["ended"] for session in load_run(run)["sessions"]] == ["running", *["lost"] * 5]
