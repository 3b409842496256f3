"""Mean curves of a run, with the standard errors of their means, in one pass over its files."""

from __future__ import annotations

from pathlib import Path

import numpy as np

from camdbench.tables.curve_lists import read_blocks

CellKey = tuple[str, str, str]  # model, explainer, metric


class CurveBand:
    """Moments over images of curves; blocks of images are added one after the other.

    Attributes:
        x: (K,) positions, ascending.
        count: (K,) images with a value.
    """

    def __init__(self) -> None:
        self.x, self.count, self._mean, self._squares = (np.empty(0) for _ in range(4))

    def add(self, x: np.ndarray, y: np.ndarray) -> None:
        """Add curves y (N, K) at x (K,); NaN is no value.

        Two sets of moments are joined as by Chan, Golub and LeVeque 1983 (The American Statistician 37), eq. 2.1.
        """
        there = ~np.isnan(y)
        count = there.sum(0).astype(np.float64)
        mean = np.where(there, y, 0.0).sum(0) / np.maximum(count, 1)
        with np.errstate(invalid="ignore"):  # of infinite values
            squares = np.where(there, np.square(y - mean), 0.0).sum(0)
        both = np.union1d(self.x, x)
        first = [_spread(both, self.x, own) for own in (self.count, self._mean, self._squares)]
        second = [_spread(both, x, own) for own in (count, mean, squares)]
        self.x, self.count = both, first[0] + second[0]
        share = second[0] / np.maximum(self.count, 1)
        with np.errstate(invalid="ignore"):
            step = second[1] - first[1]
            self._mean = first[1] + step * share
            self._squares = first[2] + second[2] + np.square(step) * first[0] * share

    @property
    def mean(self) -> np.ndarray:
        """(K,) mean over images; NaN without an image."""
        return np.where(self.count > 0, self._mean, np.nan)

    @property
    def error(self) -> np.ndarray:
        """(K,) standard error of the mean, from the sample standard deviation; NaN with one image."""
        divisor = np.where(self.count > 1, (self.count - 1) * self.count, np.nan)
        return np.sqrt(self._squares / divisor)


def curve_bands(run: str | Path, curve: str) -> dict[CellKey, CurveBand]:
    """Return the bands of all curves of one name, by model, explainer and metric.

    Raises:
        CamdbenchError: a file is damaged.
    """
    found = dict[CellKey, CurveBand]()
    for part, block in read_blocks(run):
        if block.curve == curve:
            assert part.explainer is not None
            found.setdefault((part.model, part.explainer, block.metric), CurveBand()).add(block.x, block.y)
    return found


def _spread(wide: np.ndarray, x: np.ndarray, values: np.ndarray) -> np.ndarray:
    """Return values at x as values at `wide`, 0 elsewhere."""
    found = np.zeros(len(wide))
    found[np.searchsorted(wide, x)] = values
    return found
