"""Results of a metric on one batch."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field

from torch import Tensor


@dataclass(frozen=True)
class Curve:
    """Several numbers of each image over common places.

    Attributes:
        x: (K,) places, such as fractions of pixels, thresholds or class indices.
        y: (B, K) values.
    """

    x: Tensor
    y: Tensor


@dataclass(frozen=True)
class MetricResult:
    """The values of one metric for one batch.

    Attributes:
        values: (B,) each image's own number; NaN where there is none.
        undefined: (B,) bool, where the metric has no meaning for the image; a NaN elsewhere is an error.
        curves: by name, what the table's number is made of where it is more than the mean of `values`.
    """

    values: Tensor
    undefined: Tensor | None = None
    curves: Mapping[str, Curve] = field(default_factory=dict[str, Curve])
