"""How differently the explainers of a run do on one image."""

from __future__ import annotations

import warnings
from collections.abc import Callable

import numpy as np
from scipy.stats import rankdata

from camdbench.tables.cell_values import Cells


def disagreement(cells: Cells, controls: frozenset[str]) -> np.ndarray:
    """Return the disagreement of explainers about each image, in [0, 0.5].

    Each cell ranks the images by their values, from 0 to 1. The standard deviation of an image's ranks over explainers is averaged
    over metrics and models. An image on which every method does as well as it usually does has 0. Controls are left out.

    Args:
        cells: cells of means over images.
        controls: explainers that are controls.

    Returns:
        (M,), NaN for an image with values of fewer than two explainers under every metric.
    """
    found = np.full((1, len(cells.images)), np.nan)
    names = [name for name in cells.keys.columns if name != "explainer"]
    chosen = cells.select(~cells.keys["explainer"].isin(controls).to_numpy())
    for block in chosen.keys.groupby(names, sort=False).indices.values():
        ranks = np.stack([_image_ranks(row) for row in chosen.values[block]])
        spread = np.where((~np.isnan(ranks)).sum(0) > 1, _quiet(np.nanstd, ranks), np.nan)
        found = np.vstack([found, spread])
    return _quiet(np.nanmean, found)


def _image_ranks(values: np.ndarray) -> np.ndarray:
    """Return the ranks of M values from 0 to 1, equal ones with their mean rank; NaN keeps its place."""
    ranks, there = np.full(len(values), np.nan), ~np.isnan(values)
    if (count := np.count_nonzero(there)) > 1:
        ranks[there] = (rankdata(values[there]) - 1) / (count - 1)
    return ranks


def _quiet(statistic: Callable[..., np.ndarray], rows: np.ndarray) -> np.ndarray:
    """Apply a statistic of NumPy to columns; a column without a number gives NaN, without a warning."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", RuntimeWarning)
        return statistic(rows, axis=0)
