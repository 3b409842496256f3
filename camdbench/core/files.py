"""Atomic writing of files, and reading of YAML with one-line errors."""

from __future__ import annotations

import os
from collections.abc import Generator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Any, cast

from camdbench.core.errors import UsageError


def read_fields(file: Path, what: str, example: str, hint: str = "") -> dict[str, Any]:
    """Fields of a YAML file.

    Args:
        file: the file.
        what: kind of file, for error messages.
        example: a valid field, for error messages.
        hint: appended to the error if the file cannot be opened.

    Raises:
        UsageError: the file cannot be read, is not YAML, or contains no fields.
    """
    import yaml

    try:
        loaded = yaml.safe_load(file.read_text(encoding="utf-8"))
    except OSError as error:
        raise UsageError(f"{what} {file}: {(error.strerror or 'cannot be read').lower()}{hint}") from None
    except (yaml.YAMLError, UnicodeDecodeError) as error:
        raise UsageError(f"{what} {file}: not YAML: {' '.join(str(error).split())}") from None
    if not isinstance(loaded, dict):
        raise UsageError(f"{what} {file}: expected fields such as `{example}`, found {type(loaded).__name__}")
    return cast("dict[str, Any]", loaded)


@contextmanager
def replacing(path: Path) -> Generator[Path]:
    """Yield a temporary path beside `path`; on success fsync it and rename it to `path` atomically."""
    path.parent.mkdir(parents=True, exist_ok=True)
    temporary = path.with_name(f".{path.name}.{os.getpid()}.tmp")
    try:
        yield temporary
        with temporary.open("rb") as file:
            os.fsync(file.fileno())
        temporary.replace(path)
    finally:
        with suppress(OSError):  # of a folder that cannot be written; it would hide the first error
            temporary.unlink(missing_ok=True)
