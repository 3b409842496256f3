"""Aggregated attributions of a run on mosaics, as pictures of a report."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

from camdbench.reporting.aggatt_figure import aggatt_of
from camdbench.reporting.chart_facts import drawn
from camdbench.reporting.encoded_pictures import in_text
from camdbench.reporting.figure_files import figure_bytes
from camdbench.reporting.mosaic_maps import mosaic_metric
from camdbench.reporting.report_runs import ReportRun
from camdbench.tables.summary import summarise
from camdbench.tables.summary_tables import summary_groups


@dataclass(frozen=True)
class MosaicPicture:
    """Aggregated attributions of a model.

    Attributes:
        model: its labelled name.
        picture: PNG in base64; empty if there is none.
        missing: why there is none.
    """

    model: str
    picture: str
    missing: str


def mosaic_pictures(run: ReportRun, data_root: str | Path | None = None) -> list[MosaicPicture]:
    """Draw the aggregated attributions of each model of a run; none if the run has no metric of mosaics.

    Raises:
        CamdbenchError: a file of maps is damaged.
    """
    if mosaic_metric(run.pooled) is None:
        return []
    found = list[MosaicPicture]()
    for group in summary_groups(summarise(run.pooled)):
        if group.heads != "model":
            figure, missing = aggatt_of(run.pooled, group.model, [row.names for row in drawn(group)], data_root)
            shown = "" if figure is None else in_text(figure_bytes(figure, "png", 100))
            found.append(MosaicPicture(run.labelled(group.model), shown, missing))
    return found
