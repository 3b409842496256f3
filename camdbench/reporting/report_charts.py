"""What the charts of a report draw beside the values of images: mean ranks, cost and quality."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import pandas as pd

from camdbench.core.errors import UsageError
from camdbench.reporting.page_numbers import short_number
from camdbench.tables.mean_ranks import rank
from camdbench.tables.pool import Pooled
from camdbench.tables.summary import is_control_of
from camdbench.tables.summary_tables import ALPHA


def rank_charts(pooled: Pooled, pairs: pd.DataFrame | None) -> list[dict[str, Any]]:
    """Mean ranks of each model and metric, and the groups of explainers without a significant difference.

    Args:
        pooled: the run.
        pairs: output of `compare`; None: nothing was compared.

    Returns:
        One chart per model and metric: `model`, `metric`, `n` images, `explainers`, best first, their `ranks` and whether each is one
        of the `controls`, `groups`: first and last position of explainers of which no two differ significantly, `friedman_p` and
        `kendall_w`. Empty if nothing can be ranked.
    """
    try:
        ranks = rank(pooled)
    except UsageError:  # one explainer, or no common image
        return []
    p_of = _p_values(pairs)
    found = list[dict[str, Any]]()
    for _, lines in ranks.groupby(["dataset", "split", "model", "target_rule", "metric", "protocol"], sort=False):
        first, names = lines.iloc[0], lines["explainer"].tolist()
        place = str(first["model"]), str(first["metric"])
        facts = {"model": place[0], "metric": place[1], "n": int(first["n"]), "explainers": names}
        facts |= {name: short_number(float(first[name])) for name in ("friedman_p", "kendall_w")}
        groups = _groups(names, {pair: p for (*at, one, two), p in p_of.items() if tuple(at) == place for pair in ((one, two), (two, one))})
        facts |= {"controls": [is_control_of(name, pooled.about) for name in names], "groups": groups}
        found.append(facts | {"ranks": [round(float(own), 3) for own in lines["rank"]]})
    return found


def _p_values(pairs: pd.DataFrame | None) -> dict[tuple[str, str, str, str], float]:
    """Corrected p-values by model, metric and pair; those of a pair with a control, which the correction leaves out, are uncorrected."""
    if pairs is None:
        return {}
    p = pairs["p_holm"].fillna(pairs["p_permutation"])
    keys = pairs[["model", "metric", "a", "b"]].astype(str).itertuples(index=False, name=None)
    return {(model, metric, a, b): float(value) for (model, metric, a, b), value in zip(keys, p, strict=True)}


def _groups(names: Sequence[str], p_of: Mapping[tuple[str, str], float]) -> list[tuple[int, int]]:
    """Return the longest stretches of ranked names of which no two differ significantly.

    >>> _groups(["a", "b", "c"], {("a", "b"): 0.2, ("b", "c"): 0.3, ("a", "c"): 0.01})
    [(0, 1), (1, 2)]
    """
    found, end = list[tuple[int, int]](), -1
    for first in range(len(names)):
        last = first
        while last + 1 < len(names) and all(p_of.get((names[place], names[last + 1]), 1.0) >= ALPHA for place in range(first, last + 1)):
            last += 1
        if last > max(first, end):
            found.append((first, last))
        end = max(end, last)
    return found


def cost_chart(summary: pd.DataFrame) -> list[dict[str, Any]]:
    """Usage per image, mean, interval and tie letter of every cell with a mean, for a chart of quality against cost."""
    names = ["model", "explainer", "metric", "tie_group"]
    numbers = ["mean", "ci_low", "ci_high", "passes_per_image", "seconds_per_image"]
    own = summary[[*names, *numbers, "is_control"]].dropna(subset=["mean", "passes_per_image"])
    return [
        {name: str(line[name]) for name in names}
        | {name: number for name in numbers if (number := short_number(float(line[name]))) is not None}
        | {"is_control": bool(line["is_control"])}
        for line in own.to_dict("records")
    ]
