"""Sign-flip permutation test of paired differences: one matrix of signs for all pairs."""

from __future__ import annotations

from collections.abc import Iterator
from itertools import product

import numpy as np

from camdbench.tables.paired_rows import BLOCK_VALUES, PairedRows, paired_sums, weight_rows

PERMUTATIONS = 9_999
"""Sign vectors beside the observed one, in pairs of opposite ones, whose sums have the same magnitude."""

FEW = 13
"""Differences whose 2^13 sign vectors are fewer than the drawn ones, so all are counted."""


def least_p(images: np.ndarray) -> np.ndarray:
    """Smallest two-sided p-value of the sign-flip test of images (N,): 2 of 2^images signs, or 2 of the drawn ones.

    >>> least_p(np.array([5, 100])).tolist()
    [0.0625, 0.0002]
    """
    return 2 / np.minimum(2.0 ** np.minimum(images, 60), PERMUTATIONS + 1)


def sign_flip_test(rows: PairedRows, tolerances: np.ndarray | float = 0.0, *, seed: int = 0) -> np.ndarray:
    """Two-sided p-values (N,) of the mean of N rows of differences, under the hypothesis that each sign is a fair coin.

    The p-value is the share of sign vectors whose |sum| is at least the observed one, the observed vector included. At most `FEW`
    differences other than 0 have all their sign vectors counted, so their p-value is exact. Others have `PERMUTATIONS` drawn ones
    beside the observed one (Phipson & Smyth 2010), the same for all rows. Signs belong to columns, so another order of the images
    changes these within Monte-Carlo error. The memory does not grow with the number of sign vectors.

    Args:
        rows: the rows.
        tolerances: values that differ by at most this tie, and their difference is 0; one for all rows, or (N,).
        seed: seed of the signs.

    Returns:
        (N,); NaN with fewer than two images, 1 if all differences are 0.
    """
    tolerances = np.broadcast_to(tolerances, len(rows))
    p, many, nothing = np.full(len(rows), np.nan), np.zeros(len(rows), dtype=bool), np.zeros(len(rows), dtype=np.int64)
    for own, block in rows.blocks(tolerances):
        n = (~np.isnan(block)).sum(1)
        moved = np.nan_to_num(block, nan=0.0)
        count = np.count_nonzero(moved, axis=1)
        few = (n > 1) & (count <= FEW)
        many[own] = (n > 1) & ~few
        p[own][few] = exact_flips(moved[few])
        nothing[own] = rows.images - count
    for index in rows.groups(np.flatnonzero(many), nothing[many]):
        p[index] = _drawn_flips(rows.select(index), tolerances[index], seed)
    return p


def exact_flips(differences: np.ndarray) -> np.ndarray:
    """Share of all sign vectors whose |sum| is at least the observed one, of rows (N, M) with at most `FEW` values other than 0.

    >>> exact_flips(np.array([[1.0, 2.0, 4.0], [1.0, -1.0, 0.0]])).tolist()
    [0.25, 1.0]
    """
    first = np.argsort(differences == 0, axis=1, kind="stable")[:, :FEW]
    kept = np.take_along_axis(differences, first, axis=1)
    free = max(0, kept.shape[1] - 1)  # the first sign is fixed: opposite vectors have the same |sum|
    signs = np.array(list(product((1.0, -1.0), repeat=free))).reshape(2**free, free)
    slack = 1e-12 * np.abs(kept).sum(1)
    found = np.empty(len(kept))
    step = max(1, BLOCK_VALUES // len(signs))
    for start in range(0, len(kept), step):
        own = slice(start, start + step)
        sums = kept[own, :1] + kept[own, 1:] @ signs.T
        found[own] = (np.abs(sums) >= (np.abs(kept[own].sum(1)) - slack[own])[:, None]).mean(1)
    return found


def _drawn_flips(rows: PairedRows, tolerances: np.ndarray, seed: int) -> np.ndarray:
    sums = paired_sums(rows, tolerances)
    total, least = sums.total[:, None], (np.abs(sums.total) - sums.error)[:, None]
    hits = np.zeros(len(rows), dtype=np.int64)
    for flipped in _signs(rows.images, PERMUTATIONS // 2, seed):
        hits += (np.abs(total - 2 * sums.of(flipped)) >= least).sum(1)
    return (hits + 1) / (PERMUTATIONS // 2 + 1)


def _signs(images: int, count: int, seed: int) -> Iterator[np.ndarray]:
    """Yield where `count` sign vectors are negative, (M, r), 1 or 0, some at a time."""
    rng = np.random.default_rng(seed)
    width = -(-images // 64) * 8  # bytes of a vector, a whole number of draws: blocks of any size have the same signs
    step = weight_rows(images)
    for start in range(0, count, step):
        drawn = np.frombuffer(rng.bytes(width * (own := min(step, count - start))), dtype=np.uint8).reshape(own, width)
        yield np.unpackbits(drawn, axis=1, count=images).T.astype(np.float64, order="C")
