"""Aggregates against literal loops over what was drawn, scikit-learn, and numbers worked out by hand."""

from __future__ import annotations

import math

import numpy as np
import pytest
from helpers.each import each
from sklearn.metrics import average_precision_score, jaccard_score

from camdbench.core.errors import UsageError
from camdbench.tables import aggregates
from camdbench.tables.aggregates import CellData, aggregate, relative_sensitivity

COUNT = 17
RNG = np.random.default_rng(5)
LABELS = RNG.integers(0, 4, COUNT)
VALUES = RNG.normal(40, 20, COUNT)
VALUES[[3, 11]] = np.nan
WEIGHTS = np.vstack([np.ones(COUNT, dtype=int), RNG.multinomial(COUNT, np.full(COUNT, 1 / COUNT), size=40)])


def drawn(weights: np.ndarray) -> list[int]:
    """The images of a resample, one after the other, each as often as it was drawn."""
    return [index for index, times in enumerate(weights) for _ in range(times)]


def points(**parts: np.ndarray) -> dict[str, tuple[np.ndarray, np.ndarray]]:
    return {name: (np.arange(y.shape[1], dtype=float), y.astype(float)) for name, y in parts.items()}


def by_class(values: np.ndarray, images: list[int]) -> float:
    """The mean of class means, literally."""
    means = list[float]()
    for label in range(4):
        own = [values[index] for index in images if LABELS[index] == label and not math.isnan(values[index])]
        if own:
            means.append(sum(own) / len(own))
    return sum(means) / len(means)


def check(reduction: str, cell: CellData, expected: list[float]) -> None:
    found = aggregate(reduction, cell, WEIGHTS)
    assert found.shape == (len(WEIGHTS),)
    np.testing.assert_allclose(found, expected, rtol=1e-12)


def test_mean_is_that_of_the_images_that_have_a_value():
    expected = [float(np.nanmean([VALUES[index] for index in drawn(row)])) for row in WEIGHTS]
    check("mean", CellData(VALUES), expected)


def test_class_mean_is_the_mean_of_the_means_of_the_classes_that_were_drawn():
    assert any(len({LABELS[index] for index in drawn(row)}) < 4 for row in WEIGHTS), "no resample lacks a class"
    check("class mean", CellData(VALUES, labels=LABELS), [by_class(VALUES, drawn(row)) for row in WEIGHTS])


def test_images_of_unknown_label_are_in_no_class():
    cell = CellData(np.array([1.0, 3.0, 100.0, 8.0]), labels=np.array([0, 0, -1, 1]))
    assert aggregate("class mean", cell, np.ones((1, 4))).tolist() == [5.0]


def test_ratio_of_means_is_not_the_mean_of_ratios():
    above, below = RNG.gamma(2, 1, (2, COUNT))
    above[4] = np.nan
    expected = list[float]()
    for row in WEIGHTS:
        images = [index for index in drawn(row) if index != 4]
        expected.append((sum(above[index] for index in images) / len(images)) / (sum(below[index] for index in images) / len(images)))
    check("ratio of means", CellData(above / below, points(numerator=above[:, None], denominator=below[:, None])), expected)
    assert abs(expected[0] - np.nanmean(above / below)) > 0.1


def test_the_published_core_share_follows_from_the_published_means():
    cell = CellData(np.full(1, np.nan), points(numerator=np.array([[14.817]]), denominator=np.array([[14.817 + 42.138]])))
    assert aggregate("ratio of means", cell, np.ones((1, 1))).round(3).tolist() == [0.260]


def test_maximum_is_taken_after_the_mean_over_images():
    first, second = RNG.random((2, COUNT, 6)) > 0.5
    first = first.astype(float)
    first[2] = np.nan
    expected = list[float]()
    for row in WEIGHTS:
        tops = list[float]()
        for part, gap in ((first, {2}), (second, set[int]())):
            images = [index for index in drawn(row) if index not in gap]
            tops.append(max(sum(float(part[index, place]) for index in images) / len(images) for place in range(6)))
        expected.append(sum(tops) / 2)
    check("maximum over thresholds", CellData(VALUES, points(first=first, second=second)), expected)
    assert expected[0] < 1, "the maximum of each image would be 1"


# --------------------------------------------------------------------------- relative foreground sensitivity


def test_rfs_of_the_specification():
    """Accuracies .5 under noise on the foreground and .9 on the background: .4 / (2 min(.7, .3))."""
    cell = CellData(np.full(1, np.nan), points(foreground=np.array([[0.5]]), background=np.array([[0.9]])), np.zeros(1, dtype=int))
    assert aggregate("relative foreground sensitivity", cell, np.ones((1, 1))).tolist() == pytest.approx([0.4 / 0.6])


def test_rfs_weighs_classes_alike():
    low, high = RNG.integers(0, 4, (2, COUNT)) / 3
    expected = list[float]()
    for row in WEIGHTS:
        f, b = by_class(low, drawn(row)), by_class(high, drawn(row))
        mean = (f + b) / 2
        expected.append((b - f) / (2 * min(mean, 1 - mean)))
    check("relative foreground sensitivity", CellData(VALUES, points(foreground=low[:, None], background=high[:, None]), LABELS), expected)


def test_an_image_without_one_of_its_accuracies_has_neither():
    low, high = np.array([[0.0], [1.0], [np.nan]]), np.array([[1.0], [1.0], [0.0]])
    cell = CellData(np.zeros(3), points(foreground=low, background=high), np.zeros(3, dtype=int))
    assert aggregate("relative foreground sensitivity", cell, np.ones((1, 3))).tolist() == pytest.approx([0.5 / (2 * 0.25)])


@each(("f", "b", "expected"), [(0, 0, 0), (1, 1, 0), (0, 1, 1), (1, 0, -1), (0.2, 0.2, 0), (0.8, 0.9, 0.1 / 0.3)])
def test_rfs_is_defined_everywhere_and_lies_in_its_range(f: float, b: float, expected: float):
    assert relative_sensitivity(np.array([f]), np.array([b])).tolist() == pytest.approx([expected])


# -------------------------------------------------------------------------------------------- average precision


@pytest.fixture(params=["ties", "distinct"])
def ranked(request: pytest.FixtureRequest) -> tuple[np.ndarray, np.ndarray]:
    """Scores and truth of 17 images and 5 classes, the last of which has two positives."""
    rng = np.random.default_rng(9)
    scores = rng.normal(size=(COUNT, 5)) if request.param == "distinct" else rng.integers(0, 6, (COUNT, 5)) / 5
    truth = (rng.random((COUNT, 5)) < 0.4).astype(float)
    truth[:, 4] = np.isin(np.arange(COUNT), (2, 9))
    return scores, truth


def test_micro_average_precision_is_scikit_learns(ranked: tuple[np.ndarray, np.ndarray]):
    scores, truth = ranked
    expected = [average_precision_score(truth.ravel(), scores.ravel(), sample_weight=np.repeat(row, 5)) for row in WEIGHTS]
    check("micro average precision", CellData(VALUES, points(scores=scores, truth=truth)), expected)
    assert average_precision_score(truth, scores, average="micro") == pytest.approx(expected[0])


def test_macro_average_precision_is_scikit_learns_over_the_classes_that_were_drawn(ranked: tuple[np.ndarray, np.ndarray]):
    scores, truth = ranked
    expected, lacking = list[float](), 0
    for row in WEIGHTS:
        own = [index for index in range(5) if truth[row > 0, index].any()]
        lacking += len(own) < 5
        expected.append(np.mean([average_precision_score(truth[:, index], scores[:, index], sample_weight=row) for index in own]))
    assert lacking, "no resample lacks a class"
    check("macro average precision", CellData(VALUES, points(scores=scores, truth=truth)), expected)
    assert average_precision_score(truth, scores, average="macro") == pytest.approx(expected[0])


@pytest.mark.parametrize("reduction", ["micro average precision", "macro average precision"])
def test_an_image_without_scores_is_left_out_of_every_class(ranked: tuple[np.ndarray, np.ndarray], reduction: str):
    scores, truth = ranked
    holed = scores.copy()
    holed[6, 1] = np.nan
    without = aggregate(reduction, CellData(VALUES, points(scores=np.delete(scores, 6, 0), truth=np.delete(truth, 6, 0))), WEIGHTS[:, 1:])
    found = aggregate(reduction, CellData(VALUES, points(scores=holed, truth=truth)), np.insert(WEIGHTS[:, 1:], 6, 3, axis=1))
    np.testing.assert_allclose(found, without, rtol=1e-12)


def test_pixel_average_precision_is_that_of_all_pixels_ranked_together():
    thresholds, rng = np.arange(0, 10) / 10, np.random.default_rng(2)
    maps, masks = np.floor(rng.random((6, 8, 8)) * 10) / 10, rng.random((6, 8, 8)) < rng.random((6, 1, 1))
    maps[masks] = np.minimum(maps[masks] + 0.2, 0.9).round(1)
    # Counts from each threshold on; 0.05 below the level, so that 0.3 and 0.1 + 0.2 are the same level.
    counted = maps[:, None] >= thresholds[:, None, None] - 0.05
    inside, outside = ((counted & chosen[:, None]).sum((2, 3)) for chosen in (masks, ~masks))
    weights = np.vstack([np.ones(6, dtype=int), rng.multinomial(6, np.full(6, 1 / 6), size=9)])
    cell = CellData(np.zeros(6), {"object": (thresholds, inside.astype(float)), "background": (thresholds, outside.astype(float))})
    expected = [average_precision_score(masks.ravel(), maps.round(1).ravel(), sample_weight=np.repeat(row, 64)) for row in weights]
    np.testing.assert_allclose(aggregate("pixel average precision", cell, weights), expected, rtol=1e-12)
    backwards = {name: (x[::-1], y[:, ::-1]) for name, (x, y) in cell.curves.items()}
    np.testing.assert_allclose(aggregate("pixel average precision", CellData(np.zeros(6), backwards), weights), expected, rtol=1e-12)


def test_mean_intersection_over_union_is_scikit_learns_of_all_pixels_that_were_drawn():
    rng = np.random.default_rng(4)
    truth, said = rng.integers(0, 4, (2, COUNT, 30))
    truth[1:], said[1:] = np.minimum(truth[1:], 2), np.minimum(said[1:], 2)  # the last class is in one image alone
    each = [(truth == name, said == name) for name in range(4)]
    cell = points(
        intersection=np.stack([(own & other).sum(1) for own, other in each], 1),
        union=np.stack([(own | other).sum(1) for own, other in each], 1),
    )
    assert any(0 not in drawn(row) for row in WEIGHTS), "no resample lacks a class"
    expected = [jaccard_score(truth[drawn(row)].ravel(), said[drawn(row)].ravel(), average="macro") for row in WEIGHTS]
    check("mean intersection over union", CellData(np.zeros(COUNT), cell), expected)


# -------------------------------------------------------------------------------------------------------- edges


def full_cell(count: int = COUNT) -> CellData:
    """A cell that every reduction but MaxBoxAcc can read, with values of all kinds."""
    rng = np.random.default_rng(3)
    truth = (rng.random((count, 3)) < 0.4).astype(float)
    held = points(
        numerator=rng.random((count, 1)),
        denominator=rng.random((count, 1)) + 1,
        foreground=rng.random((count, 1)),
        background=rng.random((count, 3)).cumsum(1)[:, -1:] / 3,
        scores=rng.random((count, 3)),
        truth=truth,
        object=rng.integers(0, 9, (count, 1)),
        intersection=rng.integers(0, 9, (count, 3)),
        union=rng.integers(9, 20, (count, 3)),
        information=np.random.default_rng(4).random((count, 3)),
        group=np.arange(count)[:, None] % 3 % 2,
        **{
            name: np.random.default_rng(place).random((count, 3))
            for place, name in enumerate(("score", "csdc", "checks", "distractibility"))
        },
        valid=np.ones((count, 3)),
        half=np.arange(count)[:, None] % 2,
        share=np.array([0.75, 0.25])[np.arange(count)[:, None] % 3 % 2],
    )
    return CellData(rng.random(count), held, rng.integers(0, 3, count))


ALL = tuple(aggregates._REDUCTIONS)


@each("reduction", ALL)
def test_memory_is_bounded_and_chunks_change_nothing(reduction: str, monkeypatch: pytest.MonkeyPatch):
    whole = aggregate(reduction, full_cell(), WEIGHTS)
    assert np.isfinite(whole).all()
    monkeypatch.setattr(aggregates, "_NUMBERS", 3 * COUNT)
    np.testing.assert_allclose(aggregate(reduction, full_cell(), WEIGHTS), whole, rtol=1e-12)
    assert aggregate(reduction, full_cell(), WEIGHTS[:0]).shape == (0,)


@each("reduction", ALL)
def test_a_resample_is_the_images_that_it_drew(reduction: str):
    cell = full_cell()
    for row, found in zip(WEIGHTS[:5], aggregate(reduction, cell, WEIGHTS[:5]), strict=True):
        images = drawn(row)
        copied = CellData(cell.values[images], {name: (x, y[images]) for name, (x, y) in cell.curves.items()}, cell.labels[images])
        assert aggregate(reduction, copied, np.ones((1, len(images))))[0] == pytest.approx(found, rel=1e-12)


@each("reduction", ALL)
def test_nothing_drawn_or_nothing_known_is_nan(reduction: str):
    cell = full_cell()
    empty = CellData(np.full(COUNT, np.nan), {name: (x, np.full_like(y, np.nan)) for name, (x, y) in cell.curves.items()}, cell.labels)
    assert np.isnan(aggregate(reduction, empty, WEIGHTS)).all()
    assert np.isnan(aggregate(reduction, cell, np.zeros((2, COUNT)))).all()


@each("reduction", [name for name in ALL if name not in ("mean", "class mean")])
def test_missing_curves_are_named(reduction: str):
    with pytest.raises(UsageError, match=f"reduction {reduction}: reads .*curves"):
        aggregate(reduction, CellData(VALUES, labels=LABELS), WEIGHTS)


def test_an_unknown_reduction_is_refused_with_the_nearest():
    with pytest.raises(UsageError, match="no reduction 'class means'; did you mean 'class mean'"):
        aggregate("class means", CellData(VALUES), WEIGHTS)


def test_every_share_is_a_reduction():
    assert set(aggregates.UNIT_SCALE) < set(ALL)
