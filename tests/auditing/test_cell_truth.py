"""Cell truth: exact on a network with interactions of pairs, its passes, its halves, and its share on the object."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from torch import Tensor, nn

from camdbench.auditing.cell_truth import CellTruth, cell_truth_of, draw_orders, measure_cell_logits, measure_cell_truth
from camdbench.auditing.reference_draws import pool_of
from camdbench.core.errors import UsageError
from camdbench.datasets.shortcuts.dataset import Shortcuts, shortcuts
from camdbench.models.classifier import Classifier

GRID = 4


def data_of() -> Shortcuts:
    found = shortcuts(size=32)
    assert isinstance(found, Shortcuts)
    return found


def features(images: Tensor) -> Tensor:
    """Mean red (B, 16) of each cell."""
    return nn.functional.adaptive_avg_pool2d(images[:, :1].double(), GRID).flatten(1)


class Pairs(nn.Module):
    """First logit: w m + m' Q m for the means m of the cells, Q without diagonal; second: 0."""

    def __init__(self) -> None:
        super().__init__()
        random = torch.Generator().manual_seed(0)
        self.w = torch.randn(GRID**2, generator=random).double()
        q = torch.randn(GRID**2, GRID**2, generator=random).double()
        self.q = (q + q.T) / 2 * (1 - torch.eye(GRID**2).double())
        self.head = nn.Linear(1, 2)

    def forward(self, images: Tensor) -> Tensor:
        m = features(images)
        value = m @ self.w + ((m @ self.q) * m).sum(1)
        return torch.stack([value, torch.zeros_like(value)], 1)


def classifier_of(network: nn.Module) -> Classifier:
    return Classifier(network, "head", mean=0.0, std=1.0)


def test_pairs_of_cells_share_what_they_do_together() -> None:
    """An order and its reverse give the exact Shapley values of a game whose interactions are of pairs, for the reference they share."""
    data, network = data_of(), Pairs()
    truth = measure_cell_truth(classifier_of(network), data, [3], [0], cells=GRID, orders=6, objective="logit")
    own, exact = features(data[3].image[None])[0], list[np.ndarray]()
    for _, reference in draw_orders(data, 3, GRID, 6)[::2]:
        other = features(pool_of(data)[reference].image[None])[0]
        exact.append(((own - other) * (network.w + network.q @ (own + other))).numpy())
    found = truth.contributions[0].reshape(3, 2, GRID**2).mean(1)
    assert found == pytest.approx(np.stack(exact), abs=1e-6)  # pixels are float32
    assert truth.phi[0].ravel() == pytest.approx(np.mean(exact, 0), abs=1e-6)
    assert truth.se[0].ravel() == pytest.approx(np.std(exact, 0, ddof=1) / np.sqrt(3), abs=1e-6)


def test_passes_are_counted_and_values_sum_to_the_score() -> None:
    data, classifier = data_of(), classifier_of(Pairs())
    before = classifier.passes.forward
    logits = measure_cell_logits(classifier, data, [3, 0], cells=GRID, orders=4)
    assert classifier.passes.forward - before == 2 * (4 * GRID**2 + 1)
    assert logits.shape == (2, 4, GRID**2 + 1, 2)
    truth = cell_truth_of(logits, data, [3, 0], [0, 0])
    assert truth.ids == ("val-00003", "val-00000")
    centred = (logits[..., 0] - logits.mean(-1))[:, :, [0, -1]]
    assert truth.phi.sum((1, 2)) == pytest.approx((centred[:, :, 1] - centred[:, :, 0]).mean(1), abs=1e-10)
    assert np.array_equal(truth.contributions[1:], measure_cell_truth(classifier, data, [0], [0], cells=GRID, orders=4).contributions)


def test_orders_depend_on_seed_and_image_alone_and_grow() -> None:
    data = data_of()
    few, many, other = (draw_orders(data, 3, 6, orders, seed) for orders, seed in ((4, 0), (20, 0), (4, 1)))
    assert all(np.array_equal(a, b) and i == j for (a, i), (b, j) in zip(few, many, strict=False))
    assert not np.array_equal(few[0][0], other[0][0])
    for (order, first), (reverse, second) in zip(many[::2], many[1::2], strict=True):
        assert sorted(order) == list(range(36))
        assert np.array_equal(order[::-1], reverse)
        assert first == second
    assert len({reference for _, reference in many}) == 10


def test_reliability_is_that_of_the_sum_of_two_halves() -> None:
    """Values plus noise of known size: the squared correlation of the mean with the values."""
    random = np.random.default_rng(0)
    signal = random.standard_normal((1, 1, 6400))
    noise = random.standard_normal((1, 8, 6400)).repeat(2, 1)
    truth = CellTruth(("a",), 80, signal + 2 * noise)  # 8 pairs, noise variance 4 / 8 beside 1
    assert truth.reliability[0] == pytest.approx(1 / 1.5, abs=0.03)
    assert np.isnan(CellTruth(("a",), 80, signal + noise[:, :2]).reliability).all()
    assert np.isnan(CellTruth(("a",), 2, np.ones((1, 4, 4))).reliability).all()


def test_the_share_on_the_object_counts_positive_cells_by_their_cover() -> None:
    truth = CellTruth(("a", "b"), 2, np.array([[[3.0, 1.0, -5.0, 0.0]] * 2, [[-1.0, -1.0, 0.0, 0.0]] * 2]))
    masks = np.zeros((2, 4, 4), bool)
    masks[:, :2, :2] = True
    masks[:, 0, 2] = True  # a quarter of the second cell
    masks[:, 2:, :2] = True
    assert truth.object_share(masks) == pytest.approx([3.25 / 4, np.nan], nan_ok=True)


@pytest.mark.parametrize(
    ("options", "words"),
    [({"cells": 1}, "cells = 1"), ({"cells": 33}, "images of 32 pixels"), ({"orders": 3}, "orders = 3"), ({"orders": 0}, "orders = 0")],
    ids=str,
)
def test_wrong_use_is_refused(options: dict[str, int], words: str) -> None:
    with pytest.raises(UsageError, match=words):
        measure_cell_logits(classifier_of(Pairs()), data_of(), [0], **options)
