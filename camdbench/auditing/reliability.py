"""Reliability of a metric: whether images, explainers, twin metrics and repeated runs give the same order. Never whether it is right.

Values q (E, N) of E explainers and N images are turned so that more is better; NaN where the metric is undefined. Tomsett et al. 2020,
arXiv:1912.01451, apply these reliabilities of psychometric tests to saliency metrics; docs/design/audit_statistics.md has the equations.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np
import pandas as pd

from camdbench.auditing.rank_correlation import (
    ALL,
    kendall_tau,
    mean_defined,
    mean_of_defined,
    mid_ranks,
    pair_differences,
    pairs,
    spearman_rows,
)
from camdbench.auditing.resampling import corrected_intervals, draw_resamples
from camdbench.auditing.twins import twin_of


def rater_ranks(values: np.ndarray) -> np.ndarray:
    """Ranks of the explainers by each image, the rater: mid-ranks, NaN where undefined.

    An image that ranks m of E explainers has its ranks scaled by (E + 1) / (m + 1), so every image has the mean rank (E + 1) / 2.

    Args:
        values: (E, N).

    Returns:
        (E, N) in [1, E].
    """
    ranks = mid_ranks(values, axis=0)
    counts = (~np.isnan(values)).sum(0)
    return ranks * (len(values) + 1) / (counts + 1)


def krippendorff_alpha(ratings: np.ndarray, weights: np.ndarray | None = None) -> np.ndarray:
    r"""Krippendorff's alpha of interval-valued ratings, under weights of the raters.

    .. math:: \alpha = 1 - D_o / D_e

    D_o is the mean squared difference of two ratings of the same unit, D_e that of any two ratings (Krippendorff 2011, Computing
    Krippendorff's Alpha-Reliability). Units with fewer than two ratings do not count. Complete ranks without ties of E units by N raters
    have alpha = 1 - (1 - 1 / (N E)) (1 - rho), with rho the mean Spearman correlation of two raters, and Kendall's
    W = (1 + (N - 1) rho) / N.

    Args:
        ratings: (units, raters), NaN where missing.
        weights: (R, raters) how often each rater counts; default: once. Copies of a rater are not compared with each other, so that
            bootstrap resamples do not raise alpha.

    Returns:
        (R,) in (-inf, 1]; NaN if fewer than two ratings can be paired, or if all of them are equal.
    """
    weights = np.ones((1, ratings.shape[1])) if weights is None else weights
    known = ~np.isnan(ratings)
    centre = ratings[known].mean() if known.any() else 0.0
    moved = np.where(known, ratings - centre, 0.0)  # alpha does not change; the sums stay small
    count, total, square = (weights @ part.T for part in (known.astype(np.float64), moved, moved**2))  # (R, units)
    copies = weights**2 @ known.T.astype(np.float64)
    pairable = count**2 > copies
    count, total, square, copies = (np.where(pairable, part, 0.0) for part in (count, total, square, copies))
    n = count.sum(1)
    within = np.divide(count * (count * square - total**2), count**2 - copies, out=np.zeros_like(count), where=pairable)
    among = n * square.sum(1) - total.sum(1) ** 2
    defined = (n > 0) & (among > 1e-12 * n**2 * np.max(moved**2, initial=0.0))  # else rounding
    return 1 - np.divide(within.sum(1) * (n**2 - copies.sum(1)), n * among, out=np.full(len(n), np.nan), where=defined)


def alpha_resamples(values: np.ndarray, weights: np.ndarray) -> np.ndarray:
    """Alpha (R,) of the ranks of values (E, N) under weights of images (R, N); images that rank one explainer only are left out."""
    ranking = (~np.isnan(values)).sum(0) > 1
    return krippendorff_alpha(rater_ranks(values[:, ranking]), weights[:, ranking])


def alpha_reason(values: np.ndarray) -> str:
    """Why the alpha of values (E, N) is undefined."""
    ranking = (~np.isnan(values)).sum(0) > 1
    if len(values) < 2:
        return "fewer than 2 explainers"
    return "all explainers tie on every image" if ranking.sum() > 1 else "fewer than 2 images with values of 2 explainers"


def inter_method(values: np.ndarray) -> float:
    r"""Inter-method reliability: mean over pairs of explainers of the Spearman correlation over images of their values.

    A high value says that the metric measures the image more than the map.

    Args:
        values: (E, N).

    Returns:
        Mean correlation in [-1, 1] over the pairs for which it is defined; NaN if there are none.
    """
    first, second = pairs(len(values))
    if not len(first):
        return float("nan")
    if np.isnan(values).any():
        return mean_defined(spearman_rows(values[first], values[second]))
    ranks = mid_ranks(values, axis=1)
    moved = ranks - (values.shape[1] + 1) / 2
    norm = np.sqrt((moved**2).sum(1))
    unit = moved[norm > 0] / norm[norm > 0, None]
    return mean_defined((unit @ unit.T)[pairs(len(unit))])


def internal_consistency(values: np.ndarray, twin: np.ndarray) -> float:
    """Internal consistency of two metrics meant to measure one thing: mean over images of the Spearman correlation over explainers.

    Args:
        values: (E, N) of the one metric.
        twin: (E, N) of the other, turned too.

    Returns:
        Mean correlation in [-1, 1] over the images for which it is defined; NaN if there are none.
    """
    return mean_defined(spearman_rows(values.T, twin.T))


@dataclass(frozen=True)
class Retest:
    """Agreement of two measurements of the same explainers and images: other seeds, another protocol, another run.

    Attributes:
        order: Kendall's tau-b of the mean values of explainers.
        within_images: mean over images of the Spearman correlation over explainers.
        within_explainers: mean over explainers of the Spearman correlation over images.
        difference: mean absolute difference of two values, in the metric's unit.
        n: pairs of values.
    """

    order: float
    within_images: float
    within_explainers: float
    difference: float
    n: int


def retest(first: np.ndarray, second: np.ndarray) -> Retest:
    """Test-retest reliability of two tables (E, N) of one metric, over what both define.

    Args:
        first: (E, N) values of the one run, seed or protocol.
        second: (E, N) values of the other.

    Returns:
        The agreement; NaN where undefined.
    """
    missing = np.isnan(first) | np.isnan(second)
    first, second = (np.where(missing, np.nan, values) for values in (first, second))
    once = np.ones((1, first.shape[1]))
    orders = [pair_differences(once, values).signs() for values in (first, second)]
    return Retest(
        order=float(kendall_tau(*orders)[0]),
        within_images=internal_consistency(first, second),
        within_explainers=mean_defined(spearman_rows(first, second)),
        difference=mean_defined(np.abs(first - second)),
        n=int((~missing).sum()),
    )


RELIABILITY_COLUMNS = ("model", "metric", "alpha", "alpha_low", "alpha_high", "inter_method", "consistency_with", "consistency", "reason")


def reliability_table(values: Mapping[str, np.ndarray], networks: Sequence[str], *, resamples: int = 1000, seed: int = 0) -> pd.DataFrame:
    """Inter-rater and inter-method reliability and internal consistency of each metric, per network and as means over networks.

    Args:
        values: (M, E, N) per metric spec, of distinct real explainers, turned so that more is better, NaN where undefined.
        networks: M names.
        resamples: bootstrap resamples of images, joint for all networks.
        seed: seed of the resamples.

    Returns:
        One row per metric and network, the last of each metric with model `*`, with the columns `RELIABILITY_COLUMNS`.
    """
    found = list[dict[str, object]]()
    for metric, own in values.items():
        drawn = draw_resamples(own.shape[2], resamples, seed).images
        alphas = np.stack([alpha_resamples(table, drawn) for table in own])  # (M, R + 1)
        ends = corrected_intervals(np.concatenate([alphas, mean_of_defined(alphas)[None]]).T)
        twin = twin_of(metric, values)
        pairs_of = zip(own, values[twin], strict=True) if twin else ()
        consistency = [internal_consistency(*both) for both in pairs_of] or [float("nan")] * len(own)
        numbers = {
            "alpha": alphas[:, 0],
            "inter_method": np.array([inter_method(table) for table in own]),
            "consistency": np.array(consistency),
        }
        for place, model in enumerate([*networks, ALL]):
            joint = place == len(networks)
            row = {name: mean_defined(of) if joint else float(of[place]) for name, of in numbers.items()}
            reason = "" if not np.isnan(row["alpha"]) else alpha_reason(own[0 if joint else place])
            low, high = ends[place]
            found.append(
                {"model": model, "metric": metric, **row, "alpha_low": low, "alpha_high": high, "consistency_with": twin, "reason": reason}
            )
    return pd.DataFrame(found, columns=list(RELIABILITY_COLUMNS))
