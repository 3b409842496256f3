"""Session files of a run: how each session ended, and which were lost."""

from __future__ import annotations

import errno
import os
from pathlib import Path
from tempfile import TemporaryFile
from typing import Any

from pydantic import BaseModel

from camdbench.core.errors import CamdbenchError
from camdbench.core.files import read_json

SILENT = 120.0  # seconds without heartbeat after which a session without end is lost
_NAMED = 3  # lost sessions in a message
_READINGS = 4  # of a file that its session replaces at that moment
_GONE = (errno.ENOENT, errno.ESTALE)  # the second on NFS
_FIX = "delete it and run the same command again"


class ExplainerFacts(BaseModel):
    """Facts of an explainer in a record."""

    control: bool = False


class SessionForm(BaseModel):
    """Fields that a record and its session files share."""

    explainers: dict[str, ExplainerFacts] = {}
    plugins: dict[str, str] = {}
    given: dict[str, str] = {}


class _SessionFile(SessionForm):
    start: str = ""
    end: str | None = None
    ended: str | None = None
    host: str = ""
    jobs: int = 0
    passes: dict[str, int] = {}


def read_sessions(run: Path) -> list[dict[str, Any]]:
    """Read the session files of a run, in the order of their names.

    `ended` is finished, interrupted or error, as the session wrote it; None in files of earlier versions. For a session without end
    it is `running`, `lost` if its heartbeat is more than 2 minutes away from now, or `unknown` in a folder that cannot be written.

    Heartbeat and now are both times that the file system has set: the clocks of hosts may differ by days. A heartbeat in the
    future is of a copied folder, so that session is lost too.

    Raises:
        CamdbenchError: a file is damaged.
    """
    found, now = list[dict[str, Any]](), None
    for path in sorted(run.glob("sessions/[!.]*.json")):
        facts = {"ended": None, **_read(path)}
        if facts.get("end") is None:
            now = _now(path.parent) if now is None else now
            facts["ended"] = _state(now, path)
        found.append(facts)
    return found


def lost_line(sessions: list[dict[str, Any]]) -> str:
    """One line about lost sessions; empty if there are none."""
    lost = [f"{session.get('host') or 'a host'} since {session.get('start')}" for session in sessions if session["ended"] == "lost"]
    if not lost:
        return ""
    number = "1 session was lost" if len(lost) == 1 else f"{len(lost)} sessions were lost"
    names = ", ".join(lost[:_NAMED]) + (f" and {len(lost) - _NAMED} more" if len(lost) > _NAMED else "")
    return f"{number} (no end, no heartbeat for 2 minutes): {names}; the same command again computes any missing rows"


def _read(path: Path) -> dict[str, Any]:
    for further in reversed(range(_READINGS)):
        try:
            return read_json(path, _SessionFile, fix=_FIX, error=CamdbenchError)
        except CamdbenchError as error:
            if not further or getattr(error.__context__, "errno", None) not in _GONE:
                raise
    raise AssertionError


def _state(now: float | None, session: Path) -> str:
    if now is None:
        return "unknown"
    return "running" if abs(now - session.stat().st_mtime) <= SILENT else "lost"  # read before, as opening renews what NFS knows


def _now(folder: Path) -> float | None:
    """Time of a file written now, by the clock that sets the times in this folder; None if the folder cannot be written."""
    try:
        with TemporaryFile(dir=folder) as file:
            file.write(b"now")
            file.flush()
            return os.fstat(file.fileno()).st_mtime
    except OSError:
        return None
