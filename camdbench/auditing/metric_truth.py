"""Metrics against the truth: does a metric order explainers as the truth does?

M networks, E explainers, N images. Metric values q (M, E, N) are turned so that more is better; NaN where undefined. The statistic is
Kendall's tau-b between the explainers' mean q and their truth:

- `error`: the mean of -|s - r+| per network; over all networks (model `*`), tau is the mean of the networks' taus;
- `tracking`: the correlation of s with r+ over networks; q is the mean over networks and images. Model `*` only;
- `cells`: the mean Spearman correlation of a map's cells with their effects, as `error`.

Cost: one product of resamples by images per metric, network and explainer, and one sum over pairs of signs per metric, network,
resample and variant of the truth. Memory: the resampled signs of the truth and the taus; not the metrics' values.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Literal

import numpy as np

from camdbench.auditing.explainer_truth import movement, share_errors, tracking
from camdbench.auditing.rank_correlation import (
    PairDifferences,
    kendall_tau,
    mean_defined,
    mean_of_defined,
    pair_differences,
    pair_weights,
    pairs,
)
from camdbench.auditing.resampling import Resamples

Level = Literal["error", "tracking", "cells"]
HALVES = ("even draws", "odd draws")
_TRUTH_TIES = 1e-9  # largest difference of tied truths; shares of maps are rounded to 1e-5


@dataclass(frozen=True, kw_only=True)
class TruthInputs:
    """Truths that metrics are compared with.

    Attributes:
        share_map: (M, E, N) fraction of the positive raw map inside the mask.
        share_true: r+ (M, N) per score, the main one first; a conclusion needs the agreement of all.
        halves: r+ (2, M, N) of the main score from each half of the draws; None: neither ceiling nor agreement of halves.
        cell_spearman: (M, E, N), or None.
    """

    share_map: np.ndarray
    share_true: Mapping[str, np.ndarray]
    halves: np.ndarray | None = None
    cell_spearman: np.ndarray | None = None

    @property
    def variants(self) -> dict[str, np.ndarray]:
        """r+ (M, N) per score and half, the main one first."""
        return {**self.share_true, **({} if self.halves is None else dict(zip(HALVES, self.halves, strict=True)))}

    def select(self, explainers: np.ndarray) -> TruthInputs:
        """Return the truths of some explainers."""
        cells = None if self.cell_spearman is None else self.cell_spearman[:, explainers]
        return TruthInputs(share_map=self.share_map[:, explainers], share_true=self.share_true, halves=self.halves, cell_spearman=cells)


@dataclass(frozen=True)
class LevelTaus:
    """Taus of one metric at one level of the truth; row 0 is the estimate, the others are resamples.

    Attributes:
        networks: (V, M, R + 1) per variant of the truth and network; (V, 0, R + 1) for tracking.
        joint: (V, R + 1) of all networks.
        image: (M,) mean over images of the tau of one image; NaN for tracking.
        ceiling: (M + 1,) tau of the truth from one half of the draws on that from the other; the last of all networks.
        explainers: (M + 1,) explainers with a truth and a value; the last is the smallest number among the networks with a tau.
    """

    networks: np.ndarray
    joint: np.ndarray
    image: np.ndarray
    ceiling: np.ndarray
    explainers: np.ndarray


@dataclass(frozen=True)
class TruthSigns:
    """Signs of all pairs of explainers under the resampled truths.

    Attributes:
        drawn: the resamples.
        variants: names of the V variants, the main one first.
        networks: per level but tracking, signs (V, M, R + 1, P) int8.
        tracking: signs (V, R + 1, P) float32.
        images: per level but tracking, the main truth (M, E, N).
        known: per level, pairs (M, P) or (1, P) of explainers of which both have the main truth.
        explainers: E.
    """

    drawn: Resamples
    variants: tuple[str, ...]
    networks: dict[Level, np.ndarray] = field(repr=False)
    tracking: np.ndarray = field(repr=False)
    images: dict[Level, np.ndarray] = field(repr=False)
    known: dict[Level, np.ndarray] = field(repr=False)
    explainers: int

    @property
    def pair_weights(self) -> np.ndarray | None:
        """Weights (R + 1, P) of pairs, if explainers are resampled."""
        return None if self.drawn.explainers is None else pair_weights(self.drawn.explainers)


def truth_signs(inputs: TruthInputs, drawn: Resamples) -> TruthSigns:
    """Order explainers by the truth, in every resample, network and variant.

    Args:
        inputs: the truths.
        drawn: resamples of images, and perhaps of explainers and training seeds.

    Returns:
        The signs of pairs.
    """
    found = [_signs(drawn.images, -share_errors(inputs.share_map, own)) for own in inputs.variants.values()]
    tracked = [_tracking_signs(inputs.share_map, own, drawn) for own in inputs.variants.values()]
    main = next(iter(inputs.variants.values()))
    images: dict[Level, np.ndarray] = {"error": -share_errors(inputs.share_map, main)}
    networks: dict[Level, np.ndarray] = {"error": np.stack([signs for signs, _ in found])}
    known: dict[Level, np.ndarray] = {"error": found[0][1], "tracking": tracked[0][1]}
    if inputs.cell_spearman is not None:
        images["cells"] = inputs.cell_spearman
        signs, known["cells"] = _signs(drawn.images, inputs.cell_spearman)
        networks["cells"] = signs[None]
    return TruthSigns(
        drawn, tuple(inputs.variants), networks, np.stack([signs for signs, _ in tracked]), images, known, inputs.share_map.shape[1]
    )


def _signs(weights: np.ndarray, truths: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Signs (M, R, P) of pairs of the mean truths (M, E, N), and the pairs (M, P) that have a common image."""
    found = [pair_differences(weights, own) for own in truths]
    signs = [own.signs(_TRUTH_TIES).astype(np.int8) for own in found]
    return np.stack(signs), np.stack([own.known for own in found])


def _tracking_signs(share_map: np.ndarray, share_true: np.ndarray, drawn: Resamples) -> tuple[np.ndarray, np.ndarray]:
    """Signs (R, P) of pairs of tracking, 0 if one of the two is undefined, and the pairs (1, P) of which both are defined."""
    t, _ = tracking(movement(share_map, share_true), drawn)
    first, second = pairs(t.shape[1])
    moved = t[:, first] - t[:, second]
    known = ~np.isnan(moved[:1])
    moved = np.nan_to_num(moved)
    return np.where(np.abs(moved) <= _TRUTH_TIES, 0.0, np.sign(moved)).astype(np.float32), known


def metric_taus(values: np.ndarray, truth: TruthSigns, tolerance: float = 0.0) -> dict[Level, LevelTaus]:
    """Kendall's tau-b of a metric with each level of the truth.

    Args:
        values: (M, E, N), more is better, NaN where undefined.
        truth: signs of the truth of the same networks, explainers and images.
        tolerance: largest difference of tied mean values.

    Returns:
        Taus per level.
    """
    drawn, weights = truth.drawn, truth.pair_weights
    levels: dict[Level, list[np.ndarray]] = {level: [] for level in truth.networks}
    counts: dict[Level, list[int]] = {level: [] for level in truth.networks}
    total = count = np.zeros((1, 1))
    rounding = 0.0
    for place, own in enumerate(values):
        found = pair_differences(drawn.images, own)
        share = 1.0 if drawn.networks is None else drawn.networks[:, place, None]
        total, count, rounding = total + share * found.total, count + share * found.count, max(rounding, found.rounding)
        signs = found.signs(tolerance)
        for level, theirs in truth.networks.items():
            known = found.known & truth.known[level][place]
            own_weights = _of_pairs(weights, known)
            levels[level].append(np.stack([kendall_tau(other.astype(np.float32), signs, own_weights) for other in theirs[:, place]]))
            counts[level].append(_members(known, truth.explainers))
    joint = PairDifferences(total, count, rounding)
    taus: dict[Level, LevelTaus] = {}
    for level, per_network in levels.items():
        own = np.stack(per_network, axis=1)  # (V, M, R + 1)
        image = np.array([image_tau(q, t, tolerance) for q, t in zip(values, truth.images[level], strict=True)])
        least = min((number for number, tau in zip(counts[level], own[0, :, 0], strict=True) if not np.isnan(tau)), default=0)
        taus[level] = LevelTaus(own, _over_networks(own, drawn), image, _ceilings(truth, level), np.array([*counts[level], least]))
    return {**taus, "tracking": _tracking_taus(joint, truth, tolerance, len(values))}


def _tracking_taus(joint: PairDifferences, truth: TruthSigns, tolerance: float, networks: int) -> LevelTaus:
    """Taus of tracking with the differences over all networks."""
    known = joint.known & truth.known["tracking"][0]
    signs, weights = joint.signs(tolerance), _of_pairs(truth.pair_weights, known)
    tracked = np.stack([kendall_tau(other, signs, weights) for other in truth.tracking])
    nothing = np.full(networks, np.nan)
    ceiling = np.append(nothing, _ceiling(truth, truth.tracking[:, 0]))
    counts = np.append(np.zeros(networks, dtype=np.int64), _members(known, truth.explainers))
    return LevelTaus(tracked[:, None][:, :0], tracked, nothing, ceiling, counts)


def _of_pairs(weights: np.ndarray | None, known: np.ndarray) -> np.ndarray | None:
    """Weights of pairs, 0 for those (P,) that are not known."""
    if known.all():
        return weights
    return known[None].astype(np.float32) if weights is None else weights * known


def _members(known: np.ndarray, explainers: int) -> int:
    """Number of explainers that are in a known pair."""
    first, second = pairs(explainers)
    return len(np.union1d(first[known], second[known]))


def _over_networks(taus: np.ndarray, drawn: Resamples) -> np.ndarray:
    """Means (V, R) over networks of taus (V, M, R), over those that are defined, weighted by the draws of training seeds."""
    if drawn.networks is None:
        return mean_of_defined(np.moveaxis(taus, 1, 0))
    weights = np.where(np.isnan(taus), 0.0, drawn.networks.T)
    total = weights.sum(1)
    return np.divide((weights * np.nan_to_num(taus)).sum(1), total, out=np.full(total.shape, np.nan), where=total > 0)


def _ceilings(truth: TruthSigns, level: Level) -> np.ndarray:
    """Ceilings (M + 1,) of the networks and of all."""
    signs = truth.networks[level][:, :, 0].astype(np.float32)  # (V, M, P)
    if level == "cells":
        return np.full(signs.shape[1] + 1, np.nan)
    own = [_ceiling(truth, signs[:, place]) for place in range(signs.shape[1])]
    return np.array([*own, mean_defined(np.array(own))])


def _ceiling(truth: TruthSigns, signs: np.ndarray) -> float:
    """Tau of the halves of the draws, from the signs (V, P) of all variants; NaN without halves."""
    if not set(HALVES) <= set(truth.variants):
        return float("nan")
    one, two = (signs[truth.variants.index(name)][None] for name in HALVES)
    return float(kendall_tau(one, two)[0])


def image_tau(values: np.ndarray, truths: np.ndarray, tolerance: float = 0.0) -> float:
    """Mean over images of the tau-b over explainers within an image.

    Args:
        values: (E, N), more is better.
        truths: (E, N).
        tolerance: largest difference of tied values.

    Returns:
        Mean over the images for which it is defined; NaN if there are none.
    """
    first, second = pairs(len(values))

    def signs(of: np.ndarray, most: float) -> np.ndarray:
        moved = np.nan_to_num(of[first] - of[second])
        return np.where(np.abs(moved) <= most, 0.0, np.sign(moved)).T

    both = ~np.isnan(values) & ~np.isnan(truths)
    values, truths = (np.where(both, part, np.nan) for part in (values, truths))
    return mean_defined(kendall_tau(signs(truths, _TRUTH_TIES), signs(values, tolerance)))
