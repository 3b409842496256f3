"""Variance components of a mean: between training seeds, between images, residual."""

from __future__ import annotations

from collections.abc import Sequence
from math import ceil, inf, nan, sqrt
from pathlib import Path
from typing import NamedTuple

import numpy as np
import pandas as pd

from camdbench.core.errors import UsageError
from camdbench.tables.load import load_run
from camdbench.tables.seed_groups import seeded_cells
from camdbench.tables.summary import metric_fact, reductions_of

_PLACE = ("network", "dataset", "split", "target_rule", "metric", "protocol", "explainer")
_Z = 1.96  # of a 95 % interval


class SeedVariance(NamedTuple):
    """Variance components of one value of a model trained with K seeds, on the same n images.

    Attributes:
        mean: mean over seeds and images.
        se: standard error of the mean, with seeds and images as random samples.
        ci_low: lower end of its 95 % interval.
        ci_high: upper end.
        sd_seeds: standard deviation between seeds.
        se_seeds: standard error of that; NaN if it is zero.
        sd_images: standard deviation between images.
        se_images: standard error of that; NaN if it is zero.
        sd_residual: standard deviation of the residual (interaction of seeds and images).
        se_residual: standard error of that.
        seeds: K.
        n: images with a value under every seed.
        seeds_needed: seeds for the desired interval on these images; infinite if unattainable.
        images_needed: images for that interval with these seeds; infinite if unattainable.
        min_detectable_difference: difference to another recipe with K seeds that a t-test over seeds detects with 80 % power.
    """

    mean: float
    se: float
    ci_low: float
    ci_high: float
    sd_seeds: float
    se_seeds: float
    sd_images: float
    se_images: float
    sd_residual: float
    se_residual: float
    seeds: int
    n: int
    seeds_needed: float
    images_needed: float
    min_detectable_difference: float


SEED_COLUMNS = (*_PLACE, *SeedVariance._fields, "unit")


def seed_spread(
    runs: str | Path | Sequence[str | Path], *, metrics: Sequence[str] | None = None, half_width: float | None = None
) -> pd.DataFrame:
    """Variance between training seeds and between images, for models that differ only in their seed.

    Such models have the same training recipe and data in the records of their runs, or names such as NAME-s0, NAME-s1. Only metrics
    reduced by a mean over images are used.

    Args:
        runs: one or several run directories.
        metrics: metric specs; default: all.
        half_width: desired half width of the 95 % interval of the mean, in the metric's unit; default: half of the present one.

    Returns:
        One row per group of models, metric and explainer with the columns `SEED_COLUMNS`.

    Raises:
        UsageError: not a run, no such models or metric, or no metric that is a mean over images.
    """
    paths = [runs] if isinstance(runs, str | Path) else list(runs)
    if half_width is not None and not 0 < half_width < inf:
        raise UsageError(f"--half-width = {half_width}: expected a positive number")
    cells, abouts = seeded_cells(paths), [load_run(path) for path in paths]
    about = {"metrics": {name: facts for one in abouts for name, facts in one["metrics"].items()}}
    measured = list(cells.keys["metric"].unique())
    if unknown := sorted(set(metrics or ()) - set(measured)):
        raise UsageError(f"--metrics: {', '.join(unknown)} not in the runs; choose from {', '.join(measured)}")
    means = [name for name, how in reductions_of(measured, about).items() if how == "mean" and (metrics is None or name in metrics)]
    if not means:
        raise UsageError("--training-seeds: no metric is a mean over images; run one such as ad")
    cells = cells.select(cells.keys["metric"].isin(means).to_numpy())
    found = [
        (*place, *_spread(np.take(cells.values, own.index, axis=0), half_width), metric_fact(str(place[4]), "unit", about))
        for place, own in cells.keys.groupby(list(_PLACE), sort=False)
        if len(own) > 1
    ]
    if not found:
        raise UsageError("--training-seeds: no explainer and metric was run on two of the models")
    return pd.DataFrame(found, columns=list(SEED_COLUMNS))


def _spread(values: np.ndarray, half_width: float | None) -> SeedVariance:
    return components(np.compress(~np.isnan(values).any(0), values, axis=1), half_width=half_width)


def components(values: np.ndarray, *, half_width: float | None = None) -> SeedVariance:
    """Variance components of values (K seeds, n images), complete.

    The two-way random model without replication, y_ij = mu + seed_i + image_j + residual_ij, by the analysis of variance: with the
    mean squares A of seeds, B of images and E of the residual, the variances are max(0, A - E) / n, max(0, B - E) / K and E (Searle,
    Casella & McCulloch 1992, Variance Components, chapter 4). Their standard errors follow from Var(MS) = 2 MS^2 / (df + 2),
    unbiased for normal effects. The interval of the mean is Student's with Satterthwaite's degrees of freedom.
    """
    count, n = values.shape
    if count < 2 or n < 2:
        mean = float(values.mean()) if values.size else nan
        return SeedVariance(mean, *[nan] * 9, seeds=count, n=n, seeds_needed=nan, images_needed=nan, min_detectable_difference=nan)
    squares = _squares(values)
    a, b, e = (square.mean for square in squares)
    seeds, images = max(0.0, a - e) / n, max(0.0, b - e) / count
    variance = seeds / count + images / n + e / (count * n)
    low, high = _interval(float(values.mean()), variance, squares)
    wanted = variance / 4 if half_width is None else (half_width / _Z) ** 2
    return SeedVariance(
        mean=float(values.mean()),
        se=sqrt(variance),
        ci_low=low,
        ci_high=high,
        sd_seeds=sqrt(seeds),
        se_seeds=_error(seeds, [squares[0], squares[2]], n),
        sd_images=sqrt(images),
        se_images=_error(images, [squares[1], squares[2]], count),
        sd_residual=sqrt(e),
        se_residual=_error(e, [squares[2]], 1),
        seeds=count,
        n=n,
        seeds_needed=_needed(seeds + e / n, wanted - images / n),
        images_needed=_needed(images + e / count, wanted - seeds / count),
        min_detectable_difference=_detectable(a / n, count),
    )


class _Square(NamedTuple):
    mean: float
    freedom: int


def _squares(values: np.ndarray) -> tuple[_Square, _Square, _Square]:
    """Mean squares of seeds, images and residual."""
    count, n = values.shape
    of_seeds, of_images = values.mean(1), values.mean(0)
    rest = values - of_seeds[:, None] - of_images + values.mean()
    freedom = (count - 1) * (n - 1)
    return (
        _Square(float(n * of_seeds.var(ddof=1)), count - 1),
        _Square(float(count * of_images.var(ddof=1)), n - 1),
        _Square(float((rest**2).sum() / freedom), freedom),
    )


def _error(variance: float, squares: Sequence[_Square], divisor: int) -> float:
    """Standard error of the square root of a component, a difference of mean squares divided by `divisor`."""
    of_variance = sqrt(sum(2 * square.mean**2 / (square.freedom + 2) for square in squares)) / divisor
    return of_variance / (2 * sqrt(variance)) if variance > 0 else nan


def _interval(mean: float, variance: float, squares: tuple[_Square, _Square, _Square]) -> tuple[float, float]:
    from scipy.stats import t

    spread = sum(square.mean**2 / square.freedom for square in squares)
    if not spread:
        return mean, mean
    a, b, e = (square.mean for square in squares)
    freedom = max(1.0, (max(a, e) + max(b, e) - e) ** 2 / spread)
    reach = float(t.ppf(0.975, freedom)) * sqrt(variance)
    return mean - reach, mean + reach


def _needed(spread: float, room: float) -> float:
    """Smallest count n >= 1 with spread / n <= room; infinite if room <= 0."""
    if not spread:
        return 1
    return float(max(1, ceil(spread / room * (1 - 1e-12)))) if room > 0 else inf


def _detectable(variance: float, count: int) -> float:
    """(t_{0.975} + t_{0.8}) sqrt(2 variance / K), of a two-sided test at 5 % with 2 K - 2 degrees of freedom."""
    from scipy.stats import t

    freedom = 2 * count - 2
    return float(t.ppf(0.975, freedom) + t.ppf(0.8, freedom)) * sqrt(2 * variance / count)
