"""The choice of a threshold of part importance, against a literal search over resamples."""

from __future__ import annotations

import numpy as np
import pytest

from camdbench.tables.aggregates import CellData, aggregate

COUNT, POINTS = 14, 6
RNG = np.random.default_rng(0)
CSDC, CHECKS, FREE = 100 * RNG.random((3, COUNT, POINTS))
VALID = (RNG.random((COUNT, 3)) < 0.7).astype(float)
HALF = RNG.integers(0, 2, (COUNT, 1)).astype(float)
SCORE = np.where(np.arange(COUNT)[:, None] == 3, np.nan, CHECKS)  # an image without a value
WEIGHTS = np.vstack([np.ones(COUNT, dtype=int), RNG.multinomial(COUNT, np.full(COUNT, 1 / COUNT), size=20)])


def cell() -> CellData:
    x = np.linspace(0.01, 0.5, POINTS)
    curves = {"score": (x, SCORE), "csdc": (x, CSDC), "checks": (x, CHECKS), "distractibility": (x, FREE)}
    return CellData(SCORE.mean(1), curves | {"valid": (np.arange(3), VALID), "half": (np.zeros(1), HALF)})


def best(drawn: list[int]) -> int:
    def mean(term: np.ndarray, which: int, point: int) -> float:
        own = [term[image, point] for image in drawn if VALID[image, which]]
        return sum(own) / len(own) if own else 0.0

    totals = [mean(CSDC, 0, t) / 3 + 2 * mean(CHECKS, 1, t) / 3 + mean(FREE, 2, t) for t in range(POINTS)]
    return totals.index(max(totals))


def literal(weights: np.ndarray, *, held_out: bool) -> float:
    drawn = [image for image, times in enumerate(weights) for _ in range(times) if image != 3]
    values = []
    for image in drawn:
        others = [other for other in drawn if not held_out or HALF[other] != HALF[image]]
        values.append(SCORE[image, best(others)])
    return sum(values) / len(values)


@pytest.mark.parametrize(("reduction", "held_out"), [("best threshold", False), ("held-out threshold", True)])
def test_a_threshold_is_that_of_a_literal_search(reduction: str, held_out: bool) -> None:
    found = aggregate(reduction, cell(), WEIGHTS)
    np.testing.assert_allclose(found, [literal(row, held_out=held_out) for row in WEIGHTS], rtol=1e-12)
    assert len(set(found.round(6))) > 5


def test_images_of_one_half_alone_have_no_held_out_threshold() -> None:
    weights = (HALF[:, 0] == 0).astype(float)[None]
    assert np.isnan(aggregate("held-out threshold", cell(), weights)).all()
    assert np.isfinite(aggregate("best threshold", cell(), weights)).all()
