"""Files of a run directory are written whole; after a failure the same command resumes the run."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from contextlib import AbstractContextManager
from pathlib import Path
from typing import Any, Protocol

from camdbench.core.files import to_json
from camdbench.core.written_files import replacing


class _Door(Protocol):
    """`replacing` or `creating`."""

    def __call__(self, path: Path, *, resumes: bool = False) -> AbstractContextManager[Path]: ...


def write_json(file: Path, content: Mapping[str, Any], how: _Door = replacing) -> None:
    """Write a JSON file; arguments and errors as of `write_file`."""
    text = to_json(content)
    write_file(file, lambda path: path.write_text(text, encoding="utf-8", errors="backslashreplace"), how)


def write_file(file: Path, write: Callable[[Path], object], how: _Door = replacing) -> None:
    """Write a file of a run.

    Args:
        file: the file.
        write: writes to a temporary path.
        how: `replacing`, or `creating` for a file that only one session may write.

    Raises:
        AlreadyWritten: of `creating`; another session was first.
        UnwritableFile: the file cannot be written.
    """
    with how(file, resumes=True) as temporary:
        write(temporary)
