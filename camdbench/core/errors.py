"""What can go wrong, sorted by who must mend it.

CamdbenchError            a failure of the job                                 exit code 1
├── UsageError            the request is wrong; the message names the mend     exit code 2
├── SampleError           one image is unusable: a row with status=error, never a crash
└── NotApplicable         an explainer has no meaning on this model: a row with status=not_applicable
"""

from __future__ import annotations

import difflib
from collections.abc import Iterable


class CamdbenchError(Exception):
    """A failure with a message fit for a person: it names the thing, the value and the mend."""

    exit_code = 1


class UsageError(CamdbenchError):
    """The request cannot be carried out as written; nothing has been computed."""

    exit_code = 2


class SampleError(CamdbenchError):
    """One sample cannot be read or used; the rest of the run goes on."""


class NotApplicable(CamdbenchError):
    """An explainer or metric is not defined for this model or image."""


class CamdbenchWarning(UserWarning):
    """What a person should know before believing a number; the command line prints it in a line, even without -v."""


def unknown(kind: str, name: str, known: Iterable[str], *, more: str = "") -> UsageError:
    """The error for a name nobody registered, with the nearest names that exist.

    >>> str(unknown("explainer", "gradcan", ["gradcam", "opticam"]))
    "no explainer 'gradcan'; did you mean 'gradcam'?"
    >>> str(unknown("split", "test", ["train", "val"]))
    "no split 'test'; known: train, val"
    """
    names = sorted(known)
    close = difflib.get_close_matches(name.lower(), names, n=3, cutoff=0.6)
    if close:
        hint = "did you mean " + " or ".join(repr(match) for match in close) + "?"
    else:
        hint = "known: " + (", ".join(names) if len(names) <= 20 else f"{', '.join(names[:20])}, …")
    return UsageError(f"no {kind} {name!r}; {hint}{' ' + more if more else ''}")
