"""Sums of pairs from the sums of cells against a loop over images."""

from __future__ import annotations

from itertools import combinations

import numpy as np
import pytest
from helpers.each import each

from camdbench.tables import paired_rows
from camdbench.tables.paired_rows import PairedRows, missing_sums, paired_sums, row_sums

RANDOM = np.random.default_rng(0)


@each(("gaps", "tolerance"), [(0.0, 0.0), (0.01, 0.0), (0.4, 0.0), (0.0, 0.02), (0.01, 0.02), (0.0, 3.0)])
def test_weighted_sums_are_those_of_a_loop_over_images(gaps: float, tolerance: float, monkeypatch: pytest.MonkeyPatch):
    """Few and many images that one cell lacks, few and many ties; signs and counts as weights; blocks of two rows."""
    monkeypatch.setattr(paired_rows, "BLOCK_VALUES", 2 * 120)
    values = RANDOM.normal(50, 2, (5, 120))
    values[RANDOM.random(values.shape) < gaps] = np.nan
    one, two = np.array([0, 0, 1, 4, 3]), np.array([1, 2, 0, 3, 3])
    weights = np.concatenate([RANDOM.integers(0, 4, (3, 120)), RANDOM.choice([-1, 1], (3, 120)), np.ones((1, 120))]).astype(float)
    sums = paired_sums(PairedRows(values, one, two), tolerance)
    slow = np.zeros((7, 5))
    for pair, (first, second) in enumerate(zip(one, two, strict=True)):
        for image in range(120):
            difference = values[first, image] - values[second, image]
            if abs(difference) > tolerance:  # false for NaN
                slow[:, pair] += weights[:, image] * difference
    found = sums.of(weights.T).T
    assert found == pytest.approx(slow, abs=1e-9)
    assert (np.abs(found - slow)[3:] <= sums.error + 1e-300).all()
    assert sums.total == pytest.approx(slow[-1], abs=1e-9)


def test_values_much_larger_than_their_difference_are_summed_as_the_difference():
    small = RANDOM.normal(size=(2, 50))
    cells = np.concatenate([2.0**40 + np.round(small * 2**10) / 2**10, np.full((1, 50), 2.0**40)])
    sums = paired_sums(PairedRows(cells, np.array([0, 1]), np.array([2, 2])))
    signs = RANDOM.choice([-1.0, 1.0], (9, 50))
    exact = signs @ (cells[:2] - cells[2]).T
    assert pytest.approx(exact, abs=1e-11) == sums.of(signs.T).T
    assert (sums.error < 1e-9).all()


def test_rows_of_few_and_of_many_values_have_their_sums():
    rows = RANDOM.normal(size=(6, 64)) * (RANDOM.random((6, 64)) < np.array([[0], [0.02], [0.5], [1], [0.05], [0]]))
    weights = RANDOM.normal(size=(4, 64))
    found = row_sums([rows[:2].copy(), rows[2:].copy()], 6)(weights.T).T
    assert found == pytest.approx(np.array([[sum(w * r) for r in rows] for w in weights]), abs=1e-12)


def test_groups_fit_the_memory(monkeypatch: pytest.MonkeyPatch):
    rows = PairedRows.of_cells(np.zeros((7, 30)))
    monkeypatch.setattr(paired_rows, "_GROUP_VALUES", 3 * paired_rows.RESAMPLES)
    assert [group.tolist() for group in rows.groups(np.arange(7))] == [[0, 1, 2], [3, 4, 5], [6]]
    assert [list(group) for group in PairedRows.of_cells(np.zeros((2, 10**6))).groups(np.arange(2))] == [[0], [1]]


def test_missing_images_of_a_row_are_those_that_either_cell_lacks():
    random = np.random.default_rng(0)
    values = random.random((5, 60))
    values[random.random(values.shape) < 0.3] = np.nan
    values[1] = np.nan
    values[2] = 1.0
    one, two = np.array(list(combinations(range(5), 2))).T
    weights = random.integers(0, 4, (7, 60)).astype(float)
    found = missing_sums(PairedRows(values, one, two))(weights.T).T
    expected = [[weight[np.isnan(values[a] - values[b])].sum() for a, b in zip(one, two, strict=True)] for weight in weights]
    np.testing.assert_array_equal(found, expected)
