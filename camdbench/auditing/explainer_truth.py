"""Explainers against the truth: does the share of a map on the object follow the object's share of the network's score?

M networks, E explainers, N images. share_map s (M, E, N) is the fraction of max(raw map, 0) inside the object's mask, share_true r+ (M, N)
the object's share of the positive effects on the score, measured by intervention.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import pandas as pd

from camdbench.auditing.rank_correlation import ALL, mean_defined, mean_of_defined, spearman_rows
from camdbench.auditing.resampling import Resamples, corrected_intervals, draw_resamples, resampled_means

ROUNDED = 1e-5
"""Unit to which shares of maps are rounded; float32 noise is smaller. Shares within one unit of each other are equal."""
ALIKE = 0.99  # fraction of metric values that tie for explainers of equal shares
EXPLAINER_COLUMNS = (
    "model", "explainer", "set", "n", "share_map", "share_true", "error", "error_low", "error_high", "spearman", "partial",
    "tracking", "tracking_low", "tracking_high", "slope", "cell_spearman", "sign_accuracy", "same_as", "reason",
)  # fmt: skip


def rounded_shares(share_map: np.ndarray) -> np.ndarray:
    """Shares of maps in multiples of 1e-5, so that maps that ignore the network have exactly equal ones."""
    return np.round(share_map / ROUNDED) * ROUNDED


def share_errors(share_map: np.ndarray, share_true: np.ndarray) -> np.ndarray:
    """Errors, the distance of s from r+ (M, E, N), in [0, 1]; NaN where either is undefined."""
    return np.abs(rounded_shares(share_map) - share_true[:, None])


@dataclass(frozen=True)
class Movement:
    """Shares of maps and of the truth, centred over networks per explainer and image; 0 where undefined.

    Attributes:
        maps: (M, E, N) s minus its mean over networks; exactly 0 if s stays within 1e-5.
        truth: (M, E, N) r+ minus its mean over the same networks.
        defined: (M, E, N) whether both are defined, on two networks at least.
    """

    maps: np.ndarray
    truth: np.ndarray
    defined: np.ndarray


def movement(share_map: np.ndarray, share_true: np.ndarray) -> Movement:
    """Centre shares over networks, per explainer and image: what changes with the network alone."""
    defined = ~(np.isnan(share_map) | np.isnan(share_true)[:, None])
    defined &= defined.sum(0) > 1
    units = np.where(defined, np.round(np.nan_to_num(share_map) / ROUNDED), 0.0)  # whole numbers: differences are exact
    low = np.where(defined, units, np.inf).min(0)
    high = np.where(defined, units, -np.inf).max(0)
    maps = _centred(units, defined) * ROUNDED
    maps[:, high - low <= 1] = 0.0
    truth = np.where(defined, np.nan_to_num(share_true)[:, None], 0.0)
    return Movement(maps, _centred(truth, defined), defined)


def _centred(values: np.ndarray, defined: np.ndarray) -> np.ndarray:
    counts = np.maximum(defined.sum(0), 1)
    return np.where(defined, values - values.sum(0) / counts, 0.0)


def tracking(moved: Movement, drawn: Resamples) -> tuple[np.ndarray, np.ndarray]:
    r"""Tracking: correlation and slope of s on r+ over (image, network), both centred over networks per image.

    .. math:: t = \frac{\sum ds\, dr}{\sqrt{\sum ds^2 \sum dr^2}}, \qquad b = \frac{\sum ds\, dr}{\sum dr^2}

    Place, area and contrast of the object are the same in all networks and drop out. A map that ignores the network has t = b = 0.

    Args:
        moved: centred shares.
        drawn: resamples of images, and of training seeds if it has networks; row 0 is the estimate.

    Returns:
        t (R + 1, E) in [-1, 1], and b (R + 1, E); NaN if the truth does not change.
    """
    if drawn.networks is None:
        parts = [drawn.images @ product.sum(0).T for product in (moved.maps * moved.truth, moved.maps**2, moved.truth**2)]
    else:
        parts = _with_seeds(moved, drawn.images, drawn.networks)
    both, maps, truth = parts
    known = truth > np.maximum(1e-20, 1e-12 * truth[:1])  # a constant truth has rounding only
    square = np.sqrt(maps * truth)
    t = np.divide(both, square, out=np.where(known, 0.0, np.nan), where=known & (square > 0))
    return np.clip(t, -1, 1), np.divide(both, truth, out=np.full(both.shape, np.nan), where=known)


def _with_seeds(moved: Movement, images: np.ndarray, networks: np.ndarray) -> list[np.ndarray]:
    """Sums (R, E) of products, of squares of maps and of squares of truth, centred over the drawn networks."""
    shape = moved.maps.shape
    flat = [part.reshape(shape[0], shape[1] * shape[2]) for part in (moved.defined.astype(np.float64), moved.maps, moved.truth)]
    products = [flat[1] * flat[2], flat[1] ** 2, flat[2] ** 2]
    found = [np.empty((len(images), shape[1])) for _ in products]
    step = max(1, 2**23 // max(1, 6 * flat[0].shape[1]))
    for start in range(0, len(images), step):
        own = slice(start, start + step)
        count, maps, truth = (networks[own] @ part for part in flat)
        count = np.maximum(count, 1)
        for place, (product, (a, b)) in enumerate(zip(products, ((maps, truth), (maps, maps), (truth, truth)), strict=True)):
            sums = (networks[own] @ product - a * b / count).reshape(len(count), *shape[1:])
            sums = sums if place == 0 else np.maximum(sums, 0.0)
            found[place][own] = np.einsum("ren,rn->re", sums, images[own])
    return found


def partial_spearman(a: np.ndarray, b: np.ndarray, given: np.ndarray) -> np.ndarray:
    r"""Partial Spearman correlation (K,) of rows a and b (K, N), given the row (N,).

    .. math:: \rho_{ab \cdot c} = \frac{\rho_{ab} - \rho_{ac} \rho_{bc}}{\sqrt{(1 - \rho_{ac}^2) (1 - \rho_{bc}^2)}}

    The images are those with all three values. NaN if one of the three is constant, or if a or b is ordered as `given` is.
    """
    lost = np.isnan(a) | np.isnan(b) | np.isnan(given)
    a, b, c = (np.where(lost, np.nan, np.broadcast_to(part, a.shape)) for part in (a, b, given))
    ab, ac, bc = spearman_rows(a, b), spearman_rows(a, c), spearman_rows(b, c)
    square = (1 - ac**2) * (1 - bc**2)
    known = square > 1e-12
    return np.divide(ab - ac * bc, np.sqrt(np.where(known, square, 1)), out=np.full(len(ab), np.nan), where=known)


def sign_accuracy(outside: np.ndarray, phi: np.ndarray, se: np.ndarray) -> np.ndarray:
    """Balanced accuracy of the sign of the relevance outside the object's mask, against the sign of the background's effect.

    Images count if the effect differs from 0 by more than two standard errors. A sum of exactly 0 counts half.

    Args:
        outside: (E, N) sum of the signed raw map outside the mask.
        phi: (N,) effect of the background on the score.
        se: (N,) its standard error.

    Returns:
        (E,) in [0, 1]; NaN for maps without a negative sum, which state no sign, and if one of the two signs does not occur.
    """
    signs = np.where(phi > 2 * se, 1.0, np.where(phi < -2 * se, -1.0, np.nan))
    found = np.full(len(outside), np.nan)
    for place, row in enumerate(outside):
        right = (1 + np.sign(row) * signs) / 2
        if (row < 0).any():
            found[place] = (mean_defined(right[signs > 0]) + mean_defined(right[signs < 0])) / 2
    return found


def same_explainers(
    explainers: Sequence[str], share_map: np.ndarray | None, values: Sequence[np.ndarray] = (), tolerances: Sequence[float] = ()
) -> list[str]:
    """Name, for each explainer, the first earlier one that it equals on every image of every network; empty if there is none.

    Two explainers are equal if their shares differ by at most two units of 1e-5 and are undefined on the same images, and if at least
    99 % of the values of each metric tie. Explainers without any share equal none. If no shares were measured, a metric with more than
    two different values must be among those that tie, because hits and misses agree by chance.

    Args:
        explainers: E names.
        share_map: (M, E, N), or None if no shares were measured.
        values: metrics' values, each (M, E, N).
        tolerances: largest difference of tied values of each metric.

    Returns:
        E names or empty texts.
    """
    found, kept = [""] * len(explainers), list[int]()
    for place in range(len(explainers)):
        same = next((first for first in kept if _equal(place, first, share_map, values, tolerances)), None)
        if same is None:
            kept.append(place)
        else:
            found[place] = explainers[same]
    return found


def _equal(one: int, two: int, share_map: np.ndarray | None, values: Sequence[np.ndarray], tolerances: Sequence[float]) -> bool:
    """Whether two explainers are equal."""
    if share_map is None:
        if not any(len(np.unique(own[:, one][~np.isnan(own[:, one])])) > 2 for own in values):
            return False
    elif np.isnan(share_map[:, one]).all() or not _close(share_map[:, one], share_map[:, two], 2 * ROUNDED).all():
        return False
    return all(_close(own[:, one], own[:, two], most).mean() >= ALIKE for own, most in zip(values, tolerances, strict=True))


def _close(one: np.ndarray, two: np.ndarray, most: float) -> np.ndarray:
    return np.isclose(one, two, rtol=0, atol=most, equal_nan=True)


@dataclass(frozen=True, kw_only=True)
class ExplainerInputs:
    """What explainers are compared with; every array but the first two may be missing.

    Attributes:
        share_map: (M, E, N) fraction of the positive raw map inside the mask.
        share_true: (M, N) r+.
        area: (N,) fraction of the image that the mask covers.
        cell_spearman: (M, E, N) Spearman correlation of a map's cells with the effects of the cells.
        outside: (M, E, N) sum of the signed raw map outside the mask.
        phi_background: (M, N) effect of the background.
        se_background: (M, N) its standard error.
    """

    share_map: np.ndarray
    share_true: np.ndarray
    area: np.ndarray | None = None
    cell_spearman: np.ndarray | None = None
    outside: np.ndarray | None = None
    phi_background: np.ndarray | None = None
    se_background: np.ndarray | None = None


def explainer_table(
    explainers: Sequence[str],
    networks: Sequence[str],
    inputs: ExplainerInputs,
    *,
    sets: Sequence[str] | None = None,
    same_as: Sequence[str] | None = None,
    resamples: int = 1000,
    seed: int = 0,
) -> pd.DataFrame:
    """Error, tracking, rank correlations, cells and signs of each explainer, per network and over all.

    Args:
        explainers: E names.
        networks: M names.
        inputs: shares of maps and truth.
        sets: `real`, `control` or `oracle` of each explainer; default: all real.
        same_as: the explainer that each one equals, or empty; default: `same_explainers`.
        resamples: bootstrap resamples of images.
        seed: seed of the resamples.

    Returns:
        One row per network and explainer, then one per explainer with model `*`, with the columns `EXPLAINER_COLUMNS`. Error, cells and
        signs of `*` are means over networks; its error interval resamples images jointly. Tracking is that of all networks.
    """
    sets = sets or ["real"] * len(explainers)
    same_as = same_as or same_explainers(explainers, inputs.share_map)
    drawn = draw_resamples(inputs.share_map.shape[2], resamples, seed)
    errors = share_errors(inputs.share_map, inputs.share_true)
    means = np.stack([resampled_means(drawn.images, own) for own in errors])  # (M, R + 1, E)
    parts = [_network_part(inputs, place, errors[place], means[place]) for place in range(len(networks))]
    parts.append(_joint_part(inputs, parts, means, errors, drawn))
    facts = {"explainer": list(explainers), "set": list(sets), "same_as": list(same_as)}
    found = [pd.DataFrame({**facts, "model": name, **part}) for name, part in zip([*networks, ALL], parts, strict=True)]
    return pd.concat(found, ignore_index=True)[list(EXPLAINER_COLUMNS)]


def _network_part(inputs: ExplainerInputs, place: int, errors: np.ndarray, means: np.ndarray) -> dict[str, object]:
    """Columns of one network: (E,) each."""
    s, r = rounded_shares(inputs.share_map[place]), np.broadcast_to(inputs.share_true[place], errors.shape)
    known, nan = ~np.isnan(errors), np.full(len(errors), np.nan)
    ends = corrected_intervals(means)
    cells = nan if inputs.cell_spearman is None else np.array([mean_defined(row) for row in inputs.cell_spearman[place]])
    signs = nan
    if inputs.outside is not None and inputs.phi_background is not None and inputs.se_background is not None:
        signs = sign_accuracy(inputs.outside[place], inputs.phi_background[place], inputs.se_background[place])
    return {
        "n": known.sum(1),
        "share_map": [mean_defined(row[own]) for row, own in zip(s, known, strict=True)],
        "share_true": [mean_defined(row[own]) for row, own in zip(r, known, strict=True)],
        "error": means[0], "error_low": ends[:, 0], "error_high": ends[:, 1],
        "spearman": spearman_rows(s, r),
        "partial": nan if inputs.area is None else partial_spearman(s, r, inputs.area),
        "tracking": nan, "tracking_low": nan, "tracking_high": nan, "slope": nan,
        "cell_spearman": cells, "sign_accuracy": signs,
        "reason": [_error_reason(count) for count in known.sum(1)],
    }  # fmt: skip


def _joint_part(
    inputs: ExplainerInputs, parts: Sequence[dict[str, object]], means: np.ndarray, errors: np.ndarray, drawn: Resamples
) -> dict[str, object]:
    """Columns of all networks together."""
    known = ~np.isnan(errors)
    joint = mean_of_defined(means)
    ends = corrected_intervals(joint)
    moved = movement(inputs.share_map, inputs.share_true)
    t, slope = tracking(moved, drawn)
    t_ends = corrected_intervals(t)

    def mean_of(column: str) -> np.ndarray:
        return mean_of_defined(np.array([part[column] for part in parts], dtype=np.float64))

    names = ("share_map", "share_true", "spearman", "partial", "cell_spearman", "sign_accuracy")
    return {
        **{name: mean_of(name) for name in names},
        "n": known.any(0).sum(1),
        "error": joint[0], "error_low": ends[:, 0], "error_high": ends[:, 1],
        "tracking": t[0], "tracking_low": t_ends[:, 0], "tracking_high": t_ends[:, 1], "slope": slope[0],
        "reason": [_tracking_reason(moved, place) if np.isnan(value) else "" for place, value in enumerate(t[0])],
    }  # fmt: skip


def _error_reason(images: int) -> str:
    return "" if images else "no image has both a share of the map and a true share"


def _tracking_reason(moved: Movement, place: int) -> str:
    """Why an explainer has no tracking."""
    if len(moved.maps) < 2:
        return "one network; tracking needs two"
    return "the true share does not change between networks" if moved.defined[:, place].any() else "no image is defined on two networks"
