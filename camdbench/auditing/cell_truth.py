"""Cell truth, a second opinion: Shapley values of the cells of a grid, whose absent cells come from another image.

Cells join one by one in random orders, each order followed by its reverse (antithetic sampling; doi:10.3390/appliedmath3040049).
The seams between two images are not of the data's law, so this is another game than that of object and background.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import torch

from camdbench.auditing.coalition_logits import check_indices, drawn_data, logits_of_images
from camdbench.auditing.reference_draws import POOL, pool_of
from camdbench.auditing.truth import Objective, check_objective, scores_of
from camdbench.core.errors import UsageError
from camdbench.datasets.samples import Dataset
from camdbench.datasets.shortcuts.dataset import Shortcuts
from camdbench.functional.cell_grid import cells as cell_numbers
from camdbench.functional.seeding import generator_for
from camdbench.models.classifier import Classifier

_PURPOSE = "audit cells"


@dataclass(frozen=True)
class CellTruth:
    """Contributions of the cells of N images with one network.

    Attributes:
        ids: ids of the N images.
        cells: cells per side G.
        contributions: (N, P, G^2) score that each cell adds when it joins, row by row, in each of P orders; two orders in turn are
            each other's reverse.
    """

    ids: tuple[str, ...]
    cells: int
    contributions: np.ndarray

    @property
    def phi(self) -> np.ndarray:
        """(N, G, G) Shapley values; they sum to the score of the image minus the mean score of the references."""
        return self.contributions.mean(1).reshape(len(self.ids), self.cells, self.cells)

    @property
    def se(self) -> np.ndarray:
        """(N, G, G) standard error of `phi` over pairs of orders; NaN for one pair."""
        pairs = self._pairs()
        if pairs.shape[1] < 2:
            return np.full(self.phi.shape, np.nan)
        return (pairs.std(1, ddof=1) / np.sqrt(pairs.shape[1])).reshape(self.phi.shape)

    @property
    def reliability(self) -> np.ndarray:
        r"""(N,) split-half reliability: Pearson correlation over cells of the even and the odd pairs of orders, for the full length.

        .. math:: 2 \rho / (1 + \rho)                                   (Spearman 1910; Brown 1910)

        Returns:
            (N,) at most 1; NaN for one pair, or if all cells of a half have one value.
        """
        pairs = self._pairs()
        return np.array([_spearman_brown(one[::2].mean(0), one[1::2].mean(0)) if len(one) > 1 else np.nan for one in pairs])

    def object_share(self, masks: np.ndarray) -> np.ndarray:
        """Share of the positive Shapley values that lies on the object, each spread evenly over its cell.

        Args:
            masks: (N, H, W) bool, the objects.

        Returns:
            (N,) in [0, 1]; NaN if no value is positive.
        """
        number = cell_numbers((masks.shape[1], masks.shape[2]), self.cells, torch.device("cpu")).flatten().numpy()
        size = np.bincount(number, minlength=self.cells**2)
        covered = np.stack([np.bincount(number, weights=mask.ravel(), minlength=self.cells**2) for mask in masks]) / size
        positive = np.maximum(self.contributions.mean(1), 0)
        with np.errstate(invalid="ignore", divide="ignore"):
            return (positive * covered).sum(1) / positive.sum(1)

    def _pairs(self) -> np.ndarray:
        """(N, P / 2, G^2) mean contributions of each order and its reverse."""
        images, orders, cells = self.contributions.shape
        return self.contributions.reshape(images, orders // 2, 2, cells).mean(2)


def measure_cell_logits(
    classifier: Classifier, data: Dataset, indices: Sequence[int], *, cells: int = 6, orders: int = 20, seed: int = 0
) -> np.ndarray:
    """Logits of images whose cells join one by one: P G^2 + 1 passes per image.

    Args:
        classifier: the network.
        data: data set `shortcuts(…)`.
        indices: numbers of the N images.
        cells: cells per side G.
        orders: number of orders P, even.
        seed: seed of orders and references.

    Returns:
        (N, P, G^2 + 1, C) float64: entry k has the first k cells of the order.

    Raises:
        UsageError: other data than `shortcuts`, no or unknown images, too few or too many cells, or an odd number of orders.
    """
    own = drawn_data(data)
    check_cells(cells, orders, own.size)
    check_indices(own, indices)
    return np.stack([_logits_of(classifier, own, index, cells, draw_orders(own, index, cells, orders, seed)) for index in indices])


def measure_cell_truth(
    classifier: Classifier,
    data: Dataset,
    indices: Sequence[int],
    targets: Sequence[int] | np.ndarray,
    *,
    cells: int = 6,
    orders: int = 20,
    seed: int = 0,
    objective: Objective = "centred_logit",
) -> CellTruth:
    """Measure Shapley values of the cells of images; arguments as of `measure_cell_logits` and `measure_truth`.

    Raises:
        UsageError: as `measure_cell_logits`, an unknown objective, or a class that the network lacks.
    """
    check_objective(objective)
    logits = measure_cell_logits(classifier, data, indices, cells=cells, orders=orders, seed=seed)
    return cell_truth_of(logits, data, indices, targets, objective, seed=seed)


def cell_truth_of(
    logits: np.ndarray,
    data: Dataset,
    indices: Sequence[int],
    targets: Sequence[int] | np.ndarray,
    objective: Objective = "centred_logit",
    *,
    seed: int = 0,
) -> CellTruth:
    """Cell truth from logits (N, P, G^2 + 1, C) of `measure_cell_logits` with the same seed.

    Raises:
        UsageError: an unknown objective, or a class that the network lacks.
    """
    own, count = drawn_data(data), logits.shape[2] - 1
    cells, added = round(count**0.5), np.diff(scores_of(logits, targets, objective), axis=2)
    found = np.empty_like(added)
    for row, index in enumerate(indices):
        for number, (order, _) in enumerate(draw_orders(own, index, cells, logits.shape[1], seed)):
            found[row, number, order] = added[row, number]
    return CellTruth(tuple(own.ids[index] for index in indices), cells, found)


def check_cells(cells: int, orders: int, size: int) -> None:
    """Check a grid and its orders.

    Raises:
        UsageError: fewer than 2 cells per side, cells of less than a pixel, or an odd number of orders.
    """
    if not 2 <= cells <= size:
        raise UsageError(f"cells = {cells}: out of range for images of {size} pixels; use 2 to {size} cells per side, such as 6")
    if orders < 2 or orders % 2:
        raise UsageError(f"orders = {orders}: every order comes with its reverse; use an even number, such as 20")


def draw_orders(data: Shortcuts, index: int, cells: int, orders: int, seed: int = 0) -> list[tuple[np.ndarray, int]]:
    """Orders (G^2,) of the cells, and the image of the pool that gives the absent ones; an order and its reverse share one.

    They depend on (seed, image id) alone. More orders extend fewer. The image itself is not drawn.
    """
    pool, random = pool_of(data), generator_for(seed, data.ids[index], _PURPOSE)
    usable = [other for other in torch.randperm(POOL, generator=random).tolist() if pool.ids[other] != data.ids[index]]
    found = list[tuple[np.ndarray, int]]()
    for pair in range(orders // 2):
        order = torch.randperm(cells**2, generator=random).numpy()
        found += [(order, usable[pair % len(usable)]), (order[::-1], usable[pair % len(usable)])]
    return found


def _logits_of(classifier: Classifier, data: Shortcuts, index: int, cells: int, orders: Sequence[tuple[np.ndarray, int]]) -> np.ndarray:
    """Logits (P, G^2 + 1, C) of one image; the passes of an order make a batch."""
    image, pool = data.picture(index).image, pool_of(data)
    number = cell_numbers((data.size, data.size), cells, torch.device("cpu")).numpy()
    whole = logits_of_images(classifier, image[None])
    found = list[np.ndarray]()
    for order, reference in orders:
        joined = np.argsort(order)[number]  # (H, W) when the cell of a pixel joins
        own = joined < np.arange(cells**2)[:, None, None]
        images = np.where(own[..., None], image, pool.picture(reference).image)
        found.append(np.concatenate([logits_of_images(classifier, images), whole]))
    return np.stack(found)


def _spearman_brown(first: np.ndarray, second: np.ndarray) -> float:
    """Reliability of the mean of two halves from their correlation."""
    if first.std() == 0 or second.std() == 0:
        return float("nan")
    correlation = float(np.corrcoef(first, second)[0, 1])
    return 2 * correlation / (1 + correlation)
