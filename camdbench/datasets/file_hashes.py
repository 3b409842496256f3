"""Hashes of the contents of files, kept between runs by path, size and times, so that a second run reads no unchanged file."""

from __future__ import annotations

import hashlib
import json
import os
import sys
import time
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress
from pathlib import Path

from camdbench.core.errors import CamdbenchError
from camdbench.core.files import check_regular, check_text
from camdbench.core.written_files import write_whole

_SETTLED = 2 * 10**9  # ns; a file that changed since may change again within the resolution of its time
_PART = 64  # files of one task of a thread, as a task takes as long as a file whose hash is kept

Stamp = tuple[int, int, int]  # size, time of modification, time of change of the entry


def file_hashes(files: Sequence[Path]) -> list[str]:
    """SHA-256 of the contents of files, in order; `gone` for one that cannot be read.

    The first run reads every file once, in threads and in parts; later runs read the sizes and times alone.
    """
    if not files:
        return []
    paths = [str(file if file.is_absolute() else file.absolute()) for file in files]
    folder = cache_folder()
    name = hashlib.sha256(str(Path(min(paths)).parent).encode(errors="surrogatepass")).hexdigest()[:16]
    kept = None if folder is None else folder / "hashes" / f"{name}.json"
    known = {} if kept is None else _read(kept)
    with ThreadPoolExecutor(min(8, 2 * (os.cpu_count() or 1))) as pool:
        parts = pool.map(lambda start: [_hash_of(path, known) for path in paths[start : start + _PART]], range(0, len(paths), _PART))
        found = [own for part in parts for own in part]
    now = time.time_ns()
    new = {path: own for path, own in zip(paths, found, strict=True) if own[0] and now - max(own[0][1:]) > _SETTLED}
    if kept is not None and any(known.get(path) != own for path, own in new.items()):
        with suppress(CamdbenchError):  # without a writable folder every run reads the files
            write_whole(kept, json.dumps(known | new))
    return [text for _, text in found]


def cache_folder() -> Path | None:
    """Cache folder, which may be deleted at any time: CAMDBENCH_HOME, else `camdbench` in the user's cache folder.

    None if the user has none.
    """
    if given := os.environ.get("CAMDBENCH_HOME"):
        return Path(given)
    defaults = {"win32": ("LOCALAPPDATA", "~/AppData/Local"), "darwin": ("", "~/Library/Caches")}
    variable, default = defaults.get(sys.platform, ("XDG_CACHE_HOME", "~/.cache"))
    with suppress(RuntimeError):  # of a user without a home, as in a container
        return Path(os.environ.get(variable) or default).expanduser() / "camdbench"
    return None


def _hash_of(path: str, known: dict[str, tuple[Stamp | None, str]]) -> tuple[Stamp | None, str]:
    try:
        about = Path(path).stat()
        stamp = about.st_size, about.st_mtime_ns, about.st_ctime_ns
        if (kept := known.get(path)) is not None and kept[0] == stamp:
            return kept
        check_regular(Path(path))
        with Path(path).open("rb") as file:
            return stamp, hashlib.file_digest(file, "sha256").hexdigest()
    except (OSError, ValueError):  # gone, or a name that the system does not allow
        return None, "gone"


def _read(file: Path) -> dict[str, tuple[Stamp | None, str]]:
    """The kept hashes; none if the file is missing or damaged."""
    try:
        check_text(file)
        content = json.loads(file.read_text(encoding="utf-8"))
        return {str(path): ((int(own[0][0]), int(own[0][1]), int(own[0][2])), str(own[1])) for path, own in content.items()}
    except (OSError, ValueError, TypeError, AttributeError, LookupError, RecursionError):
        return {}
