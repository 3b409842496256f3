"""Sign-flip tests against full enumeration, a literal loop over the drawn signs, scipy, and a null hypothesis that is true."""

from __future__ import annotations

from itertools import combinations, product

import numpy as np
import pytest
from scipy import stats

from camdbench.tables import paired_rows, sign_flips
from camdbench.tables.paired_rows import PairedRows
from camdbench.tables.sign_flips import PERMUTATIONS, sign_flip_test

NAN = np.nan


def enumerated(differences: list[int]) -> float:
    """Every assignment of signs, in integers."""
    observed = abs(sum(differences))
    sums = [
        abs(sum(sign * value for sign, value in zip(signs, differences, strict=True)))
        for signs in product((1, -1), repeat=len(differences))
    ]
    return sum(value >= observed for value in sums) / len(sums)


def cells_with_gaps(cells: int, images: int, seed: int) -> np.ndarray:
    """Skewed values with a common part; each cell lacks a twentieth of the images."""
    random = np.random.default_rng(seed)
    values = random.beta(0.5, 3, images) * 60 + random.gamma(0.5, 10, (cells, images)) + np.arange(cells)[:, None] * 12 / images**0.5
    values[random.random(values.shape) < 0.05] = NAN
    return values


def pairs_of(values: np.ndarray) -> PairedRows:
    one, two = np.array(list(combinations(range(len(values)), 2))).T
    return PairedRows(values, one, two)


@pytest.mark.parametrize("images", [2, 5, 8, 13])
def test_few_images_have_every_sign_vector_counted(images: int):
    """Tenths, which floats do not hold, with zeros, equal sums and gaps on both sides."""
    random = np.random.default_rng(images)
    tenths = random.integers(-9, 12, (5, images))
    tenths[0] = np.abs(tenths[0]) + 1
    values = tenths / 10
    values[3, random.integers(images)] = values[4, random.integers(images)] = NAN
    rows = pairs_of(values)
    for p, one, two in zip(sign_flip_test(rows), rows.one, rows.two, strict=True):
        kept = ~np.isnan(values[one] - values[two])
        differences = [int(number) for number in (tenths[one] - tenths[two])[kept]]
        assert p == (enumerated(differences) if len(differences) > 1 else pytest.approx(NAN, nan_ok=True))


def test_few_images_that_differ_among_many_are_counted_too():
    differences = np.zeros(60)
    differences[[3, 10, 11, 40, 59]] = [1.0, 2.0, -4.0, 8.0, 16.0]
    assert sign_flip_test(PairedRows.of_cells(differences[None])).tolist() == [enumerated([int(own) for own in differences if own])]


def test_many_images_against_a_literal_loop_over_the_drawn_signs():
    """Per cent of 0 or 100, whose sums often equal the observed one, and tenths; opposite signs are written out."""
    random = np.random.default_rng(0)
    whole = np.concatenate([1000 * random.integers(0, 2, (2, 40)), random.integers(0, 300, (2, 40))])
    negative = np.concatenate(list(sign_flips._signs(40, PERMUTATIONS // 2, 3)), axis=1).T
    drawn = np.concatenate([np.ones((1, 40)), 1 - 2 * negative])
    signs = np.concatenate([drawn, -drawn]).astype(int)
    assert len(signs) == PERMUTATIONS + 1
    rows = pairs_of(whole / 10)
    for p, one, two in zip(sign_flip_test(rows, seed=3), rows.one, rows.two, strict=True):
        differences = whole[one] - whole[two]
        assert p == np.mean(np.abs(signs @ differences) >= abs(differences.sum()))


@pytest.mark.parametrize("images", [50, 500])
def test_p_values_are_those_of_scipy_within_four_standard_errors(images: int):
    values = cells_with_gaps(3, images, seed=images)
    rows = pairs_of(values)
    found = sign_flip_test(rows, seed=1)
    assert found.min() < 0.2 < found.max()
    for p, one, two in zip(found, rows.one, rows.two, strict=True):
        differences = (values[one] - values[two])[~np.isnan(values[one] - values[two])]
        random = np.random.default_rng(5)
        theirs = stats.permutation_test(
            (differences,), np.mean, vectorized=True, permutation_type="samples", n_resamples=9_999, batch=500, rng=random
        ).pvalue
        error = np.sqrt(p * (1 - p) / (PERMUTATIONS / 2) + 2 * theirs * (1 - theirs / 2) / 9_999)
        assert abs(p - theirs) < 4 * error + 2 / 10_000


def test_a_true_null_hypothesis_is_rejected_as_often_as_the_level_says():
    """400 tests of exchangeable skewed values over 20 images, two in ten of them missing."""
    values = np.random.default_rng(4).gamma(0.3, 20, (800, 20))
    values[np.random.default_rng(5).random(values.shape) < 0.1] = NAN
    p = sign_flip_test(PairedRows(values, np.arange(0, 800, 2), np.arange(1, 800, 2)))
    for level in (0.05, 0.2, 0.5):
        assert abs((p <= level).mean() - level) < 3 * np.sqrt(level * (1 - level) / 400)


def test_the_order_of_explainers_changes_nothing_and_that_of_images_only_the_draw():
    values = cells_with_gaps(4, 60, seed=2)
    rows = pairs_of(values)
    found = sign_flip_test(rows)
    assert sign_flip_test(PairedRows(values[::-1].copy(), 3 - rows.two, 3 - rows.one)).tolist() == found.tolist()
    assert sign_flip_test(rows.select(np.array([4])))[0] == found[4]  # nor do the pairs beside it
    mixed = sign_flip_test(pairs_of(values[:, np.random.default_rng(0).permutation(60)]))
    assert mixed.tolist() != found.tolist()
    assert (np.abs(mixed - found) < 4 * np.sqrt(4 * found * (1 - found) / PERMUTATIONS)).all()
    few = values[:, :12]
    assert sign_flip_test(pairs_of(few[:, ::-1])).tolist() == sign_flip_test(pairs_of(few)).tolist()


def test_small_steps_and_groups_change_nothing(monkeypatch: pytest.MonkeyPatch):
    rows = pairs_of(cells_with_gaps(5, 70, seed=6))
    whole = sign_flip_test(rows).tolist()
    monkeypatch.setattr(paired_rows, "_LEAST_WEIGHTS", 1)
    monkeypatch.setattr(paired_rows, "BLOCK_VALUES", 70 * 3)
    monkeypatch.setattr(paired_rows, "_GROUP_VALUES", 40_000)
    assert sign_flip_test(rows).tolist() == whole


def test_ties_are_differences_of_zero_and_values_much_larger_than_their_differences_keep_them():
    random = np.random.default_rng(8)
    differences = random.normal(0.3, 1.0, (6, 90))
    base = random.gamma(1.0, 5.0, 90)
    base[:30] += differences[:1, :30].mean()
    untied = np.where(np.abs(differences) <= 0.4, 0.0, differences)
    expected = sign_flip_test(PairedRows.of_cells(untied))
    for shift in (0.0, 2.0**30):  # the sum of the shifted values is 10^10 times the tolerance
        cells = np.concatenate([base + shift + differences, base[None] + shift])
        found = sign_flip_test(PairedRows(cells, np.arange(6), np.full(6, 6)), 0.4)
        assert found.tolist() == expected.tolist()
