"""Significance of the difference between each summary value and the best one."""

from __future__ import annotations

from typing import Any

import pandas as pd

from camdbench.tables.summary_tables import ALPHA, MetricColumn, SummaryGroup, summary_groups

_PLACE = ("model", "dataset", "split", "target_rule", "metric", "protocol")


def vs_best(summary: pd.DataFrame, pairs: pd.DataFrame) -> pd.DataFrame:
    """Add the column `vs_best`: each explainer compared with the best of its model, data set and metric.

    - `best`: the best, or tied with it.
    - `differs`: the paired permutation test, corrected by Holm over the pairs of different explainers that are no controls (the
      family of `compare`), is significant against every best explainer at `ALPHA`.
    - `not_significant`: the test is not; tables mark it with a dagger.
    - `untested`: no test, as the value is not a mean over images or there is only one explainer.
    - empty: a control, which is not ranked, or an explainer without a value.

    Args:
        summary: output of `summarise`.
        pairs: output of `compare` for the same run.
    """
    p_of = dict[tuple[Any, ...], float]()
    for pair in pairs.to_dict("records"):
        place = tuple(pair[name] for name in _PLACE)
        p_of[*place, pair["a"], pair["b"]] = p_of[*place, pair["b"], pair["a"]] = pair["p_holm"]
    found = pd.Series("", index=summary.index)
    for group in summary_groups(summary):
        for column in group.columns:
            standings = _standings(group, column, p_of)
            own = (group.lines["metric"] == column.metric) & (group.lines["protocol"] == column.protocol)
            lines = group.lines.loc[own]
            found[lines.index] = lines["explainer"].map(standings).where(lines["mean"].notna()).fillna("")
    return summary.assign(vs_best=found)


def _standings(group: SummaryGroup, column: MetricColumn, p_of: dict[tuple[Any, ...], float]) -> dict[str, str]:
    """Return the `vs_best` of each explainer in a column."""
    place = (group.model, *group.place, column.metric, column.protocol)
    best = [name for name, rank in group.places(column).items() if rank == 1]
    found = dict[str, str]()
    for name in group.explainers(control=False):
        tests = [p_of.get((*place, name, other)) for other in best]
        if name in best:
            found[name] = "best"
        elif not tests or None in tests:
            found[name] = "untested"
        else:
            # NaN, the p-value of a single image, is not significant
            found[name] = "differs" if all(p is not None and p < ALPHA for p in tests) else "not_significant"
    return found
