"""Reading of files with one-line errors."""

from __future__ import annotations

import errno
import json
import stat
from collections.abc import Generator, Hashable
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Any, cast

from camdbench.core.errors import CamdbenchError, UsageError
from camdbench.core.signs import encodable

if TYPE_CHECKING:
    from pydantic import BaseModel

_SHOWN = 160  # characters of a reason; a parser's message may quote the whole file
_MOST_NODES = 100_000  # nodes of a YAML file with its aliases written out
_MOST_TEXT = 2 * 2**30  # bytes of a file that is read whole as text
_MOST_GROWTH = 20  # ratio of unpacked to file size; torch does not compress


@contextmanager
def reading(file: Path, what: str = "", *, fix: str, error: type[CamdbenchError] = UsageError) -> Generator[None]:
    """Turn any failure to read and parse a file into one error: file, reason and fix.

    Args:
        file: a regular file; folders, pipes and devices are refused, as reading one may never end.
        what: kind of file, for the message.
        fix: what to do.
        error: class of the error.

    Raises:
        CamdbenchError: of the class `error`.
    """
    name = f"{what} {file}".strip()
    try:
        check_regular(file)
        yield
    except CamdbenchError:
        raise
    except OSError as failure:
        reason = (failure.strerror or str(failure)).strip().lower() or "unknown error"
        raise error(f"{name}: cannot be read ({one_line(reason)}); {fix}") from None
    except Exception as failure:  # each format raises its own types
        raise error(f"{name}: damaged ({reason_of(failure)}); {fix}") from failure


def check_regular(file: Path) -> None:
    """Refuse folders, pipes and devices, as reading one may never end.

    Raises:
        OSError: the file does not exist, or is none of the regular ones.
    """
    if not stat.S_ISREG(file.stat().st_mode):
        raise OSError(errno.EINVAL, "not a regular file", str(file))


def check_text(file: Path) -> None:
    """Refuse what `check_regular` refuses, and a file of text that is larger than any such file, as it is read whole.

    Raises:
        OSError: as of `check_regular`; the file is more than 2 gigabytes.
    """
    check_regular(file)
    if file.stat().st_size > _MOST_TEXT:
        raise OSError(errno.EFBIG, "more than 2 gigabytes", str(file))


def check_growth(file: Path, *, least: int = 0) -> None:
    """Refuse a zip archive that unpacks to more than 20 times its size.

    Args:
        file: the file; files that are no archives pass.
        least: bytes to which any archive may unpack.

    Raises:
        ValueError: the archive unpacks to more.
    """
    import zipfile  # a listing needs no archives

    if not zipfile.is_zipfile(file):
        return
    with zipfile.ZipFile(file) as archive:
        unpacked = sum(entry.file_size for entry in archive.infolist())
    size = file.stat().st_size
    if unpacked > max(least, _MOST_GROWTH * size):
        raise ValueError(f"its {size:,} bytes would unpack to {unpacked:,}")


def reason_of(failure: BaseException) -> str:
    """The reason of a failed reading in one short line."""
    if isinstance(failure, RecursionError):
        return "nested too deeply"
    if isinstance(failure, UnicodeDecodeError):
        return "not UTF-8 text"
    if isinstance(failure, MemoryError):
        return "it claims more than fits in memory"
    if type(failure).__name__ == "ValidationError" and hasattr(failure, "errors"):  # of pydantic, which is imported only when needed
        first = cast("Any", failure).errors(include_url=False, include_context=False)[0]
        return one_line(f"{'.'.join(map(str, first['loc'])) or 'content'}: {first['msg'].lower()}")
    if isinstance(failure, KeyError):
        return f"no {one_line(str(failure))}"
    return one_line(str(failure)) or type(failure).__name__


def one_line(text: str) -> str:
    """The first line of a text, shortened."""
    line = " ".join((text.strip().splitlines() or [""])[0].split())
    return line if len(line) <= _SHOWN else f"{line[:_SHOWN]}…"


def read_text(file: Path, what: str = "", *, fix: str, error: type[CamdbenchError] = UsageError) -> str:
    """Text of a UTF-8 file, with or without a byte order mark; raises as `reading`."""
    with reading(file, what, fix=fix, error=error):
        check_text(file)
        return file.read_text(encoding="utf-8-sig")


def read_json(
    file: Path, form: type[BaseModel] | None = None, what: str = "", *, fix: str, error: type[CamdbenchError] = UsageError
) -> dict[str, Any]:
    """Content of a JSON file, checked against a pydantic model but not converted.

    Args:
        file: the file.
        form: fields that the content must have, and their types; others are kept; default: any object.
        what: kind of file, for the message.
        fix: what to do.
        error: class of the error.

    Raises:
        CamdbenchError: of the class `error`; the file cannot be read, is not JSON or has another form.
    """
    with reading(file, what, fix=fix, error=error):
        check_text(file)
        content = json.loads(file.read_text(encoding="utf-8"))
        if not isinstance(content, dict):
            raise TypeError("not a JSON object")
        if form is not None:
            form.model_validate(content)
        return cast("dict[str, Any]", content)


def read_fields(file: Path, what: str, example: str, hint: str = "") -> dict[str, Any]:
    """Fields of a YAML file.

    Args:
        file: the file.
        what: kind of file, for error messages.
        example: a valid field, for error messages.
        hint: appended to the error.

    Raises:
        UsageError: the file cannot be read, is not YAML, names a field twice or by no text, or contains no fields.
    """
    with reading(file, what, fix=f"give a YAML file with fields such as `{example}`{hint}"):
        check_text(file)
        loaded = _parse_yaml(file.read_text(encoding="utf-8-sig"))
    if not isinstance(loaded, dict):
        raise UsageError(f"{what} {file}: expected fields such as `{example}`, found {type(loaded).__name__}")
    if (odd := next((name for name in loaded if not isinstance(name, str)), "")) != "":
        raise UsageError(f"{what} {file}: field {odd!r}: the name of a field is text; correct it, or put it in quotes")
    return cast("dict[str, Any]", loaded)


def _parse_yaml(text: str) -> Any:
    """Parse YAML; a field that is given twice, and aliases that multiply, are errors."""
    import yaml

    class Loader(yaml.SafeLoader):
        def construct_mapping(self, node: yaml.MappingNode, deep: bool = False) -> dict[Hashable, Any]:
            names = [key.value for key, _ in node.value if isinstance(key, yaml.ScalarNode) and key.value != "<<"]
            if twice := next((name for name in names if names.count(name) > 1), None):
                raise ValueError(f"{twice} is given twice; remove one")
            return super().construct_mapping(node, deep)

    try:
        loaded = yaml.load(text, Loader)  # noqa: S506 - a SafeLoader
    except yaml.YAMLError as error:
        raise ValueError(f"not YAML: {' '.join(str(error).split())}") from None
    if not isinstance(loaded, dict | list):
        return loaded
    waiting, count = [loaded], 0
    while waiting:
        node = waiting.pop()
        own = list(node.values()) if isinstance(node, dict) else node
        count += len(own)
        if count > _MOST_NODES:
            raise ValueError(f"its aliases expand to more than {_MOST_NODES:,} values")
        waiting += [each for each in own if isinstance(each, dict | list)]
    return loaded


def check_utf8(what: str, name: str) -> None:
    """Refuse a name that tables cannot hold, as of a file whose name is not UTF-8.

    Raises:
        UsageError: the name is not UTF-8.
    """
    try:
        name.encode()
    except UnicodeEncodeError:
        raise UsageError(f"{what} = {name!a}: a name that is not UTF-8, which tables cannot hold; rename it") from None


def to_json(content: object) -> str:
    r"""Indented JSON; half of a character pair, as in a file name that is not UTF-8, is written as its escape.

    >>> to_json("é\udcff")
    '"é\\udcff"\n'
    """
    return encodable(json.dumps(content, indent=2, ensure_ascii=False) + "\n")
