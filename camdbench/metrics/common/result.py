"""Results of a metric on one batch."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field

from torch import Tensor


@dataclass(frozen=True)
class Curve:
    """Values of each image over common positions.

    Attributes:
        x: (K,) positions, such as fractions of pixels, thresholds or class indices.
        y: (B, K) values.
    """

    x: Tensor
    y: Tensor


@dataclass(frozen=True)
class MetricResult:
    """Values of one metric on one batch.

    Attributes:
        values: (B,) value of each image; NaN if undefined.
        undefined: (B,) bool, where the metric is undefined; a NaN elsewhere is an error.
        curves: by name, the inputs of a table's aggregate, if that is not the mean of `values`.
    """

    values: Tensor
    undefined: Tensor | None = None
    curves: Mapping[str, Curve] = field(default_factory=dict[str, Curve])
