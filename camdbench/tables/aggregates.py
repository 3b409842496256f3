"""Reductions: the number of a table cell from the values and curves of its images, and of bootstrap resamples.

Each reduction is a function of how often each image was drawn: weights of 1 give the statistic itself, the counts of a resample
its bootstrap replicate. What depends on the images only (a sort, a table of classes) is computed once, so a resample costs one
matrix product.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from functools import partial
from typing import TYPE_CHECKING, NamedTuple

import numpy as np

from camdbench.core.errors import UsageError, unknown
from camdbench.core.registries import metrics, protocol_of
from camdbench.core.spec import Spec
from camdbench.tables.group_means import GroupMeans, group_difference, means_by_group, nan_mean, sparse_table, weighted_groups, worst_group
from camdbench.tables.median_curve import median_curve_area
from camdbench.tables.threshold_choice import CURVES, at_best_threshold

if TYPE_CHECKING:
    from scipy.sparse import csr_array

UNIT_SCALE = (
    "relative foreground sensitivity",
    "micro average precision",
    "macro average precision",
    "pixel average precision",
    "mean intersection over union",
    "area under the median curve",
)
"""Reductions with results of scale 1 whatever the unit of the values; multiplied by 100 if the unit is %."""

_NUMBERS = 4_000_000  # float64 values per step, which bounds the memory to about 100 MB


def unit_factor(reduction: str, unit: str) -> float:
    """Factor from a reduction's result to the metric's unit.

    >>> unit_factor("macro average precision", "%"), unit_factor("mean", "%")
    (100.0, 1.0)
    """
    return 100.0 if reduction in UNIT_SCALE and unit == "%" else 1.0


@dataclass(frozen=True)
class CellData:
    """Values and curves of the M images of a table cell.

    Attributes:
        values: (M,) float64, the value of each image; NaN if there is none.
        curves: by name: x (K,) shared by all images and y (M, K), NaN where an image has no curve.
        labels: (M,) int, -1 if unknown.
    """

    values: np.ndarray
    curves: Mapping[str, tuple[np.ndarray, np.ndarray]] = field(default_factory=dict[str, tuple[np.ndarray, np.ndarray]])
    labels: np.ndarray = field(default_factory=lambda: np.empty(0, dtype=np.int64))


def numbers_of(metric: Spec, cell: CellData, undefined: int, not_applicable: int) -> dict[str, float]:
    """Reduce a cell by the protocol of a metric; return the number with counts of images with and without a value, by reason."""
    count, reduction = int(np.isfinite(cell.values).sum()), protocol_of(metric).reduction
    counts = {"n": count, "n_undefined": undefined, "n_not_applicable": not_applicable}
    counts["n_failed"] = len(cell.values) - sum(counts.values())
    if not count:
        return {"number": np.nan, **counts}
    [number] = aggregate(reduction, cell, np.ones((1, len(cell.values))))
    return {"number": float(number) * unit_factor(reduction, metrics.get(metric.name).facts.unit), **counts}


class _Statistic(NamedTuple):
    """A prepared reduction of one cell: float64 values per resample, and the function of weights (r, M) -> (r,)."""

    width: int
    of: Callable[[np.ndarray], np.ndarray]


def aggregate(reduction: str, cell: CellData, weights: np.ndarray) -> np.ndarray:
    """Reduce a cell to a number under each weighting of its images.

    Images without a finite value, or without finite curves if the reduction reads curves, are omitted. NaN if no image is left
    or a denominator is zero.

    - `mean`: mean of the values.
    - `class mean`: mean of the values by label, then over labels; labels absent from a resample and images of unknown label are
      omitted.
    - `maximum over thresholds`: for every curve the mean over images at each threshold and its maximum over thresholds, then
      the mean over curves (MaxBoxAcc and MaxBoxAccV2, Choe et al. 2020).
    - `ratio of means`: the curves `numerator` and `denominator`, each (M, 1), summed over images and divided.
    - `relative foreground sensitivity`: the curves `foreground` and `background`, the accuracy of each image in [0, 1]
      under noise there, (M, 1): class means f and b, then (b - f) / (2 min(m, 1 - m)), m = (b + f) / 2, and 0 where m is
      0 or 1 (Moayeri et al. 2022, RFS).
    - `micro average precision`: the curves `scores` and `truth` (M, C): all pairs of image and class ranked together;
      sum_n (R_n - R_{n-1}) P_n, equal scores form one step, as in scikit-learn.
    - `macro average precision`: the same by class, then the mean over classes; a class without a positive image in a
      resample is omitted from its mean (scikit-learn counts it as 0).
    - `pixel average precision`: the curves `object` and `background` (M, K), numbers of pixels above each threshold x:
      sum_k P_k (R_k - R_{k-1}) from the highest threshold to the lowest, pixels of all images pooled; the lowest must
      count every pixel (PxAP, Choe et al. 2020).
    - `mean intersection over union`: the curves `intersection` and `union` (M, C), pixels of each class in each image: summed
      over images and divided, then the mean over classes; a class without a pixel in a resample is omitted.
    - `area under the median curve`: that of the median over images of the curve `information` (Kapishnikov et al. 2019).
    - `worst group`, `training-weighted groups`, `difference of groups`: the curve `group` (M, 1), a number of 0 or more: the smallest
      mean of a group; the mean over groups, weighted by the curve `share` (M, 1), the fraction of the group in the training data
      (Sagawa et al. 2020); the mean of group 1 minus that of group 0. Groups absent from a resample are omitted.
    - `best threshold`, `held-out threshold`: see `tables.threshold_choice` (FunnyBirds, Hesse et al. 2023).

    >>> cell = CellData(np.array([1.0, 3.0, np.nan]))
    >>> aggregate("mean", cell, np.array([[1, 1, 1], [3, 1, 0]])).tolist()
    [2.0, 1.5]

    Args:
        reduction: one of the names above.
        cell: the images.
        weights: (R, M), how often each image was drawn, 0 or more.

    Returns:
        (R,).

    Raises:
        UsageError: unknown reduction, or the cell lacks a curve that it reads.
    """
    if reduction not in _REDUCTIONS:
        raise unknown("reduction", reduction, _REDUCTIONS)
    width, of = _REDUCTIONS[reduction](cell)
    rows = max(1, _NUMBERS // max(1, width, weights.shape[1]))
    chunks = [weights[start : start + rows].astype(np.float64) for start in range(0, len(weights), rows)]
    with np.errstate(invalid="ignore", divide="ignore"):  # 0/0, if nothing is drawn, gives NaN
        return np.concatenate([of(chunk) for chunk in chunks]) if chunks else np.empty(0)


def _mean(cell: CellData) -> _Statistic:
    kept, present = _without_gaps(cell.values[:, None])
    return _Statistic(1, lambda weights: (weights @ kept)[:, 0] / (weights @ present))


def _class_mean(cell: CellData) -> _Statistic:
    means = means_by_group(cell.values, cell.labels)
    return _Statistic(len(np.unique(cell.labels)), lambda weights: nan_mean(means(weights)))


def _ratio_of_means(cell: CellData) -> _Statistic:
    kept, _ = _without_gaps(np.concatenate(_parts(cell, "ratio of means", "numerator", "denominator"), axis=1))

    def of(weights: np.ndarray) -> np.ndarray:
        above, below = (weights @ kept).T
        return above / np.where(below == 0, np.nan, below)

    return _Statistic(2, of)


def _of_groups(reduction: str, make: Callable[..., GroupMeans], *parts: str) -> Callable[[CellData], _Statistic]:
    def of(cell: CellData) -> _Statistic:
        columns = [part[:, 0] for part in _parts(cell, reduction, *parts)]
        return _Statistic(len(np.unique(columns[0])), make(cell.values, *columns))

    return of


def _maximum_over_thresholds(cell: CellData) -> _Statistic:
    if not cell.curves:
        raise UsageError("reduction maximum over thresholds: reads curves, and the cell has none")
    curves = [_without_gaps(y) for _, y in cell.curves.values()]

    def of(weights: np.ndarray) -> np.ndarray:
        return np.mean([((weights @ kept) / (weights @ present)[:, None]).max(1) for kept, present in curves], axis=0)

    return _Statistic(max(kept.shape[1] for kept, _ in curves), of)


def _relative_foreground_sensitivity(cell: CellData) -> _Statistic:
    both = np.concatenate(_parts(cell, "relative foreground sensitivity", "foreground", "background"), axis=1)
    both = np.where(_complete(both)[:, None], both, np.nan)  # both accuracies of the same images
    foreground, background = (means_by_group(column, cell.labels) for column in both.T)

    def of(weights: np.ndarray) -> np.ndarray:
        return relative_sensitivity(nan_mean(foreground(weights)), nan_mean(background(weights)))

    return _Statistic(2 * len(np.unique(cell.labels)), of)


def relative_sensitivity(foreground: np.ndarray, background: np.ndarray) -> np.ndarray:
    """(b - f) / (2 min(m, 1 - m)), in [-1, 1], of accuracies f and b in [0, 1] with mean m; 0 where m is 0 or 1.

    >>> relative_sensitivity(np.array([0.5, 1.0]), np.array([0.9, 1.0])).round(4).tolist()
    [0.6667, 0.0]
    """
    mean = (foreground + background) / 2
    room = 2 * np.minimum(mean, 1 - mean)
    return np.where(room == 0, 0.0, (background - foreground) / np.where(room == 0, 1.0, room))


def _micro_average_precision(cell: CellData) -> _Statistic:
    scores, truth = _parts(cell, "micro average precision", "scores", "truth")
    return _average_precision(scores, truth)


def _macro_average_precision(cell: CellData) -> _Statistic:
    scores, truth = _parts(cell, "macro average precision", "scores", "truth")
    scores = np.where(_complete(scores)[:, None], scores, np.nan)  # omit an image from every class or from none
    classes = [_average_precision(scores[:, [index]], truth[:, [index]]) for index in range(scores.shape[1])]

    def of(weights: np.ndarray) -> np.ndarray:
        total, count = np.zeros(len(weights)), np.zeros(len(weights))
        for one in classes:
            found = one.of(weights)
            total += np.nan_to_num(found)
            count += ~np.isnan(found)
        return total / count

    return _Statistic(max((one.width for one in classes), default=1), of)


def _average_precision(scores: np.ndarray, truth: np.ndarray) -> _Statistic:
    """Average precision of all pairs (image, class) ranked together, from scores and truth (M, C); NaN without a positive pair.

    Recall changes only at scores of positive pairs, so each distinct one is a step; any other pair counts from the first step whose
    score is not above its own.
    """
    kept = _complete(scores) & _complete(truth)
    positive = (truth > 0.5) & kept[:, None]
    steps = np.unique(scores[positive])[::-1]
    everything, positives = (_counts_by_step(scores, chosen, steps) for chosen in (np.repeat(kept[:, None], scores.shape[1], 1), positive))

    def of(weights: np.ndarray) -> np.ndarray:
        if not len(steps):
            return np.full(len(weights), np.nan)
        gained = np.asarray(weights @ positives)
        found, seen = gained.cumsum(1), np.asarray(weights @ everything).cumsum(1)
        precision = np.divide(found, seen, out=np.zeros_like(found), where=seen > 0)
        return (gained * precision).sum(1) / np.where(found[:, -1] == 0, np.nan, found[:, -1])

    return _Statistic(3 * max(1, len(steps)), of)


def _counts_by_step(scores: np.ndarray, chosen: np.ndarray, steps: np.ndarray) -> csr_array:
    """Number of chosen pairs of each image that count from each of S descending scores, (M, S)."""
    image = np.nonzero(chosen)[0]
    step = np.searchsorted(-steps, -scores[chosen])  # the first step whose score is not above the pair's
    counted = step < len(steps)  # pairs below every positive pair have no effect
    places = image[counted], step[counted]
    return sparse_table(np.ones(len(places[0])), places, (len(scores), len(steps)))


def _pixel_average_precision(cell: CellData) -> _Statistic:
    parts = _parts(cell, "pixel average precision", "object", "background")
    order = np.argsort(-cell.curves["object"][0], kind="stable")
    kept, _ = _without_gaps(np.concatenate([y[:, order] for y in parts], axis=1))
    half = kept.shape[1] // 2

    def of(weights: np.ndarray) -> np.ndarray:
        counts = weights @ kept
        hits, false = counts[:, :half], counts[:, half:]
        precision = np.divide(hits, hits + false, out=np.zeros_like(hits), where=hits + false > 0)
        gained = np.diff(hits, axis=1, prepend=0)
        return (gained * precision).sum(1) / np.where(hits[:, -1] == 0, np.nan, hits[:, -1])

    return _Statistic(2 * kept.shape[1], of)


def _mean_intersection_over_union(cell: CellData) -> _Statistic:
    kept, _ = _without_gaps(np.concatenate(_parts(cell, "mean intersection over union", "intersection", "union"), axis=1))
    half = kept.shape[1] // 2

    def of(weights: np.ndarray) -> np.ndarray:
        counts = weights @ kept
        return nan_mean(counts[:, :half] / np.where(counts[:, half:] == 0, np.nan, counts[:, half:]))

    return _Statistic(2 * kept.shape[1], of)


def _parts(cell: CellData, reduction: str, *names: str) -> list[np.ndarray]:
    """Return the curves (M, K) of these names."""
    if absent := [name for name in names if name not in cell.curves]:
        raise UsageError(f"reduction {reduction}: reads the curves {', '.join(names)}; the cell lacks {', '.join(absent)}")
    return [np.asarray(cell.curves[name][1], dtype=np.float64) for name in names]


def _without_gaps(rows: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Return rows (M, K) with incomplete rows set to 0, and an indicator (M,) of complete rows."""
    present = _complete(rows)
    return np.where(present[:, None], rows, 0.0), present.astype(np.float64)


def _complete(rows: np.ndarray) -> np.ndarray:
    """Indicator of rows (M, K) that are entirely finite, (M,) bool."""
    return np.asarray(np.isfinite(rows).all(axis=1))


def _median_curve(cell: CellData) -> _Statistic:
    curve = _parts(cell, "area under the median curve", "information")[0]
    return _Statistic(curve.shape[1], median_curve_area(cell.values, curve, cell.curves["information"][0]))


def _at_threshold(cell: CellData, *, held_out: bool) -> _Statistic:
    curves = _parts(cell, "best threshold", *CURVES)
    return _Statistic(4 * curves[0].shape[1], at_best_threshold(dict(zip(CURVES, curves, strict=True)), held_out=held_out))


_REDUCTIONS: dict[str, Callable[[CellData], _Statistic]] = {
    "mean": _mean,
    "class mean": _class_mean,
    "maximum over thresholds": _maximum_over_thresholds,
    "ratio of means": _ratio_of_means,
    "relative foreground sensitivity": _relative_foreground_sensitivity,
    "micro average precision": _micro_average_precision,
    "macro average precision": _macro_average_precision,
    "pixel average precision": _pixel_average_precision,
    "mean intersection over union": _mean_intersection_over_union,
    "area under the median curve": _median_curve,
    "worst group": _of_groups("worst group", worst_group, "group"),
    "training-weighted groups": _of_groups("training-weighted groups", weighted_groups, "group", "share"),
    "best threshold": partial(_at_threshold, held_out=False),
    "held-out threshold": partial(_at_threshold, held_out=True),
    "difference of groups": _of_groups("difference of groups", group_difference, "group"),
}
