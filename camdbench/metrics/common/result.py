"""Results of a metric on one batch."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field

import torch
from torch import Tensor

from camdbench.core.errors import ResultError
from camdbench.core.spec import Spec
from camdbench.functional.float_precision import is_real


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


def check_result(spec: Spec, found: object, images: int) -> MetricResult:
    """Return what a metric returned for B images as a result on the CPU, without graph.

    Raises:
        ResultError: values, undefined or curves are no dense tensors of real numbers, or do not have one entry per image.
    """
    result = found if isinstance(found, MetricResult) else MetricResult(found)  # type: ignore[arg-type]
    values = _checked(f"metric {spec}", result.values, (images,))
    undefined = None if result.undefined is None else _checked(f"metric {spec}: undefined", result.undefined, (images,), torch.bool)
    curves = dict[str, Curve]()
    for name, curve in result.curves.items():
        x = _checked(f"metric {spec}: x of curve {name}", curve.x, (len(curve.x) if curve.x.ndim else 0,))
        curves[name] = Curve(x, _checked(f"metric {spec}: y of curve {name}", curve.y, (images, len(x))))
    return MetricResult(values, undefined, curves)


def _checked(owner: str, found: object, shape: tuple[int, ...], dtype: torch.dtype | None = None) -> Tensor:
    kind = f"{dtype}" if dtype else "real numbers"
    if not isinstance(found, Tensor):
        raise ResultError(f"{owner}: returned {type(found).__name__}; expected a tensor {shape} of {kind}")
    if not is_real(found) or tuple(found.shape) != shape or (dtype and found.dtype != dtype):
        raise ResultError(f"{owner}: returned {found.dtype} of shape {tuple(found.shape)}; expected {kind} of shape {shape}")
    return found.detach().cpu()
