"""Finished runs of several networks, read as one, with what an audit needs of them."""

from __future__ import annotations

from collections.abc import Generator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from shlex import quote
from typing import TYPE_CHECKING, Any

import numpy as np
import pandas as pd

from camdbench.core.errors import UsageError
from camdbench.core.registries import NO_EXPLAINER
from camdbench.core.spec import parse_spec
from camdbench.tables.cell_values import STATUSES, Cells
from camdbench.tables.load import load_rows, load_run
from camdbench.tables.pool import NotPooled, Pooled, load_pooled
from camdbench.tables.seed_groups import seeded_network
from camdbench.tables.summary import is_control_of, metric_fact

if TYPE_CHECKING:
    from camdbench.models.classifier import Classifier

DATA = "shortcuts"  # the data set of which objects and backgrounds can be drawn anew
ORACLES = ("gtbox", "gtbox_complement", "gtmask")  # maps made from the annotations that localisation metrics read
_NONE = str(NO_EXPLAINER)
_SHOWN = 3  # names in a message


@dataclass(frozen=True)
class AuditedRuns:
    """Runs with the same data and images, and different networks, explainers or metrics.

    Attributes:
        pooled: the runs, read as one.
        records: record of each run, in the order of `pooled.folders`.
    """

    pooled: Pooled
    records: tuple[dict[str, Any], ...]

    @property
    def about(self) -> dict[str, Any]:
        """Record of all runs."""
        return self.pooled.about

    @property
    def images(self) -> tuple[str, ...]:
        """Ids of the N images, in the order of the data set."""
        return tuple(self.about["ids"])

    @property
    def dataset(self) -> str:
        """Spec of the data set in rows."""
        return str(self.pooled.cells.keys["dataset"].iloc[0])

    @property
    def split(self) -> str:
        """Name of the split."""
        return str(self.about["config"]["split"])

    @property
    def is_drawn(self) -> bool:
        """Whether the data set is one of which objects and backgrounds can be drawn anew."""
        return parse_spec(str(self.about["config"]["dataset"])).name == DATA

    @cached_property
    def models(self) -> tuple[str, ...]:
        """Names of the M networks in rows."""
        return tuple(dict.fromkeys(name for record in self.records for name in record["models"]))

    @property
    def recipes(self) -> tuple[str, ...]:
        """Training recipe of each network; networks of one recipe differ in their seed alone."""
        return tuple(seeded_network(name, self.about["models"][name]).recipe for name in self.models)

    @cached_property
    def explainers(self) -> tuple[str, ...]:
        """Specs of the E explainers of which every network has values, in the order of the runs."""
        return self._of_every_network("explainer")

    @cached_property
    def metrics(self) -> tuple[str, ...]:
        """Specs of the metrics of maps with a direction, of which every network has values."""
        return tuple(name for name in self._of_every_network("metric") if metric_fact(name, "higher_is_better", self.about) is not None)

    @property
    def left_out(self) -> tuple[str, ...]:
        """Specs of explainers and metrics of maps of which a network has no values."""
        keys = self.pooled.cells.keys
        maps = keys[keys["explainer"] != _NONE]
        kept = {"explainer": self.explainers, "metric": self._of_every_network("metric")}
        return tuple(name for kind, own in kept.items() for name in maps[kind].unique() if name not in own)

    def _of_every_network(self, kind: str) -> tuple[str, ...]:
        keys = self.pooled.cells.keys
        maps = keys[keys["explainer"] != _NONE]
        found = [set(maps.loc[maps["model"] == model, kind]) for model in self.models]
        return tuple(name for name in self._named(f"{kind}s") if all(name in own for own in found))

    def _named(self, kind: str) -> list[str]:
        """Names of a kind in the order of the runs."""
        return list(dict.fromkeys(name for record in self.records for name in record[kind]))

    @property
    def sets(self) -> tuple[str, ...]:
        """Set of each explainer: real, control, or oracle, which is made from the annotations."""
        return tuple(set_of(name, self.about) for name in self.explainers)

    def values(self, metric: str) -> np.ndarray:
        """Values (M, E, N) of a metric, turned so that more is better; NaN where there is none."""
        cells, sign = self._cells, 1.0 if metric_fact(metric, "higher_is_better", self.about) else -1.0
        own = cells.keys.index[(cells.keys["metric"] == metric) & cells.keys["explainer"].isin(self.explainers)]
        found = np.full((len(self.models), len(self.explainers), len(self.images)), np.nan)
        model = pd.Index(self.models).get_indexer(pd.Index(cells.keys.loc[own, "model"]))
        explainer = pd.Index(self.explainers).get_indexer(pd.Index(cells.keys.loc[own, "explainer"]))
        found[model, explainer] = sign * np.take(cells.values, np.asarray(own), axis=0)
        return found

    @cached_property
    def _cells(self) -> Cells:
        """The cells over the images in the order of the data set."""
        return self.pooled.cells.over(self.images)

    def folder_of(self, model: str, explainer: str) -> tuple[Path, dict[str, Any]] | None:
        """The run that explains a network with an explainer, and its record; None if there is none."""
        for folder, record in zip(self.pooled.folders, self.records, strict=True):
            if model in record["models"] and explainer in record["explainers"]:
                return folder, record
        return None

    def targets(self, model: str) -> np.ndarray:
        """Explained class (N,) of each image with a network, as in the run; -1 if unknown."""
        keys = self.pooled.cells.keys
        first = keys[keys["model"] == model].iloc[0]
        folder = next(
            own
            for own, record in zip(self.pooled.folders, self.records, strict=True)
            if model in record["models"] and first["explainer"] in (*record["explainers"], _NONE) and first["metric"] in record["metrics"]
        )
        rows = load_rows(folder, metrics=[first["metric"]], explainers=[first["explainer"]])
        rows = rows[rows["model"] == model].set_index("image")["target"]
        return rows.reindex(list(self.images), fill_value=-1).to_numpy(dtype=np.int64)

    @contextmanager
    def open_model(self, model: str, *, device: str = "auto") -> Generator[Classifier]:
        """Open a network as its run did.

        Raises:
            UsageError: it is not there any more, was an object of a Python session, or has other weights.
        """
        from camdbench.runner.open_images import open_models

        folder, record = next(
            (folder, record) for folder, record in zip(self.pooled.folders, self.records, strict=True) if model in record["models"]
        )
        with open_models(folder, record, device=device) as resources:
            asked = list(resources.checked_request.models)
            place = list(record["models"]).index(model)
            classifier = resources.classifier(asked[place] if len(asked) == len(record["models"]) else model)
            made, now = record["models"][model].get("weights_hash"), classifier.weights_hash()
            if made != now:
                raise UsageError(
                    f"{folder}: model {model}: its weights are others now ({now}, in the run {made}); restore them or repeat the run"
                )
            yield classifier


def set_of(explainer: str, about: Mapping[str, Any]) -> str:
    """Set of an explainer: `oracle` if it reads annotations, `control` if it depends on neither network nor class, else `real`."""
    if any(part.name in ORACLES for part in parse_spec(explainer).walk()):
        return "oracle"
    return "control" if is_control_of(explainer, about) else "real"


def open_runs(runs: Sequence[str | Path]) -> AuditedRuns:
    """Read finished runs with the same data and images as one.

    Raises:
        UsageError: no run, a run that is not finished, runs that contradict each other, or no explainer.
        CamdbenchError: a file is damaged.
    """
    folders = [Path(run) for run in runs]
    records = tuple(load_run(folder) for folder in folders)
    try:
        pooled = load_pooled(folders)
    except NotPooled as error:
        raise UsageError(f"{error.difference}; give runs of the same data and images, in which each cell occurs once") from None
    _refuse_unfinished(pooled, records)
    found = AuditedRuns(pooled, records)
    if not found.metrics:
        raise UsageError(f"{folders[0]}: no metric of maps with a direction; give runs with metrics such as insertion,deletion")
    if not found.explainers:
        raise UsageError(f"{folders[0]}: no explainer that every network has; give runs with the same explainers for each network")
    return found


def _refuse_unfinished(pooled: Pooled, records: Sequence[Mapping[str, Any]]) -> None:
    """Raise UsageError if an explainer lacks images of a metric of its run."""
    cells, count = pooled.cells, len(pooled.about["ids"])
    names = cells.keys[["model", "explainer", "metric"]].itertuples(index=False, name=None)
    there = dict(zip(names, np.count_nonzero(cells.over(pooled.about["ids"]).status, axis=1), strict=True))
    for folder, record in zip(pooled.folders, records, strict=True):
        scored = [name for name, facts in record["metrics"].items() if facts.get("scope", "map") == "map"]
        asked = [(model, explainer, metric) for model in record["models"] for explainer in record["explainers"] for metric in scored]
        pairs = list(dict.fromkeys(f"{key[1]} on {key[0]}" for key in asked if there.get(key, 0) < count))
        if pairs:
            more = f" and {len(pairs) - _SHOWN} more" if len(pairs) > _SHOWN else ""
            again = f"camdbench run --config {quote(str(folder / 'run.yaml'))} --out {quote(str(folder))}"
            raise UsageError(f"{folder}: not finished, as it lacks images of {', '.join(pairs[:_SHOWN])}{more}; finish it: {again}")


def missing_values(runs: AuditedRuns) -> list[tuple[str, int]]:
    """Values that are missing because of an error or as they have no meaning: text of model, explainer and metric, and images."""
    cells = runs.pooled.cells
    wrong = np.isin(cells.status, [STATUSES.index("error"), STATUSES.index("not_applicable")]).sum(1)
    names = cells.keys["metric"] + " of " + cells.keys["explainer"] + " on " + cells.keys["model"]
    return [(str(name), int(count)) for name, count in zip(names, wrong, strict=True) if count]
