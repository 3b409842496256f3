"""Labels of a user's data as class indices with class names."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
from torch import Tensor

from camdbench.core.errors import UsageError
from camdbench.functional.targets import class_indices


def index_labels(given: Sequence[Any], classes: Sequence[str]) -> tuple[list[int], tuple[str, ...]]:
    """Class indices, -1 for None, and the class names; names without `classes` are sorted.

    >>> index_labels(["dog", None, "cat"], ())
    ([1, -1, 0], ('cat', 'dog'))

    Raises:
        UsageError: floats, bools, an unknown name, an index out of range, or names beside indices.
    """
    known = [label for label in given if label is not None]
    named = [isinstance(label, str) for label in known]
    if any(named) and not all(named):
        raise UsageError(f"labels: {known[named.index(True)]!r} is a name and {known[named.index(False)]!r} is none; give names or indices")
    names = tuple(classes) or (tuple(sorted(set(known))) if known and named[0] else ())
    single = [label.reshape(()) if isinstance(label, Tensor | np.ndarray) and label.shape == (1,) else label for label in known]
    found = iter(class_indices(single, len(single), "labels", names).tolist() if single else [])
    indices = [-1 if label is None else next(found) for label in given]
    top = len(names) if names else None
    if wrong := [label for label in indices if label < -1 or (top is not None and label >= top)]:
        raise UsageError(f"labels: class index {wrong[0]} is out of range for {top or 'unnamed'} classes; count from 0; -1: no label")
    return indices, names
