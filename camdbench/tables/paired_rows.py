"""Differences of pairs of cells, and their weighted sums over images from the sums of the cells.

The sum of weighted differences is the difference of the cells' weighted sums, so many pairs of few cells cost one matrix product over
the cells. Where a difference is another number than that of the cells' values (an image that one of them lacks, a tie), the rest is
added by a sparse product over the few images concerned. The sums are exact up to rounding.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass
from typing import TYPE_CHECKING, NamedTuple

import numpy as np

from camdbench.tables.ties import tied

if TYPE_CHECKING:
    from scipy.sparse import csr_array

Sums = Callable[[np.ndarray], np.ndarray]
"""Function from weights of images (M, r) to the weighted sums of rows (N, r): a sparse product reads whole lines of weights."""

RESAMPLES = 10_000  # of a bootstrap
BLOCK_VALUES = 2**18  # float64 values of a step, 2 MB, which fit the cache
_LEAST_WEIGHTS = 64  # resamples or sign vectors of a step: with fewer, a matrix product only reads the values of all cells
_GROUP_VALUES = 2**25  # values of rows or of their resamples that are held at a time, 256 MB
_DENSE = 1 / 16  # a row with a larger share of non-zero values is multiplied as a whole
_SPARSE = 6  # numbers that hold a non-zero value of a sparse row, in two tables
_ROUNDING = 1e-12  # bound of the rounding error of a sum, as a fraction of the sum of magnitudes
_EXACT = 1e-6  # largest rounding error of a sum from cells, as a fraction of the root of the sum of squares


@dataclass(frozen=True)
class PairedRows:
    """N rows of differences over M images; NaN where one of the two cells has no value.

    Attributes:
        values: (C, M) values of the cells.
        one: (N,) index of the first cell.
        two: (N,) index of the cell that is subtracted.
    """

    values: np.ndarray
    one: np.ndarray
    two: np.ndarray

    @staticmethod
    def of_cells(values: np.ndarray) -> PairedRows:
        """Return the cells (N, M) themselves as rows: their differences from a cell of zeros."""
        none = np.zeros((1, values.shape[1]))
        return PairedRows(np.concatenate([values, none]), np.arange(len(values)), np.full(len(values), len(values)))

    def __len__(self) -> int:
        return len(self.one)

    @property
    def images(self) -> int:
        """M."""
        return self.values.shape[1]

    def select(self, index: np.ndarray) -> PairedRows:
        """Return some of the rows."""
        return PairedRows(self.values, self.one[index], self.two[index])

    def blocks(self, tolerances: np.ndarray | float | None = None) -> Iterator[tuple[slice, np.ndarray]]:
        """Yield rows (k, M) with their places, a block of at most `BLOCK_VALUES` values, or one row, at a time.

        With `tolerances`, one for all rows or (N,), a difference is 0 if the values tie.
        """
        step = max(1, BLOCK_VALUES // max(1, self.images))
        for start in range(0, len(self), step):
            own = slice(start, start + step)
            rows = np.take(self.values, self.one[own], axis=0) - np.take(self.values, self.two[own], axis=0)
            if tolerances is not None:
                rows[tied(rows, 0.0, np.broadcast_to(tolerances, len(self))[own, None])] = 0.0
            yield own, rows

    def groups(self, index: np.ndarray, missing: np.ndarray | None = None) -> Iterator[np.ndarray]:
        """Split indices of rows into groups whose sums need a constant memory, about 256 MB.

        Args:
            index: (k,) indices.
            missing: (k,) images of a row without a value or with a tie, if its resamples are held, and of the row only what a sum over
                cells lacks (`row_sums`); default: rows are held as a whole.
        """
        held = np.full(len(index), max(self.images, RESAMPLES))
        if missing is not None:
            held = RESAMPLES + np.where(missing > _DENSE * self.images, self.images, _SPARSE * missing)
        group = (np.cumsum(held) - 1) // _GROUP_VALUES
        for number in np.unique(group):
            yield index[group == number]


class PairedSums(NamedTuple):
    """Weighted sums of N rows.

    Attributes:
        of: function from weights (M, r) to sums (N, r); missing values count as 0.
        total: (N,) sums with weights of 1.
        error: (N,) bound of the rounding error of sums with weights in [-1, 1].
    """

    of: Sums
    total: np.ndarray
    error: np.ndarray


def weight_rows(images: int) -> int:
    """Return the resamples or sign vectors of a step.

    >>> weight_rows(2**10), weight_rows(50_000)
    (256, 64)
    """
    return max(_LEAST_WEIGHTS, BLOCK_VALUES // max(1, images))


def paired_sums(rows: PairedRows, tolerances: np.ndarray | float = 0.0) -> PairedSums:
    """Prepare weighted sums of rows, with differences of 0 where values tie by at most `tolerances`.

    A row whose cells are so much larger than their difference that rounding would count is summed by itself.
    """
    cells, places = np.unique(np.stack([rows.one, rows.two]), return_inverse=True)
    one, two = places.reshape(2, len(rows))
    filled = np.nan_to_num(np.take(rows.values, cells, axis=0), nan=0.0)
    magnitude = _ROUNDING * np.abs(filled).sum(1)
    total, error = np.empty(len(rows)), magnitude[one] + magnitude[two]

    def rest() -> Iterator[np.ndarray]:
        for own, block in rows.blocks(tolerances):
            block[np.isnan(block)] = 0.0
            total[own] = block.sum(1)
            rough = error[own] > _EXACT * np.sqrt((block**2).sum(1))
            one[own][rough] = two[own][rough] = 0  # their difference is 0: the rest is the whole row
            error[own][rough] = _ROUNDING * np.abs(block[rough]).sum(1)
            yield block - (filled[one[own]] - filled[two[own]])

    others = row_sums(rest(), len(rows))

    def of(weights: np.ndarray) -> np.ndarray:
        sums = filled @ weights
        found = sums[one]
        found -= sums[two]
        found += others(weights)
        return found

    return PairedSums(of, total, error)


def missing_sums(rows: PairedRows) -> Sums:
    """Return the function of weighted numbers of images that a row lacks: those that its cells lack, the ones that both lack once."""
    from scipy.sparse import csr_array

    cells, places = np.unique(np.stack([rows.one, rows.two]), return_inverse=True)
    one, two = places.reshape(2, len(rows))
    lacking = [np.flatnonzero(np.isnan(rows.values[cell])) for cell in cells]
    alone = row_sums((np.isnan(rows.values[[cell]]).astype(np.float64) for cell in cells), len(cells))
    twice = [np.intersect1d(lacking[first], lacking[second], assume_unique=True) for first, second in zip(one, two, strict=True)]
    starts = np.concatenate([[0], np.cumsum([len(own) for own in twice])])
    images = np.concatenate(twice)
    both = csr_array((np.ones(len(images)), images, starts), shape=(len(rows), rows.images))

    def of(weights: np.ndarray) -> np.ndarray:
        sums = alone(weights)
        return sums[one] + sums[two] - both @ weights

    return of


def row_sums(blocks: Iterable[np.ndarray], count: int) -> Sums:
    """Return the function of weighted sums of N = `count` rows, given as blocks (k, M); rows of few non-zero values are kept sparse.

    >>> row_sums([np.array([[1.0, 0.0, 2.0]])], 1)(np.array([[1.0, 0.0], [1.0, 5.0], [1.0, 3.0]])).tolist()
    [[3.0, 6.0]]
    """
    whole, places, few = list[np.ndarray](), list[np.ndarray](), list[tuple[np.ndarray, np.ndarray, np.ndarray]]()
    start = 0
    for block in blocks:
        many = np.count_nonzero(block, axis=1) > _DENSE * block.shape[1]
        places.append(start + np.flatnonzero(many))
        whole.append(block[many])
        block[many] = 0.0
        row, image = np.nonzero(block)
        few.append((block[row, image], start + row, image))
        start += len(block)
    dense, at = np.concatenate(whole), np.concatenate(places)
    entries, rows, images = (np.concatenate(parts) for parts in zip(*few, strict=True))
    sparse: csr_array | None = None
    if len(entries):
        from scipy.sparse import csr_array

        sparse = csr_array((entries, (rows, images)), shape=(count, dense.shape[1]))

    def of(weights: np.ndarray) -> np.ndarray:
        found = np.zeros((count, weights.shape[1])) if sparse is None else sparse @ weights
        if len(at):
            found[at] = dense @ weights
        return found

    return of
