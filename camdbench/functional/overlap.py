"""Overlap of maps and regions: energy inside, F1, top-K fraction, IoU, and density difference."""

from __future__ import annotations

from typing import Literal, NamedTuple

import torch
from torch import Tensor

from camdbench.functional.float_precision import to_float64


class RegionEnergy(NamedTuple):
    """Sums of maps over regions, (B,) float64 each.

    Attributes:
        inside: sum over the region.
        total: sum over all pixels.
        area: number of pixels of the region.
    """

    inside: Tensor
    total: Tensor
    area: Tensor


def region_energy(maps: Tensor, region: Tensor) -> RegionEnergy:
    """Energy of non-negative maps (B, H, W) inside regions (B, H, W) bool.

    >>> region_energy(torch.tensor([[[1.0, 3.0]]]), torch.tensor([[[False, True]]])).inside.item()
    3.0
    """
    values, inside = to_float64(maps), region.to(maps.device)
    return RegionEnergy(*(sums.sum((1, 2)) for sums in (values * inside.to(values.device), values, to_float64(inside))))


def f1(found: RegionEnergy) -> Tensor:
    """Soft F1 = 2 P R / (P + R) with precision P = inside / total and recall R = inside / area, (B,) in [0, 1].

    Computed as 2 inside / (total + area); NaN if both are 0. A map of ones scores 2a / (1 + a) for a region of area fraction a.
    """
    return 2 * found.inside / (found.total + found.area)


def top_fraction(maps: Tensor, region: Tensor, ties: Literal["expected", "first"] = "expected") -> Tensor:
    """Fraction of the K highest pixels of each map (B, H, W) inside its region of K pixels: (B,) float64, NaN for K = 0.

    For ties at the K-th value, `expected` is the expectation over random tie-breaking; `first` takes raster order.

    >>> top_fraction(torch.tensor([[[2.0, 1.0, 1.0, 0.0]]]), torch.tensor([[[True, True, False, False]]])).item()
    0.75
    """
    values, inside = maps.flatten(1), region.flatten(1)
    count = inside.sum(1)
    order = values.sort(dim=1, descending=True, stable=True)
    if ties == "first":
        top = torch.arange(values.shape[1], device=values.device) < count[:, None]
        return (inside.gather(1, order.indices) & top).sum(1).double() / count
    last = order.values.gather(1, (count - 1).clamp(min=0)[:, None])
    above, level = values > last, values == last
    share = (level & inside).sum(1).double() / level.sum(1)
    return ((above & inside).sum(1) + (count - above.sum(1)) * share) / count


def iou(first: Tensor, second: Tensor, epsilon: float = 0.0) -> Tensor:
    """IoU (|A and B| + epsilon) / (|A or B| + epsilon) of masks (B, H, W) bool: (B,) float64; NaN for 0/0.

    >>> iou(torch.tensor([[[True, True, False]]]), torch.tensor([[[False, True, True]]])).item()
    0.3333333333333333
    """
    both, either = ((first & second).sum((1, 2)).double(), (first | second).sum((1, 2)).double())
    return (both + epsilon) / (either + epsilon)


def density_difference(maps: Tensor, region: Tensor) -> Tensor:
    """Mean of each map (B, H, W) inside its region minus the mean outside: (B,) float64; NaN if either is empty.

    >>> density_difference(torch.tensor([[[1.0, 0.5, 0.0]]]), torch.tensor([[[True, False, False]]])).item()
    0.75
    """
    found = region_energy(maps, region)
    return found.inside / found.area - (found.total - found.inside) / (region[0].numel() - found.area)
