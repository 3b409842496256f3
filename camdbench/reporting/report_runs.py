"""The runs of a report: one, several pooled ones, or two side by side."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from functools import cached_property
from pathlib import Path
from typing import Any

import pandas as pd

from camdbench.core.errors import UsageError
from camdbench.tables.cell_values import Cells
from camdbench.tables.part_files import part_files
from camdbench.tables.pool import NotPooled, Pooled, load_pooled


@dataclass(frozen=True)
class ReportRun:
    """A run of a report, or several that are read as one.

    Attributes:
        label: `A` or `B` of two runs side by side; empty otherwise.
        pooled: the run.
        apart: whether its images are others than those of the other run, also where their ids are equal.
    """

    label: str
    pooled: Pooled
    apart: bool = False

    @property
    def about(self) -> dict[str, Any]:
        """Its record."""
        return self.pooled.about

    @property
    def title(self) -> str:
        """Label and name."""
        return self.labelled(str(self.about["run"]))

    def labelled(self, text: str) -> str:
        """The text after the label, if there is one; names models, so that those of two runs differ."""
        return f"{self.label}: {text}" if self.label else text

    def named(self, table: pd.DataFrame) -> pd.DataFrame:
        """A table with labelled models."""
        return table.assign(model=table["model"].map(self.labelled)) if self.label else table

    def image(self, name: str) -> str:
        """Id of an image in the report."""
        return self.labelled(name) if self.apart else name

    def own_image(self, shown: str) -> str:
        """Id of an image in the run."""
        return shown.removeprefix(self.labelled("")) if self.apart else shown

    @cached_property
    def cells(self) -> Cells:
        """Its cells, with labelled models and the ids of the report."""
        own = self.pooled.cells
        return replace(own, keys=self.named(own.keys), images=tuple(map(self.image, own.images)))

    def unfinished(self) -> str:
        """A sentence on jobs that are not done; empty if all are."""
        chunks = -(-len(self.about["ids"]) // self.about["chunk_size"])
        names = set(self.about["explainers"])
        files = [part for folder in self.pooled.folders for part in part_files(folder, "rows")]
        done = {(part.model, part.explainer, chunk) for part in files if part.explainer in names for chunk in part.chunks}
        wanted = len(self.about["models"]) * len(names) * chunks
        if len(self.pooled.folders) > 1 or len(done) >= wanted:
            return ""
        return f"{self.title}: {len(done)} of {wanted} jobs are done; the same command again computes the others."


def open_runs(runs: Sequence[str | Path]) -> tuple[ReportRun, ...]:
    """Read the runs of a report: as one if they can be pooled, else two side by side.

    Raises:
        UsageError: no run, not a run, one run twice, or three or more that cannot be pooled.
        CamdbenchError: a file of a run is damaged.
    """
    places = [Path(run).resolve() for run in runs]
    if twice := next((run for run, place in zip(runs, places, strict=True) if places.count(place) > 1), None):
        raise UsageError(f"{twice}: given twice; give another run, or this one alone")
    try:
        return (ReportRun("", load_pooled(runs)),)
    except NotPooled as error:
        if len(runs) != 2:
            raise UsageError(f"{error.difference}; a report shows runs that can be pooled, or two others side by side") from None
    first, second = (load_pooled([run]) for run in runs)
    apart = _data_set(first) != _data_set(second)
    return ReportRun("A", first, apart), ReportRun("B", second, apart)


def _data_set(pooled: Pooled) -> tuple[str, str]:
    """Data set without options, and split: images of equal ids are the same in two runs on them."""
    config = pooled.about["config"]
    return str(config.get("dataset")).partition("(")[0], str(config.get("split"))
