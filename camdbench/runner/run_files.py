"""Files of a run directory are written whole; a failure is one line."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from contextlib import AbstractContextManager
from pathlib import Path
from typing import Any

from camdbench.core.errors import CamdbenchError
from camdbench.core.files import replacing, to_json


def write_json(file: Path, content: Mapping[str, Any], how: Callable[[Path], AbstractContextManager[Path]] = replacing) -> None:
    """Write a JSON file; arguments and errors as of `write_file`."""
    text = to_json(content)
    write_file(file, lambda path: path.write_text(text, encoding="utf-8", errors="backslashreplace"), how)


def write_file(file: Path, write: Callable[[Path], object], how: Callable[[Path], AbstractContextManager[Path]] = replacing) -> None:
    """Write a file of a run.

    Args:
        file: the file.
        write: writes to a temporary path.
        how: `replacing`, or `creating` for a file that only one session may write.

    Raises:
        AlreadyWritten: of `creating`; another session was first.
        CamdbenchError: the file cannot be written.
    """
    from safetensors import SafetensorError

    try:
        with how(file) as temporary:
            write(temporary)
    except (OSError, SafetensorError) as error:
        reason = getattr(error, "strerror", None) or error
        raise CamdbenchError(f"{file}: cannot be written ({reason}); finished work is kept, run the same command again") from error
