"""Reductions over groups of images, against a literal reading of their definitions."""

from __future__ import annotations

import numpy as np
import pytest

from camdbench.tables.aggregates import CellData, aggregate

COUNT = 24
RNG = np.random.default_rng(5)
VALUES = np.where(RNG.random(COUNT) < 0.1, np.nan, 100.0 * (RNG.random(COUNT) < 0.6))
GROUPS = RNG.integers(-1, 3, COUNT).astype(float)
SHARES = np.array([0.5, 0.3, 0.2, 0.9])[GROUPS.astype(int)]  # the last is of no group
WEIGHTS = np.vstack([np.ones(COUNT, dtype=int), RNG.multinomial(COUNT, np.full(COUNT, 1 / COUNT), size=30)])


def cell() -> CellData:
    return CellData(VALUES, {"group": (np.zeros(1), GROUPS[:, None]), "share": (np.zeros(1), SHARES[:, None])})


def means(weights: np.ndarray) -> dict[int, float]:
    """Mean of each group of a resample that has images with a value."""
    drawn = [index for index, times in enumerate(weights) for _ in range(times)]
    own = {group: [VALUES[index] for index in drawn if GROUPS[index] == group and VALUES[index] == VALUES[index]] for group in range(3)}
    return {group: sum(values) / len(values) for group, values in own.items() if values}


def weighted(found: dict[int, float]) -> float:
    shares = {group: (0.5, 0.3, 0.2)[group] for group in found}
    return sum(shares[group] * mean for group, mean in found.items()) / sum(shares.values())


@pytest.mark.parametrize(
    ("reduction", "literal"),
    [
        ("worst group", lambda found: min(found.values())),
        ("training-weighted groups", weighted),
        ("difference of groups", lambda found: found[1] - found[0]),
    ],
)
def test_reductions_are_their_definitions(reduction: str, literal) -> None:
    found = aggregate(reduction, cell(), WEIGHTS)
    np.testing.assert_allclose(found, [literal(means(row)) for row in WEIGHTS], rtol=1e-12)
    assert len(set(found.round(6))) > 5


def test_a_difference_needs_both_groups_and_others_what_was_drawn() -> None:
    one = CellData(np.array([100.0, 0.0]), {"group": (np.zeros(1), np.ones((2, 1))), "share": (np.zeros(1), np.full((2, 1), 0.2))})
    assert np.isnan(aggregate("difference of groups", one, np.ones((1, 2)))).all()
    assert aggregate("worst group", one, np.ones((1, 2))).tolist() == [50]
    assert aggregate("training-weighted groups", one, np.ones((1, 2))).tolist() == [50]
