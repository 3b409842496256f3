"""One image explained by one explainer: what files and pages say of it."""

from __future__ import annotations

import math
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass


@dataclass(frozen=True)
class Explained:
    """One image explained by one explainer.

    Attributes:
        image: name of the image.
        explainer: canonical spec.
        target: index of the explained class.
        class_name: name of the class; empty if the model has no class names.
        probability: probability of that class.
        scores: value by metric.
        status: ok, constant_map or error.
        overlay: PNG file.
    """

    image: str
    explainer: str
    target: int
    class_name: str
    probability: float
    scores: dict[str, float]
    status: str
    overlay: str

    @property
    def title(self) -> str:
        """Class and probability."""
        return f"{self.class_name or f'class {self.target}'} {100 * self.probability:.1f} %"

    @property
    def caption(self) -> str:
        """Values of metrics that there are, and the status unless it is ok."""
        values = [f"{name} {value:.1f}" for name, value in self.scores.items() if math.isfinite(value)]
        return "  ".join([*values, *([] if self.status == "ok" else [f"({self.status})"])])


def distinct(names: Sequence[str]) -> list[str]:
    """Number those names that are not unique.

    >>> distinct(["cat", "dog", "cat", "cat-2"])
    ['cat-0', 'dog', 'cat-2_', 'cat-2']
    """
    counts = Counter(names)
    taken = {name for name, count in counts.items() if count == 1}
    found = list[str]()
    for index, name in enumerate(names):
        own = name if counts[name] == 1 else f"{name}-{index}"
        while counts[name] > 1 and own in taken:
            own += "_"
        taken.add(own)
        found.append(own)
    return found
