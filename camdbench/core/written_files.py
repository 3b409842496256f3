"""Writing of files, whole or not at all, with one-line errors."""

from __future__ import annotations

import errno
import os
from collections.abc import Callable, Generator, Mapping
from contextlib import AbstractContextManager, contextmanager, suppress
from pathlib import Path
from tempfile import TemporaryFile
from typing import Any, Protocol
from uuid import uuid4

from camdbench.core.errors import CamdbenchError, UnwritableFile, UsageError
from camdbench.core.files import one_line, to_json

WRONG_PATH = frozenset(
    {errno.ENAMETOOLONG, errno.ELOOP, errno.ENOENT, errno.ENOTDIR, errno.EISDIR, errno.EACCES, errno.EPERM, errno.EINVAL, errno.ENXIO}
    | {errno.EROFS}
)  # errors of the path itself; others, such as a full disk, are those of the machine
DISK_FIXES = {
    errno.ENOSPC: "free space on the disk",
    errno.EDQUOT: "free space within the quota",
    errno.EFBIG: "raise the limit of a file's size (ulimit -f)",
    errno.EIO: "check the disk",
}  # of errors of the disk


def unwritable(name: object, failure: OSError, *, resumes: bool = False) -> CamdbenchError:
    """The error of a file or folder that cannot be written: its name, the reason and the fix.

    Args:
        name: the file or folder.
        failure: what the system says.
        resumes: whether the same command resumes longer work, whose finished parts are kept.

    Returns:
        A UsageError if the path is wrong and no work is lost, else an UnwritableFile.
    """
    wrong = failure.errno in WRONG_PATH
    fix = DISK_FIXES.get(failure.errno or 0, "check the folder" if resumes else "")
    then = "finished work is kept, run the same command again" if resumes else "choose another folder"
    reason = os.strerror(failure.errno) if failure.errno else one_line(str(failure)) or type(failure).__name__
    error = UsageError if wrong and not resumes else UnwritableFile
    return error(f"{name}: cannot be written ({reason}); {', '.join(filter(None, (fix, then)))}")


@contextmanager
def writing(name: object, *, resumes: bool = False) -> Generator[None]:
    """Turn a failure to write into one error; arguments and errors as of `unwritable`."""
    try:
        yield
    except OSError as failure:
        raise unwritable(name, failure, resumes=resumes) from failure


def make_folder(folder: Path, flag: str) -> None:
    """Make a folder of results, and check that files can be written to it, before any work.

    Raises:
        UsageError: it is no folder, or cannot be written.
        UnwritableFile: the disk is full or damaged.
    """
    with writing(f"{flag} = {folder}"):
        folder.mkdir(parents=True, exist_ok=True)
    check_folder(folder, flag)


def check_folder(folder: Path, flag: str) -> None:
    """Check that files can be written to a folder, or to the nearest one above it that exists; nothing is made.

    Raises:
        UsageError: there is no folder, or it cannot be written.
        UnwritableFile: the disk is full or damaged.
    """
    there = next(own for own in (folder, *folder.absolute().parents) if own.exists())
    with writing(f"{flag} = {folder}"):
        if not there.is_dir():
            raise NotADirectoryError(errno.ENOTDIR, os.strerror(errno.ENOTDIR))
        if os.name == "nt" and not os.access(there, os.W_OK):  # where a temporary file would be tried under many names
            raise PermissionError(errno.EACCES, os.strerror(errno.EACCES))
        with TemporaryFile(dir=there):  # of its own name, as several processes may start at once
            pass


def write_whole(path: Path, content: bytes | memoryview | str, *, resumes: bool = False) -> None:
    """Write a file whole or not at all; text as UTF-8, what UTF-8 lacks as escapes.

    Args:
        path: the file; its folder is made.
        content: its content, which is complete, so that only the system can fail.
        resumes: as of `unwritable`.

    Raises:
        CamdbenchError: as `unwritable` returns; an old file is unchanged.
    """
    with replacing(path, resumes=resumes) as temporary:
        temporary.write_bytes(content.encode("utf-8", "backslashreplace") if isinstance(content, str) else content)


@contextmanager
def replacing(path: Path, *, resumes: bool = False) -> Generator[Path]:
    """Yield a temporary path beside `path`; on success rename it to `path` atomically, file and folder synced to the disk.

    The temporary name is unique, as processes in containers and on other hosts may have equal process numbers.

    Raises:
        CamdbenchError: as `unwritable` returns, also for an OSError of what writes to the temporary path.
    """
    with writing(path, resumes=resumes), _temporary(path) as temporary:
        yield temporary
        _sync(temporary)
        temporary.replace(path)
        _sync_folder(path.parent)


class AlreadyWritten(Exception):
    """A file that only one process may write was written by another one."""


@contextmanager
def creating(path: Path, *, resumes: bool = False) -> Generator[Path]:
    """Yield a temporary path beside `path`; on success give it the name `path`, unless another process was first.

    Raises:
        AlreadyWritten: the file exists; it is unchanged.
        CamdbenchError: as of `replacing`.
    """
    with writing(path, resumes=resumes), _temporary(path) as temporary:
        yield temporary
        _sync(temporary)
        try:
            os.link(temporary, path)  # atomic also on NFS, where a rename would overwrite
        except OSError:  # the file exists, or the file system has no hard links
            if path.exists():
                raise AlreadyWritten(str(path)) from None
            temporary.replace(path)
        _sync_folder(path.parent)


@contextmanager
def _temporary(path: Path) -> Generator[Path]:
    path.parent.mkdir(parents=True, exist_ok=True)
    temporary = path.with_name(f".{path.name}.{uuid4().hex}.tmp")
    try:
        yield temporary
    finally:
        with suppress(OSError):  # of a folder that cannot be written; it would hide the first error
            temporary.unlink(missing_ok=True)


def _sync(file: Path) -> None:
    with file.open("rb") as opened:
        os.fsync(opened.fileno())


def _sync_folder(folder: Path) -> None:
    """Write a folder's entries to the disk, without which a power cut undoes a rename; Windows has no such call."""
    if os.name == "posix":
        try:
            handle = os.open(folder, os.O_RDONLY)
            try:
                os.fsync(handle)
            finally:
                os.close(handle)
        except OSError as failure:  # of folders that cannot be read, and of file systems that do not sync folders
            if failure.errno in DISK_FIXES:
                raise


class _Way(Protocol):
    """`replacing` or `creating`."""

    def __call__(self, path: Path, *, resumes: bool = False) -> AbstractContextManager[Path]: ...


def write_json(file: Path, content: Mapping[str, Any], how: _Way = replacing) -> None:
    """Write a JSON file; arguments and errors as of `write_file`."""
    text = to_json(content)
    write_file(file, lambda path: path.write_text(text, encoding="utf-8", errors="backslashreplace"), how)


def write_file(file: Path, write: Callable[[Path], object], how: _Way = replacing) -> None:
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
