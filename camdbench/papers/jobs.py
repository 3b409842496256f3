"""From a recipe to the runs that fill its cells; pure."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Collection, Iterable
from dataclasses import dataclass, fields

from camdbench.core.errors import CamdbenchError
from camdbench.core.merging import merge_nested
from camdbench.core.registries import NO_EXPLAINER, explainers, has_model_scope, metrics
from camdbench.papers.cell_settings import CellSettings
from camdbench.papers.paper_values import PaperValue
from camdbench.papers.probes import METRIC, ProbeSettings
from camdbench.papers.small_scale import small_scale, small_training
from camdbench.papers.table_recipe import PaperTable
from camdbench.papers.training import Training

_FOR_COSTS = "ad"  # what is measured where only the time of an explainer is asked for


@dataclass(frozen=True)
class JobSettings:
    """What a run, or a probe, needs beside explainers and metrics: one network on one data set."""

    dataset: str
    split: str | None
    sample: int | None
    subset: str | None
    model: str | None
    training: Training | None
    mean: tuple[float, ...] | float | None
    std: tuple[float, ...] | float | None
    target: str
    probe: ProbeSettings | None = None


@dataclass(frozen=True)
class ReproductionJob:
    """One call of `camdbench.run`, or of `camdbench.probe` where the setting has one."""

    setting: JobSettings
    explainers: tuple[str, ...]
    metrics: tuple[str, ...]

    @property
    def name(self) -> str:
        """The same for the same work; explainers may be added to it."""
        setting = self.setting
        written = {field.name: str(getattr(setting, field.name)) for field in fields(setting)} | {"metrics": self.metrics}
        digest = hashlib.sha256(json.dumps(written, sort_keys=True).encode()).hexdigest()[:8]
        model = setting.training.name if setting.training else str(setting.model).replace("/", "-")
        return f"{model}-{setting.dataset.partition('(')[0]}-{digest}"


@dataclass(frozen=True)
class PlannedCell:
    """One printed value and how ours is measured.

    Attributes:
        printed: the paper's.
        part: what all labels together say.
        settings: one per seed, a single one for weights that are there; empty where it cannot be measured.
        explainer: spec of the explainer, `none` for a metric of the model alone.
        metric: spec of the metric; of a cost, what is measured beside it; of a probe, `miou`.
        reason: why it is not measured; empty where it is.
    """

    printed: PaperValue
    part: CellSettings
    settings: tuple[JobSettings, ...] = ()
    explainer: str = ""
    metric: str = ""
    reason: str = ""


@dataclass(frozen=True)
class Plan:
    """All cells of a table and the runs that they need."""

    table: PaperTable
    small: bool
    cells: tuple[PlannedCell, ...]

    @property
    def jobs(self) -> tuple[ReproductionJob, ...]:
        """The runs, each once: cells of one setting that ask for the same metrics of their explainer share one."""
        wanted = dict[JobSettings, dict[str, list[str]]]()
        for cell in self.cells:
            for setting in cell.settings:
                asked = wanted.setdefault(setting, {}).setdefault(cell.explainer, [])
                asked += [] if cell.metric in asked else [cell.metric]
        return tuple(job for setting, by_explainer in wanted.items() for job in _jobs(setting, by_explainer))


def plan(table: PaperTable, *, small: bool = False, methods: Collection[str] = (), models: Collection[str] = ()) -> Plan:
    """How every cell of a table is measured.

    Args:
        table: the table.
        small: on the embedded data set and networks.
        methods: labels of the lines that are wanted; all where empty.
        models: labels of the networks; all if empty.
    """
    cells = list[PlannedCell]()
    for printed in table.printed:
        if (methods and printed.method not in methods) or (models and printed.model not in models):
            continue
        part = small_scale(table.settings(printed)) if small else table.settings(printed)
        missing = PlannedCell(printed, part, reason=part.not_runnable or "")
        cells.append(missing if part.not_runnable else _measured(table, printed, part, small=small))
    return Plan(table, small, tuple(cells))


def _measured(table: PaperTable, printed: PaperValue, part: CellSettings, *, small: bool) -> PlannedCell:
    metric = METRIC if part.probe is not None else part.metric or (_FOR_COSTS if part.measure else None)
    alone = part.probe is not None or (metric is not None and has_model_scope(metrics.parse_one(metric)))
    explainer = str(NO_EXPLAINER) if alone else part.explainer
    if explainer is not None and part.wrapper is not None and not alone:
        explainer = str(explainers.parse_one(f"{part.wrapper}({explainer})"))
    unsaid = {"dataset": part.dataset, "metric": metric, "explainer": explainer, "model": part.model or part.training}
    if absent := [name for name, value in unsaid.items() if value is None]:
        raise CamdbenchError(f"recipe {table.name}: no {absent[0]} for the cell {' / '.join(printed.labels)}")
    trainings = _trainings(table, part, small=small)
    return PlannedCell(printed, part, tuple(_setting(part, training) for training in trainings), str(explainer), str(metric))


def _trainings(table: PaperTable, part: CellSettings, *, small: bool) -> list[Training | None]:
    """One per seed; a single None for weights that are there."""
    if part.training is None:
        return [None]
    recipe = merge_nested(table.training, part.training)
    recipe = small_training(recipe) if small else recipe
    paper = table.name.partition("-")[0] + ("-small" if small else "")
    seeds = part.seeds or table.recipe.seeds
    return [Training.of(paper, recipe, seed) for seed in (seeds[:1] if small else seeds)]


def _setting(part: CellSettings, training: Training | None) -> JobSettings:
    return JobSettings(
        dataset=str(part.dataset),
        split=part.split,
        sample=part.sample,
        subset=part.subset,
        model=None if training else part.model,
        training=training,
        mean=part.mean,
        std=part.std,
        target=part.target or "label",
        probe=None if part.probe is None else ProbeSettings.of(part.probe, training.fields["seed"] if training else 0),
    )


def _jobs(setting: JobSettings, by_explainer: dict[str, list[str]]) -> Iterable[ReproductionJob]:
    """Explainers whose metrics are the same share a run, which shares their passes."""
    groups = dict[tuple[str, ...], list[str]]()
    for explainer, asked in by_explainer.items():
        groups.setdefault(tuple(sorted(asked)), []).append(explainer)
    return [ReproductionJob(setting, tuple(names), asked) for asked, names in groups.items()]
