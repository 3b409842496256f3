"""Points of perturbation curves: their number depends on the size of the image, and a curve of few points is coarse."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from math import inf
from typing import Any, NamedTuple

from camdbench.core.errors import NotApplicable
from camdbench.core.registries import metrics
from camdbench.core.spec import Spec
from camdbench.functional.curves import counts_by_share, counts_by_step
from camdbench.functional.pixel_order import count_patches

FEW = 20
Size = tuple[int, int]


class PatchCounts(NamedTuple):
    """Number of replaced patches at each point, and the number of patches."""

    counts: tuple[int, ...]
    total: int


def pixel_counts(size: Size, step: int, intervals: int, rounding: str) -> tuple[int, ...]:
    """Number of replaced pixels at each point of `insertion` and `deletion`, whose options these are."""
    pixels = size[0] * size[1]
    if intervals and rounding == "point":
        return tuple(dict.fromkeys(counts_by_share(pixels, intervals)))  # an image of few pixels has fewer points
    return counts_by_step(pixels, -(-pixels // intervals) if intervals else step)


def patch_counts(size: Size, patch: int, regions: int, step: int, intervals: int, *, ends: bool) -> PatchCounts:
    """Number of replaced patches at each point of `morf` and `lerf`, whose options these are.

    Raises:
        NotApplicable: no point is left between the ends.
    """
    total = count_patches(size, patch)
    counts = counts_by_share(total, intervals) if intervals else counts_by_step(min(regions or total, total), step)
    counts = tuple(dict.fromkeys(counts))  # an image of few pixels has fewer points
    if not ends:
        counts = counts[1:-1]
    if not counts:
        raise NotApplicable(f"an image of {total} patches has no point between the ends of its curve")
    return PatchCounts(counts, total)


def few_points(spec: Spec, size: Size) -> int | None:
    """Number of points of a metric's curve on images of a size, if the size leaves fewer than `FEW` and than its options ask for.

    >>> few_points(metrics.parse_one("insertion"), (32, 32)), few_points(metrics.parse_one("insertion"), (224, 224))
    (6, None)
    >>> few_points(metrics.parse_one("insertion(protocol=xplique)"), (32, 32))  # 10 intervals, whatever the size
    """
    if spec.name not in _POINTS:
        return None
    try:
        points, asked = _POINTS[spec.name](size, metrics.get(spec.name).arguments(spec))
    except NotApplicable:
        return None
    return points if points < min(FEW, asked) else None


def _of_pixels(size: Size, options: Mapping[str, Any]) -> tuple[int, float]:
    points = len(pixel_counts(size, options["step"], options["intervals"], options["rounding"]))
    return points, options["intervals"] + 1 if options["intervals"] else inf


def _of_patches(size: Size, options: Mapping[str, Any]) -> tuple[int, float]:
    step, regions, intervals = options["step"], options["regions"], options["intervals"]
    points = len(patch_counts(size, options["patch"], regions, step, intervals, ends=options["ends"]).counts)
    asked = intervals or (regions / step if regions else inf)
    return points, asked + 1 if options["ends"] else asked - 1


def _of_regions(size: Size, options: Mapping[str, Any]) -> tuple[int, float]:
    return min(options["regions"], count_patches(size, options["patch"])) + 1, options["regions"] + 1


_POINTS: dict[str, Callable[[Size, Mapping[str, Any]], tuple[int, float]]] = {
    "insertion": _of_pixels,
    "deletion": _of_pixels,
    "morf": _of_patches,
    "lerf": _of_patches,
    "aopc": _of_regions,
    "quantus:Selectivity": lambda size, options: ((size[0] // options["patch_size"]) * (size[1] // options["patch_size"]), inf),
}
