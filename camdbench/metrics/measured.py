"""Measured: what a metric found on a batch."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import NamedTuple

from torch import Tensor


class Curve(NamedTuple):
    """Several numbers of each image over common places.

    Attributes:
        x: (K,) places, such as fractions of pixels, thresholds or class indices.
        y: (B, K) values.
    """

    x: Tensor
    y: Tensor


@dataclass(frozen=True)
class Measured:
    """The values of one metric for one batch.

    Attributes:
        values: (B,) each image's own number; NaN where there is none.
        undefined: (B,) bool, where the metric has no meaning for the image; a NaN elsewhere is an error.
        points: by part, what the table's number is made of where it is more than the mean of `values`.
    """

    values: Tensor
    undefined: Tensor | None = None
    points: Mapping[str, Curve] = field(default_factory=dict[str, Curve])
