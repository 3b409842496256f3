"""Session file: versions, machine, usage and end of one session, written by that session alone."""

from __future__ import annotations

import os
import socket
import uuid
from collections.abc import Mapping
from contextlib import suppress
from datetime import UTC, datetime
from pathlib import Path
from threading import Event, Thread
from types import TracebackType
from typing import Any, Self
from urllib.parse import quote

from camdbench.core import provenance
from camdbench.core.errors import CamdbenchError, first_line
from camdbench.core.written_files import write_json

BEAT_EVERY = 20.0  # seconds; with the minute for which NFS may show an old time, well below `tables.sessions.SILENT`


class Session:
    """File of one session, written at its start, after each unit and at its end, also after an exception.

    A thread renews the time of the file, the heartbeat, as one unit may take hours. It touches the file only, so the content
    has one writer.

    Args:
        folder: folder of the session files.
        facts: further facts of the session.
    """

    def __init__(self, folder: Path, facts: Mapping[str, Any]) -> None:
        now, host = datetime.now(UTC).strftime("%Y%m%dT%H%M%S.%fZ"), socket.gethostname()
        self._file, self._over = folder / f"{now}-{quote(host, safe='')}-{uuid.uuid4().hex[:8]}.json", Event()
        self._facts: dict[str, Any] = {
            "start": provenance.now(),
            "end": None,
            "ended": None,
            "host": host,
            "command": provenance.command_line(),
            "versions": provenance.versions(),
            "git": provenance.git_revision(),
            "jobs": 0,
            "boxes_dropped": 0,
            "passes": dict.fromkeys(("forward", "backward", "tail_forward", "tail_backward"), 0),
            **facts,
        }

    def __enter__(self) -> Self:
        write_json(self._file, self._facts)
        Thread(target=_beat, args=(self._file, self._over), name="camdbench heartbeat", daemon=True).start()
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None) -> None:
        self._over.set()
        self._facts |= {"end": provenance.now(), "ended": "finished"}
        if error is not None:
            ended = "error" if isinstance(error, Exception) else "interrupted"
            self._facts |= {"ended": ended, "reason": first_line(error)}
        try:
            write_json(self._file, self._facts)
        except CamdbenchError:
            if kind is None:  # else the first error says more
                raise

    def add(self, jobs: int, passes: Mapping[str, int], boxes_dropped: int, **last: Any) -> None:
        """Add the usage of a unit; facts in `last` are replaced by each unit."""
        self._facts["jobs"] += jobs
        self._facts["boxes_dropped"] += boxes_dropped
        self._facts["passes"] = {name: count + passes[name] for name, count in self._facts["passes"].items()}
        self._facts |= last
        with suppress(CamdbenchError):  # the next unit, or the end, writes the file whole
            write_json(self._file, self._facts)


def _beat(file: Path, over: Event) -> None:
    """Renew the time of a file until the session is over; a network file system sets it by the server's clock."""
    while not over.wait(BEAT_EVERY):
        with suppress(OSError):  # the next beat may succeed
            os.utime(file)
