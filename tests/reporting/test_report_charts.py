"""Charts of ranks against scipy, their groups against all subsets, and points of the chart of cost."""

from __future__ import annotations

from itertools import combinations
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from helpers.each import each
from scipy import stats

import camdbench
from camdbench.reporting.report_charts import _groups, cost_chart, rank_charts
from camdbench.tables.comparison import compare
from camdbench.tables.pool import load_pooled


@each("seed", range(20))
def test_groups_are_the_longest_stretches_without_a_significant_pair(seed: int):
    rng = np.random.default_rng(seed)
    names = list("abcdefg")
    p_of = {pair: rng.choice([0.01, 0.5], p=[0.3, 0.7]) for pair in combinations(names, 2)}
    stretches = [
        (first, last)
        for first, last in combinations(range(len(names)), 2)
        if all(p_of[names[one], names[two]] >= 0.05 for one, two in combinations(range(first, last + 1), 2))
    ]
    longest = [own for own in stretches if not any(other != own and other[0] <= own[0] and own[1] <= other[1] for other in stretches)]
    assert _groups(names, p_of) == sorted(longest)


def test_cells_without_value_or_usage_have_no_point():
    lines = [
        ("net", "gradcam", "ad", "a", 12.34567, 10.0, np.nan, 2.0, 0.1, False),
        ("net", "saliency", "ad", "", np.nan, np.nan, np.nan, 2.0, 0.1, False),
        ("net", "file", "ad", "", 1.0, 0.5, 1.5, np.nan, np.nan, False),
    ]
    columns = [
        "model",
        "explainer",
        "metric",
        "tie_group",
        "mean",
        "ci_low",
        "ci_high",
        "passes_per_image",
        "seconds_per_image",
        "is_control",
    ]
    [found] = cost_chart(pd.DataFrame(lines, columns=columns))
    assert found == {
        "model": "net",
        "explainer": "gradcam",
        "metric": "ad",
        "tie_group": "a",
        "mean": 12.35,
        "ci_low": 10.0,
        "passes_per_image": 2.0,
        "seconds_per_image": 0.1,
        "is_control": False,
    }


def test_ranks_are_those_of_the_run(tmp_path: Path):
    camdbench.run("gradcam,saliency,layercam,random", "ad,ag", limit=5, out=tmp_path)
    pooled = load_pooled([tmp_path])
    charts = {chart["metric"]: chart for chart in rank_charts(pooled, compare(pooled))}
    rows = camdbench.load_rows(tmp_path)
    for metric, sign in (("ad", 1), ("ag", -1)):
        values = rows[rows["metric"] == metric].pivot_table(index="explainer", columns="image", values="value", observed=True)
        test, chart = stats.friedmanchisquare(*values.to_numpy()), charts[metric]
        expected = dict(zip(values.index, stats.rankdata(sign * values.round(2), axis=0).mean(1), strict=True))
        assert dict(zip(chart["explainers"], chart["ranks"], strict=True)) == pytest.approx(expected, abs=6e-4)
        assert (chart["friedman_p"], chart["kendall_w"]) == pytest.approx((test.pvalue, test.statistic / (5 * 3)), rel=1e-3)
        assert chart["ranks"] == sorted(chart["ranks"])
        assert [name for name, control in zip(chart["explainers"], chart["controls"], strict=True) if control] == ["random"]
