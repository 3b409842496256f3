"""Paired comparisons against scipy pair by pair, and on values whose answer is known."""

from __future__ import annotations

import numpy as np
import pytest
from scipy import stats

from camdbench.core.errors import UsageError
from camdbench.tables.comparison import COMPARE_COLUMNS, compare, holm
from camdbench.tables.paired_rows import PairedRows
from camdbench.tables.sign_flips import sign_flip_test

RANDOM = np.random.default_rng(3)
VALUES = {
    "gradcam": {"ad": list(RANDOM.uniform(20, 60, 30)), "ag": list(RANDOM.uniform(0, 20, 30))},
    "opticam": {"ad": list(RANDOM.uniform(0, 5, 30)), "ag": list(RANDOM.uniform(40, 80, 30))},
    "hirescam": {"ad": list(RANDOM.uniform(20, 60, 30)), "ag": list(RANDOM.uniform(0, 20, 30))},
}


def test_every_pair_of_explainers_is_compared_under_every_metric(make_run):
    found = compare(make_run(VALUES))
    assert list(found.columns) == list(COMPARE_COLUMNS)
    assert list(zip(found["metric"], found["a"], found["b"], strict=True)) == [
        (metric, *pair) for metric in ("ad", "ag") for pair in (("gradcam", "opticam"), ("gradcam", "hirescam"), ("opticam", "hirescam"))
    ]
    assert set(found["n"]) == {30}


def test_the_winner_is_the_better_one_by_the_metrics_direction_and_nobody_without_significance(make_run):
    found = compare(make_run(VALUES)).set_index(["metric", "a", "b"])["better"]
    assert found["ad", "gradcam", "opticam"] == found["ag", "gradcam", "opticam"] == "opticam"
    assert found["ad", "gradcam", "hirescam"] == found["ag", "gradcam", "hirescam"] == ""


def test_each_number_is_scipys_for_that_pair(make_run):
    found = compare(make_run(VALUES), metrics=["ad"], seed=5).set_index(["a", "b"])
    for (first, second), line in found.iterrows():
        differences = np.array(VALUES[first]["ad"]) - np.array(VALUES[second]["ad"])
        assert line["difference"] == pytest.approx(differences.mean())
        assert line["p_wilcoxon"] == pytest.approx(stats.wilcoxon(differences, zero_method="pratt").pvalue)
        alone = stats.permutation_test(
            (differences,), np.mean, permutation_type="samples", n_resamples=20_000, rng=np.random.default_rng(8)
        )
        assert line["p_permutation"] == pytest.approx(alone.pvalue, abs=0.02)
        ranks, signs = stats.rankdata(np.abs(differences)), np.sign(differences)
        assert line["rank_biserial"] == pytest.approx((ranks * signs).sum() / ranks.sum())


def test_ties_count_as_zero_in_tests_and_effect_but_not_in_the_difference(make_run):
    """`sparseness` has the scale 1, `ad` the scale 100; noise of 30 % of the tolerance with a bias that a test would find."""
    noise = RANDOM.uniform(0, 3e-3, 30)
    base = np.array(VALUES["gradcam"]["ad"])
    mixed = base - noise
    mixed[:3] -= [2.0, 3.0, -2.5]
    named = {"gradcam": base, "hirescam": base - noise, "mixed": mixed}
    run = make_run({name: {"ad": list(own), "sparseness": list(own / 100)} for name, own in named.items()})
    found = compare(run).set_index(["metric", "a", "b"])
    for metric, scale in (("ad", 1), ("sparseness", 100)):
        same, other = found.loc[(metric, "gradcam", "hirescam")], found.loc[(metric, "gradcam", "mixed")]
        assert (same["p_wilcoxon"], same["p_permutation"], same["rank_biserial"], same["better"]) == (1, 1, 0, "")
        assert same["difference"] == pytest.approx(noise.mean() / scale)
        untied = (base - mixed).round(2)
        untied[3:] = 0
        assert other["p_wilcoxon"] == pytest.approx(stats.wilcoxon(untied, zero_method="pratt").pvalue)
        assert other["rank_biserial"] == pytest.approx((1 + 3 - 2) / 6)


def test_holm_is_the_step_down_procedure_read_literally():
    p = np.array([0.04, 0.01, np.nan, 0.03, 0.02, 0.5])
    order, slow, highest = [1, 4, 3, 0, 5], np.full(6, np.nan), 0.0
    for rank, index in enumerate(order):
        highest = max(highest, min(1.0, (5 - rank) * p[index]))
        slow[index] = highest
    np.testing.assert_allclose(holm(p), slow)


def test_corrected_tests_are_right_about_nothing_as_often_as_they_say():
    random = np.random.default_rng(1)
    wrong = 0
    for trial in range(150):
        differences = random.normal(size=(3, 12))
        wrong += bool((holm(sign_flip_test(PairedRows.of_cells(differences), seed=trial)) < 0.05).any())
    assert wrong / 150 < 0.05 + 3 * np.sqrt(0.05 * 0.95 / 150)


def test_two_runs_are_compared_cell_by_cell(make_run):
    other = {name: {metric: [value + 5 for value in values] for metric, values in own.items()} for name, own in VALUES.items()}
    first, second = make_run(VALUES), make_run({"opticam": other["opticam"], "fakecam": other["gradcam"]}, name="other")
    found = compare(first, second, across=True)
    assert list(found["metric"]) == ["ad", "ag"]
    assert found["difference"].tolist() == pytest.approx([-5, -5])
    assert [name.partition(" ")[0] for name in found["better"]] == ["opticam", "opticam"]
    assert found["better"][0] == found["a"][0], "a drop is better where it is lower"
    assert found["better"][1] == found["b"][1]


def test_the_family_has_the_pairs_of_different_explainers_that_are_no_controls(make_run):
    """`twin` equals `gradcam` but for rounding, `fakecam` is a control: three pairs are left, by hand."""
    twin = {metric: [value + 1e-3 for value in values] for metric, values in VALUES["gradcam"].items()}
    near = {metric: [value - 1.5 - 3 * (place % 2) for place, value in enumerate(values)] for metric, values in VALUES["gradcam"].items()}
    values = {"gradcam": VALUES["gradcam"], "twin": twin, "near": near, "opticam": VALUES["opticam"], "fakecam": VALUES["hirescam"]}
    for metrics in (None, ["ad"]):
        found = compare(make_run(values), metrics=metrics).query("metric == 'ad'").set_index(["a", "b"])
        outside = {("gradcam", "twin"), *((name, "fakecam") for name in ("gradcam", "twin", "near", "opticam"))}
        assert set(found.index[found["p_holm"].isna()]) == outside
        assert set(found.loc[list(outside), "better"]) == {""}
        family = [("gradcam", "near"), ("gradcam", "opticam"), ("near", "opticam")]
        by_hand = holm(found.loc[family, "p_permutation"].to_numpy())
        assert found.loc[family, "p_holm"].tolist() == by_hand.tolist()
        assert found.loc[[("twin", "near"), ("twin", "opticam")], "p_holm"].tolist() == by_hand[:2].tolist()
        assert found.loc[family, "p_least"].tolist() == pytest.approx([6e-4] * 3)


def test_neither_the_order_of_explainers_nor_that_of_rows_changes_a_test(make_run):
    found = compare(make_run(VALUES)).set_index(["metric", "a", "b"])
    backwards = compare(make_run({name: VALUES[name] for name in reversed(VALUES)}, name="other")).set_index(["metric", "b", "a"])
    for column in ("n", "p_permutation", "p_holm", "p_least", "better"):
        assert found[column].to_dict() == backwards[column].to_dict()
    assert backwards["p_wilcoxon"].to_dict() == pytest.approx(found["p_wilcoxon"].to_dict())
    assert backwards["rank_biserial"].to_dict() == pytest.approx((-found["rank_biserial"]).to_dict())
    assert backwards["ci_low"].to_dict() == pytest.approx((-found["ci_high"]).to_dict())


@pytest.mark.parametrize("n", [4, 6, 9])
def test_the_least_p_is_that_of_a_test_whose_differences_all_have_one_sign(make_run, n: int):
    run = make_run({name: {"ad": [10.0 + 2**place * step for place in range(n)]} for step, name in enumerate("abc")})
    found = compare(run)
    assert found["p_least"].tolist() == pytest.approx([3 * 2 / 2**n] * 3)  # two of all sign vectors, three pairs
    assert found["p_least"].tolist() == pytest.approx(found["p_holm"].tolist())


def test_a_single_image_and_explainers_without_a_common_one_have_no_test(make_run):
    nan = float("nan")
    for number, (one, two) in enumerate((([3.0], [4.0]), ([3.0, nan, 1.0], [nan, 4.0, nan]), ([nan], [nan]))):
        found = compare(make_run({"gradcam": {"ad": one}, "opticam": {"ad": two}}, name=f"r{number}"))
        assert found[["p_wilcoxon", "p_permutation", "p_holm", "p_least", "ci_low", "ci_high"]].isna().to_numpy().all()
        assert found["better"].tolist() == [""]
        assert found["difference"].tolist() == pytest.approx([3.0 - 4.0 if number == 0 else nan], nan_ok=True)


def test_what_cannot_be_compared_is_refused(make_run):
    run = make_run(VALUES)
    with pytest.raises(UsageError, match="ai not in the run; choose from ad, ag"):
        compare(run, metrics=["ai"])
    with pytest.raises(UsageError, match="--across: 1 runs: expected two"):
        compare(run, across=True)
    with pytest.raises(UsageError, match="nothing to compare"):
        compare(make_run({"gradcam": VALUES["gradcam"]}, name="alone"))
