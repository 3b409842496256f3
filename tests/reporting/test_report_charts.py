"""Groups of explainers in a chart of ranks, against all subsets."""

from __future__ import annotations

from itertools import combinations

import numpy as np
import pandas as pd
import pytest

from camdbench.reporting.report_charts import _groups, cost_chart


@pytest.mark.parametrize("seed", range(20))
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
        ("net", "gradcam", "ad", 12.34567, 2.0, 0.1, False),
        ("net", "saliency", "ad", np.nan, 2.0, 0.1, False),
        ("net", "file", "ad", 1.0, np.nan, np.nan, False),
    ]
    columns = ["model", "explainer", "metric", "mean", "passes_per_image", "seconds_per_image", "is_control"]
    assert cost_chart(pd.DataFrame(lines, columns=columns)) == [
        {
            "model": "net",
            "explainer": "gradcam",
            "metric": "ad",
            "mean": 12.35,
            "passes_per_image": 2.0,
            "seconds_per_image": 0.1,
            "is_control": False,
        }
    ]
