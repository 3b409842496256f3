"""Meta-consistency of a metric under perturbations of the network or the images (MetaQuantus)."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from camdbench.auditing.rank_correlation import mean_defined, mid_ranks


@dataclass(frozen=True)
class Perturbed:
    """Values of a metric in K runs with a perturbed network or perturbed images.

    Attributes:
        values: (K, E, N) in the metric's own direction, NaN where undefined.
        changed: (K, N) whether the perturbation changes the predicted class.
    """

    values: np.ndarray
    changed: np.ndarray


@dataclass(frozen=True)
class MetaConsistency:
    """The four consistencies, each in [0, 1]; NaN where no image counts.

    Attributes:
        iac_nr: intra-consistency under minor perturbations (noise resilience): mean p-value.
        iac_ar: intra-consistency under disruptive perturbations (adversarial reactivity): mean of 1 - p.
        iec_nr: inter-consistency under minor perturbations: share of ranks that stay.
        iec_ar: inter-consistency under disruptive perturbations: share of values that get worse.
        mc: mean of the four; NaN if one is.
        images_minor: images that count under minor perturbations, mean over the runs.
        images_disruptive: images that count under disruptive perturbations, mean over the runs.
    """

    iac_nr: float
    iac_ar: float
    iec_nr: float
    iec_ar: float
    mc: float
    images_minor: float
    images_disruptive: float


def meta_consistency(
    values: np.ndarray, minor: Perturbed, disruptive: Perturbed, *, higher_is_better: bool, release: bool = False
) -> MetaConsistency:
    """Meta-consistency of a metric (Hedström et al. 2023, arXiv:2302.07265).

    IAC is the p-value of a two-sided Wilcoxon signed-rank test (`zsplit`) of an explainer's values before and after, over images; under
    disruption 1 - p. IEC_NR is the share of explainers and images whose rank among the explainers stays, IEC_AR the share of explainers
    and images whose value is better before. Only images whose prediction stays count under minor perturbations, and only those whose
    prediction changes under disruptive ones. All four measure reactions, not correctness: a constant metric has IAC_NR = IEC_NR = 1. IAC
    depends on the number of images.

    `release=True` computes what the authors' release does (github.com/annahedstroem/MetaQuantus at 84bdc2f). Its differences: IEC_AR counts
    values that are smaller before for *every* metric, which is the wrong sign if higher is better, because the direction is tested for
    truth where it is a non-empty text; IEC_NR compares `argsort` in place of ranks, so ties follow the order of explainers; undefined
    values count as changed in IEC; and MC is the mean of the numbers that are defined.

    Args:
        values: (E, N) of the unperturbed run, in the metric's own direction.
        minor: runs with minor perturbations.
        disruptive: runs with disruptive perturbations.
        higher_is_better: direction of the metric.
        release: reproduce the release.

    Returns:
        The four numbers and their mean.
    """
    found = (
        _intra(values, minor, ~minor.changed, release=release),
        1 - _intra(values, disruptive, disruptive.changed, release=release),
        _ranks_kept(values, minor, release=release),
        _better_before(values, disruptive, higher_is_better=higher_is_better and not release, release=release),
    )
    mean = mean_defined(np.array(found)) if release else float(np.mean(found))
    return MetaConsistency(*found, mean, float((~minor.changed).sum(1).mean()), float(disruptive.changed.sum(1).mean()))


def _intra(values: np.ndarray, runs: Perturbed, counted: np.ndarray, *, release: bool) -> float:
    """Mean p-value over runs and explainers, on the counted images (K, N)."""
    from scipy.stats import wilcoxon

    found = list[float]()
    for own, images in zip(runs.values, counted, strict=True):
        for before, after in zip(values[:, images], own[:, images], strict=True):
            lost = np.isnan(before) | np.isnan(after)
            moved = (after - before)[~lost]
            if moved.size and not (release and lost.any()):
                found.append(float(wilcoxon(moved, zero_method="zsplit").pvalue))
    return mean_defined(np.array(found))


def _ranks_kept(values: np.ndarray, runs: Perturbed, *, release: bool) -> float:
    """Mean over runs of the share of ranks that stay, on images whose prediction stays."""
    found = list[float]()
    for own, images in zip(runs.values, ~runs.changed, strict=True):
        before, after = values[:, images], own[:, images]
        if release:
            found.append(mean_defined((before.argsort(0) == after.argsort(0)).astype(np.float64)))
            continue
        lost = np.isnan(before) | np.isnan(after)
        ranks = [mid_ranks(np.where(lost, np.nan, part)) for part in (before, after)]
        found.append(mean_defined((ranks[0] == ranks[1])[~lost].astype(np.float64)))
    return mean_defined(np.array(found))


def _better_before(values: np.ndarray, runs: Perturbed, *, higher_is_better: bool, release: bool) -> float:
    """Mean over runs of the share of values that are better before, on images whose prediction changes; equal ones are not."""
    found = list[float]()
    for own, images in zip(runs.values, runs.changed, strict=True):
        before, after = values[:, images], own[:, images]
        better = before > after if higher_is_better else before < after
        counted = better if release else better[~(np.isnan(before) | np.isnan(after))]
        found.append(mean_defined(counted.astype(np.float64)))
    return mean_defined(np.array(found))
