"""Entries of a user's explainers and metrics, which exist for the duration of a call."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any, Generic

from camdbench.core.references import check_names
from camdbench.core.registry_entry import Entry, F


@dataclass(frozen=True)
class OwnEntry(Generic[F]):
    """An entry that exists for the duration of a call.

    Attributes:
        entry: facts and options, under the user's name.
        function: what is called.
        code: object whose code is hashed.
        origin: `FILE.py:NAME(options)`, or `object of a Python session`.
        place: the reference with an absolute path; empty for objects.
    """

    entry: Entry[F]
    function: Callable[..., Any]
    code: Any
    origin: str
    place: str = ""


def check_own(specs: Sequence[str], own: Sequence[OwnEntry[Any]], flag: str) -> None:
    """Check that specs differ, and that entries of one name are one function.

    Raises:
        UsageError: two are equal.
    """
    check_names(specs, flag)
    functions = {(one.entry.name, id(one.code)) for one in own}
    check_names([name for name, _ in functions], flag)
