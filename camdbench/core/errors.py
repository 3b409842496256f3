"""Exceptions and their exit codes.

CamdbenchError            the job failed                                              exit code 1
├── UsageError            the request is invalid; the message states the fix          exit code 2
├── UnwritableFile        the disk is full or damaged, or a folder cannot be written     exit code 1
├── SampleError           one image is unusable: rows with status=error, the run continues
├── ResultError           an explainer or metric returned an unusable result: rows with status=error, the run continues
└── NotApplicable         undefined for this model or image: rows with status=not_applicable
"""

from __future__ import annotations

import difflib
import re
from collections.abc import Iterable

_SHOWN = 300  # characters of a message


class CamdbenchError(Exception):
    """Failure whose message names the thing, the value and the fix."""

    exit_code = 1


class UsageError(CamdbenchError):
    """The request is invalid; nothing has been computed."""

    exit_code = 2


class UnwritableFile(CamdbenchError):
    """A file cannot be written, which ends the whole command; the message names the file, the reason and the fix."""


class SampleError(CamdbenchError):
    """A sample cannot be read or used; the run continues."""


class ResultError(CamdbenchError):
    """An explainer or metric returned something else than documented; the run continues."""


class NotApplicable(CamdbenchError):
    """An explainer or metric is not defined for this model or image."""


class CamdbenchWarning(UserWarning):
    """Caveat on computed values; the command line prints it on one line, even without -v."""


def text_of(error: BaseException) -> str:
    """Message of an exception; empty if it cannot state it, as its class may be a user's."""
    try:
        return str(error)
    except BaseException:
        return ""


def first_line(error: BaseException) -> str:
    r"""First line of an exception's message, at most 300 characters, or its type if it has none or cannot state it.

    >>> first_line(ValueError("a\nb")), first_line(KeyError())
    ('a', 'KeyError')
    """
    line = (text_of(error).strip().splitlines() or [""])[0]
    return (line if len(line) <= _SHOWN else f"{line[:_SHOWN]}…") or type(error).__name__


def file_in(name: str) -> str:
    """The Python file that stands for a name, perhaps before options; empty if there is none.

    >>> file_in("sub/nets.py"), file_in("nets.py(width=2)"), file_in("resnet18")
    ('sub/nets.py', 'nets.py', '')
    """
    found = re.fullmatch(r"(.*\.py)(\(.*)?", name, re.DOTALL)
    return found[1] if found else ""


def unknown(kind: str, name: str, known: Iterable[str], *, of: object = "", more: str = "") -> UsageError:
    """UsageError for an unregistered name, with the nearest registered names; `of` names the thing that lacks it.

    >>> str(unknown("explainer", "gradcan", ["gradcam", "opticam"]))
    "no explainer 'gradcan'; did you mean 'gradcam'?"
    >>> str(unknown("split", "test", ["train", "val"], of="shortcuts"))
    "shortcuts: no split 'test'; known: train, val"
    >>> str(unknown("model", "nets.py", ["resnet18"]))
    'model nets.py: a file; name a function or object of it, nets.py:NAME'
    """
    if file := file_in(name):
        return UsageError(f"{kind} {name}: a file; name a function or object of it, {file}:NAME")
    names = sorted(known)
    close = difflib.get_close_matches(name.lower(), names, n=3, cutoff=0.6)
    if close:
        hint = "did you mean " + " or ".join(repr(match) for match in close) + "?"
    else:
        hint = "known: " + (", ".join(names) if len(names) <= 20 else f"{', '.join(names[:20])}, …")
    return UsageError(f"{f'{of}: ' if of else ''}no {kind} {name!r}; {hint}{' ' + more if more else ''}")
