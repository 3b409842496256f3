"""Means over groups of images under weights of the images: by class, of the worst group, weighted by training shares, and their gap."""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING

import numpy as np

if TYPE_CHECKING:
    from scipy.sparse import csr_array

GroupMeans = Callable[[np.ndarray], np.ndarray]
"""Function from weights (r, M), how often each image was drawn, to one number or one mean per group for each of the r rows."""


def means_by_group(values: np.ndarray, groups: np.ndarray) -> GroupMeans:
    """Return the function from weights (r, M) to the means of values (M,) by group (r, G), NaN where no image of a group was drawn.

    Groups are numbers (M,) of 0 or more, in ascending order; images with a smaller one, or without a finite value, are omitted.
    """
    with np.errstate(invalid="ignore"):
        present = np.isfinite(values) & (groups >= 0)
    names, column = np.unique(groups[present], return_inverse=True)
    places, shape = (np.flatnonzero(present), column), (len(values), len(names))
    sums, counts = sparse_table(values[present], places, shape), sparse_table(np.ones(len(column)), places, shape)
    return lambda weights: np.asarray(weights @ sums) / np.asarray(weights @ counts)


def worst_group(values: np.ndarray, groups: np.ndarray) -> GroupMeans:
    """Return the function from weights (r, M) to the smallest mean of a group (r,); groups that were not drawn are omitted.

    >>> worst_group(np.array([0.0, 1.0, 1.0]), np.array([0, 0, 1]))(np.array([[1, 1, 1], [0, 1, 1]])).tolist()
    [0.5, 1.0]
    """
    means = means_by_group(values, groups)

    def of(weights: np.ndarray) -> np.ndarray:
        found = means(weights)
        smallest = np.where(np.isnan(found), np.inf, found).min(1, initial=np.inf)
        return np.where(np.isinf(smallest), np.nan, smallest)

    return of


def weighted_groups(values: np.ndarray, groups: np.ndarray, shares: np.ndarray) -> GroupMeans:
    """Return the function from weights (r, M) to the mean over groups, weighted by the share of each group in the training data (r,).

    `shares` (M,) holds the share of each image's group; those of groups that were not drawn are divided between the others.

    >>> weighted_groups(np.array([0.0, 1.0]), np.array([0, 1]), np.array([0.9, 0.1]))(np.array([[5, 1]])).tolist()
    [0.1]
    """
    values = np.where(np.isfinite(shares), values, np.nan)
    means, weight_of = means_by_group(values, groups), means_by_group(np.where(np.isfinite(values), shares, np.nan), groups)
    columns = weight_of(np.ones((1, len(values))))

    def of(weights: np.ndarray) -> np.ndarray:
        found = means(weights)
        drawn = ~np.isnan(found)
        return (np.where(drawn, found, 0.0) * columns).sum(1) / (drawn * columns).sum(1)

    return of


def group_difference(values: np.ndarray, groups: np.ndarray) -> GroupMeans:
    """Return the function from weights (r, M) to the mean of group 1 minus that of group 0 (r,), NaN unless both were drawn.

    >>> group_difference(np.array([0.0, 1.0, 1.0]), np.array([0, 0, 1]))(np.array([[1, 1, 1]])).tolist()
    [0.5]
    """
    first, second = (means_by_group(np.where(groups == own, values, np.nan), np.zeros(len(values))) for own in (0, 1))

    def of(weights: np.ndarray) -> np.ndarray:
        means = [found[:, 0] if found.shape[1] else np.full(len(weights), np.nan) for found in (first(weights), second(weights))]
        return means[1] - means[0]

    return of


def nan_mean(rows: np.ndarray) -> np.ndarray:
    """Mean of each row (r, C) over values that are not NaN; NaN if all are."""
    found = ~np.isnan(rows)
    return np.where(found, rows, 0.0).sum(1) / found.sum(1)


def sparse_table(entries: np.ndarray, places: tuple[np.ndarray, np.ndarray], shape: tuple[int, int]) -> csr_array:
    """Return a sparse matrix of entries at (row, column); duplicates are summed."""
    from scipy.sparse import csr_array

    return csr_array((entries, places), shape=shape)
