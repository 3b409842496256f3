"""Summaries of made-up values, without a run."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from math import isnan

import pandas as pd

from camdbench.tables.cell_values import Cells, cells_of
from camdbench.tables.summary import summarise
from camdbench.tables.summary_tables import SummaryGroup, summary_groups


def made_cells(values: Mapping[str, Mapping[str, Sequence[float]]]) -> Cells:
    """Cells of values by metric and explainer; NaN has the status `undefined`."""
    place = {"dataset": "data", "split": "val", "model": "net", "protocol": "p", "target_rule": "label", "label": 0}
    rows = [
        place
        | {"explainer": name, "metric": metric, "image": f"i{number}", "value": value, "status": "undefined" if isnan(value) else "ok"}
        for metric, explainers in values.items()
        for name, line in explainers.items()
        for number, value in enumerate(line)
    ]
    return cells_of(pd.DataFrame(rows))


def made_group(values: Mapping[str, Mapping[str, Sequence[float]]]) -> SummaryGroup:
    """Summary of values by metric and explainer."""
    (found,) = summary_groups(summarise(made_cells(values)))
    return found
