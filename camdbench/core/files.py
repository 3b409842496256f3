"""Files: written whole or not at all, and read with one clear line where they cannot be."""

from __future__ import annotations

import os
from collections.abc import Generator
from contextlib import contextmanager
from pathlib import Path
from typing import Any, cast

from camdbench.core.errors import UsageError


def read_fields(file: Path, what: str, example: str, mend: str = "") -> dict[str, Any]:
    """The fields of a YAML file.

    Args:
        file: the file.
        what: what it is called in errors.
        example: a field that it could hold.
        mend: what to say besides where it cannot be read.

    Raises:
        UsageError: it cannot be read, is not YAML, or holds no fields.
    """
    import yaml

    try:
        written = yaml.safe_load(file.read_text(encoding="utf-8"))
    except OSError as error:
        raise UsageError(f"{what} {file}: {(error.strerror or 'cannot be read').lower()}{mend}") from None
    except (yaml.YAMLError, UnicodeDecodeError) as error:
        raise UsageError(f"{what} {file}: not YAML: {' '.join(str(error).split())}") from None
    if not isinstance(written, dict):
        raise UsageError(f"{what} {file}: expected fields such as `{example}`, found {type(written).__name__}")
    return cast("dict[str, Any]", written)


@contextmanager
def replacing(path: Path) -> Generator[Path]:
    """Yield a temporary name beside `path` that takes its place on success, durably; readers see the old or the new file."""
    path.parent.mkdir(parents=True, exist_ok=True)
    temporary = path.with_name(f".{path.name}.{os.getpid()}.tmp")
    try:
        yield temporary
        with temporary.open("rb") as written:
            os.fsync(written.fileno())
        temporary.replace(path)
    finally:
        temporary.unlink(missing_ok=True)
