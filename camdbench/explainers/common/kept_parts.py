"""What a trace has computed and keeps, and whether an explainer changed it in place."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

from torch import Tensor


class KeptParts(dict[str, Any]):
    """Parts of a trace by name; of those that `keep` adds, a change in place is noticed."""

    def __init__(self) -> None:
        super().__init__()
        self._versions = dict[str, list[int]]()

    def keep(self, name: str, part: Any) -> None:
        """Add a part: a tensor, a tuple of tensors, or anything else."""
        self[name], self._versions[name] = part, _versions(part)

    def changed(self) -> bool:
        """Whether a tensor was changed in place since it was kept."""
        return any(_versions(self[name]) != known for name, known in self._versions.items())

    def forget(self) -> None:
        """Drop all parts."""
        self.clear()
        self._versions.clear()


def forget_changed(parts: Iterable[KeptParts], *, everything: bool) -> bool:
    """Drop the parts of all traces if one was changed in place, or with `everything`; returns whether they were dropped."""
    known = list(parts)
    changed = everything or any(own.changed() for own in known)
    for own in known if changed else ():
        own.forget()
    return changed


def _versions(part: object) -> list[int]:
    tensors = part if isinstance(part, tuple) else (part,)
    return [own._version for own in tensors if isinstance(own, Tensor) and not own.is_inference()]
