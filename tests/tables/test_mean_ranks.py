"""Ranks and agreement against scipy, and on values whose answer is known."""

from __future__ import annotations

import numpy as np
import pytest
from scipy import stats

from camdbench.core.errors import UsageError
from camdbench.tables.mean_ranks import agree, rank

RANDOM = np.random.default_rng(3)
AD = RANDOM.uniform(0, 100, (4, 25)).round(-1)  # with ties
NAMES = ("gradcam", "opticam", "hirescam", "fakecam")


def test_mean_ranks_and_friedmans_test_are_scipys(make_run):
    run = make_run({name: {"ad": list(own)} for name, own in zip(NAMES, AD, strict=True)})
    found = rank(run).set_index("explainer")
    expected = stats.rankdata(AD, axis=0).mean(1)
    assert found["rank"].to_dict() == pytest.approx(dict(zip(NAMES, expected, strict=True)))
    test = stats.friedmanchisquare(*AD)
    assert found["friedman_p"].iloc[0] == pytest.approx(test.pvalue)
    assert found["kendall_w"].iloc[0] == pytest.approx(test.statistic / (25 * 3))
    assert found["rank"].is_monotonic_increasing


def test_values_that_differ_by_rounding_share_a_rank_and_friedmans_test_is_that_of_rounded_values(make_run):
    noisy = AD + RANDOM.uniform(-4e-3, 4e-3, AD.shape)
    found = rank(make_run({name: {"ad": list(own)} for name, own in zip(NAMES, noisy, strict=True)})).set_index("explainer")
    assert found["rank"].to_dict() == pytest.approx(dict(zip(NAMES, stats.rankdata(noisy.round(-1), axis=0).mean(1), strict=True)))
    assert found["friedman_p"].iloc[0] == pytest.approx(stats.friedmanchisquare(*noisy.round(-1)).pvalue)
    higher = rank(make_run({name: {"ag": list(own)} for name, own in zip(NAMES, noisy, strict=True)})).set_index("explainer")
    assert (higher["rank"] + found["rank"]).to_dict() == pytest.approx(dict.fromkeys(NAMES, 5.0))


def test_metrics_agree_by_tied_means_too(make_run):
    near = {"gradcam": [30.0], "opticam": [10.0], "hirescam": [30.004]}
    found = agree(make_run({name: {"ad": own, "ag": [100 - 2 * own[0] + (own[0] > 30) / 200]} for name, own in near.items()}))
    assert found[["spearman", "kendall"]].to_numpy().ravel().tolist() == pytest.approx([1, 1])


def test_the_largest_value_comes_first_where_higher_is_better_and_ties_share(make_run):
    run = make_run({"gradcam": {"ag": [1.0, 5.0]}, "opticam": {"ag": [9.0, 5.0]}})
    found = rank(run).set_index("explainer")["rank"]
    assert found.to_dict() == {"opticam": 1.25, "gradcam": 1.75}


def test_an_image_that_one_explainer_lacks_ranks_nobody(make_run):
    run = make_run({"gradcam": {"ad": [1.0, 5.0, float("nan")]}, "opticam": {"ad": [9.0, 6.0, 0.0]}})
    found = rank(run)
    assert set(found["n"]) == {2}
    assert found["explainer"].tolist() == ["gradcam", "opticam"]
    assert found["kendall_w"].tolist() == [1, 1]


def test_explainers_that_always_tie_are_all_alike(make_run):
    run = make_run({"gradcam": {"ad": [1.0, 5.0]}, "opticam": {"ad": [1.0, 5.0]}})
    assert rank(run)[["rank", "friedman_p", "kendall_w"]].to_numpy().tolist() == [[1.5, 1, 0], [1.5, 1, 0]]


def test_metrics_agree_where_they_order_alike_whatever_their_direction(make_run):
    run = make_run(
        {
            "gradcam": {"ad": [30.0], "ag": [10.0], "ai": [5.0]},
            "opticam": {"ad": [10.0], "ag": [40.0], "ai": [1.0]},
            "hirescam": {"ad": [20.0], "ag": [20.0], "ai": [2.0]},
        }
    )
    found = agree(run).set_index(["metric_a", "metric_b"])
    assert found.loc[("ad", "ag"), ["spearman", "kendall"]].tolist() == [1, 1]
    assert found.loc[("ad", "ai"), ["spearman", "kendall"]].tolist() == [-1, -1]


def test_what_cannot_be_ranked_is_refused(make_run):
    run = make_run({"gradcam": {"ad": [1.0, 2.0]}})
    with pytest.raises(UsageError, match="nothing to rank"):
        rank(run)
    with pytest.raises(UsageError, match="agreement needs two metrics"):
        agree(run)
