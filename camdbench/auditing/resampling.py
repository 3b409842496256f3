"""Resamples of images, explainers and training seeds, and bias-corrected bootstrap intervals of any statistic."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass

import numpy as np

from camdbench.tables.intervals import bca_levels

CONFIDENCE = 0.95


@dataclass(frozen=True)
class Resamples:
    """How often each image, explainer and network is drawn; row 0 draws each once and gives the estimate itself.

    Attributes:
        images: (R + 1, N).
        explainers: (R + 1, E), or None if explainers are not resampled.
        networks: (R + 1, M), or None if training seeds are not resampled.
    """

    images: np.ndarray
    explainers: np.ndarray | None = None
    networks: np.ndarray | None = None

    @property
    def units(self) -> str:
        """Names of what is resampled, joined by +."""
        names = {"images": True, "explainers": self.explainers is not None, "seeds": self.networks is not None}
        return "+".join(name for name, drawn in names.items() if drawn)


def draw_resamples(
    images: int,
    resamples: int = 1000,
    seed: int = 0,
    *,
    explainers: int | None = None,
    recipes: Sequence[str] | None = None,
) -> Resamples:
    """Draw bootstrap resamples with replacement, of each kind of unit independently.

    Networks of one recipe are its training seeds: each recipe keeps the number of its networks. If every recipe has one network, there
    are no seeds to resample.

    Args:
        images: N.
        resamples: R.
        seed: seed of the draws. The draws of images do not depend on the other arguments.
        explainers: E, to resample explainers too.
        recipes: recipe of each of M networks, to resample training seeds too.

    Returns:
        The draws.
    """
    streams = np.random.default_rng(seed).spawn(3)
    found = [_counts(streams[0], images, resamples)]
    drawn = None if explainers is None else _counts(streams[1], explainers, resamples)
    networks = None
    if recipes is not None and len(set(recipes)) < len(recipes):
        networks = np.zeros((resamples + 1, len(recipes)))
        for recipe in dict.fromkeys(recipes):
            own = np.array([other == recipe for other in recipes])
            networks[:, own] = _counts(streams[2], int(own.sum()), resamples)
    return Resamples(found[0], drawn, networks)


def _counts(rng: np.random.Generator, size: int, resamples: int) -> np.ndarray:
    """How often each of `size` units is drawn, (resamples + 1, size); all ones in row 0."""
    places = rng.integers(0, max(1, size), (resamples, size)) + size * np.arange(resamples)[:, None]
    counts = np.bincount(places.ravel(), minlength=resamples * size).reshape(resamples, size)
    return np.concatenate([np.ones((1, size)), counts])


def corrected_intervals(found: np.ndarray, confidence: float = CONFIDENCE) -> np.ndarray:
    r"""Bias-corrected bootstrap intervals (BC; Efron 1987, J. Am. Stat. Assoc. 82, 171-185, with acceleration 0).

    .. math:: z_0 = \Phi^{-1}(P(\theta^* < \theta)), \qquad \text{ends} = G^{-1}(\Phi(2 z_0 \pm z_{1 - \alpha / 2}))

    G is the distribution of the resampled statistic, of which undefined ones are left out; equal ones count half in P. An interval is
    extended to its own estimate, which lies outside if no resample reaches it, as Kendall's tau of nearly tied explainers does.

    Args:
        found: (R + 1, K) K statistics; row 0 is the estimate, the others are resamples.
        confidence: confidence level, in (0, 1).

    Returns:
        (K, 2) lower and upper end; NaN if the estimate is, or if fewer than half of the resamples are defined.
    """
    ends, tail = np.full((found.shape[1], 2), np.nan), (1 - confidence) / 2
    for place, value, drawn in _defined(found):
        levels = bca_levels(drawn[None], np.array([value]), np.zeros(1), tail)[0]
        levels = np.where(np.isnan(levels), [tail, 1 - tail], levels)  # all resamples on one side of the estimate
        low, high = np.quantile(drawn, levels)
        ends[place] = min(low, value), max(high, value)
    return ends


def rank_intervals(found: np.ndarray, confidence: float = CONFIDENCE) -> np.ndarray:
    r"""Bias-corrected bootstrap intervals of rank correlations: the estimate plus and minus the farther end of the percentile interval.

    .. math:: \tau \pm \max(|G^{-1}(\alpha / 2) - \tau|, |G^{-1}(1 - \alpha / 2) - \tau|)

    This is the union of the percentile interval and of its reflection about the estimate, the basic interval (Davison & Hinkley 1997,
    Bootstrap Methods and their Application, equations 5.18 and 5.6), cut at -1 and 1. Noise draws tau towards 0, and resamples add noise,
    so percentile intervals miss a large tau, and intervals that shift by z0 exclude 0 for explainers that differ by noise alone
    (docs/design/audit_statistics.md has the simulation).

    Args:
        found: (R + 1, K) K correlations; row 0 is the estimate, the others are resamples.
        confidence: confidence level, in (0, 1).

    Returns:
        (K, 2) lower and upper end in [-1, 1]; NaN if the estimate is, or if fewer than half of the resamples are defined.
    """
    ends, tail = np.full((found.shape[1], 2), np.nan), (1 - confidence) / 2
    for place, value, drawn in _defined(found):
        reach = np.abs(np.quantile(drawn, [tail, 1 - tail]) - value).max()
        ends[place] = max(-1.0, value - reach), min(1.0, value + reach)
    return ends


def _defined(found: np.ndarray) -> Iterator[tuple[int, float, np.ndarray]]:
    """Column, estimate and defined resamples of each statistic (R + 1, K) that has an estimate and at least half of its resamples."""
    for place, column in enumerate(found.T):
        drawn = column[1:][~np.isnan(column[1:])]
        if not np.isnan(column[0]) and len(drawn) and 2 * len(drawn) >= len(column) - 1:
            yield place, float(column[0]), drawn


def resampled_means(weights: np.ndarray, values: np.ndarray) -> np.ndarray:
    """Means (R, K) of K rows (K, N) under weights of images (R, N), over the images with a value; NaN if none is drawn."""
    defined = ~np.isnan(values)
    total = weights @ np.where(defined, values, 0.0).T
    count = weights @ defined.T.astype(np.float64)
    return np.divide(total, count, out=np.full(total.shape, np.nan), where=count > 0)
