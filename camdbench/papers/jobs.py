"""Plan of a table: the runs that measure its cells."""

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

_FOR_COSTS = "ad"  # metric of a run that measures the cost of an explainer


@dataclass(frozen=True)
class JobSettings:
    """Settings of a run or a probe besides explainers and metrics: one network on one data set."""

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
    """One call of `camdbench.run`, or of `camdbench.probe` if the setting has a probe."""

    setting: JobSettings
    explainers: tuple[str, ...]
    metrics: tuple[str, ...]

    @property
    def name(self) -> str:
        """Name with a hash of setting and metrics; it does not depend on the explainers."""
        setting = self.setting
        facts = {field.name: str(getattr(setting, field.name)) for field in fields(setting)} | {"metrics": self.metrics}
        digest = hashlib.sha256(json.dumps(facts, sort_keys=True).encode()).hexdigest()[:8]
        model = setting.training.name if setting.training else str(setting.model).replace("/", "-")
        return f"{model}-{setting.dataset.partition('(')[0]}-{digest}"


@dataclass(frozen=True)
class PlannedCell:
    """One cell of a table and its measurement.

    Attributes:
        paper: the paper's value.
        settings: merged settings of the cell.
        jobs: job settings, one per seed; empty if the cell cannot be measured.
        explainer: spec of the explainer, `none` for a metric of the model.
        metric: spec of the metric; for a cost, the metric of its run; for a probe, `miou`.
        reason: why the cell is not measured; empty if it is.
    """

    paper: PaperValue
    settings: CellSettings
    jobs: tuple[JobSettings, ...] = ()
    explainer: str = ""
    metric: str = ""
    reason: str = ""


@dataclass(frozen=True)
class Plan:
    """All cells of a table and their runs."""

    table: PaperTable
    small: bool
    cells: tuple[PlannedCell, ...]

    @property
    def jobs(self) -> tuple[ReproductionJob, ...]:
        """The runs; cells with equal settings whose explainers have the same metrics share a run."""
        found = dict[JobSettings, dict[str, list[str]]]()
        for cell in self.cells:
            for setting in cell.jobs:
                names = found.setdefault(setting, {}).setdefault(cell.explainer, [])
                names += [] if cell.metric in names else [cell.metric]
        return tuple(job for setting, by_explainer in found.items() for job in _jobs(setting, by_explainer))


def plan(table: PaperTable, *, small: bool = False, methods: Collection[str] = (), models: Collection[str] = ()) -> Plan:
    """Plan the measurement of every cell of a table.

    Args:
        table: the table.
        small: whether the embedded data set and networks are used.
        methods: labels of the methods; all if empty.
        models: labels of the networks; all if empty.
    """
    cells = list[PlannedCell]()
    for paper in table.values:
        if (methods and paper.method not in methods) or (models and paper.model not in models):
            continue
        settings = small_scale(table.settings(paper)) if small else table.settings(paper)
        missing = PlannedCell(paper, settings, reason=settings.not_runnable or "")
        cells.append(missing if settings.not_runnable else _plan_cell(table, paper, settings, small=small))
    return Plan(table, small, tuple(cells))


def _plan_cell(table: PaperTable, paper: PaperValue, settings: CellSettings, *, small: bool) -> PlannedCell:
    metric = METRIC if settings.probe is not None else settings.metric or (_FOR_COSTS if settings.measure else None)
    of_model = settings.probe is not None or (metric is not None and has_model_scope(metrics.parse_one(metric)))
    explainer = str(NO_EXPLAINER) if of_model else settings.explainer
    if explainer is not None and settings.wrapper is not None and not of_model:
        explainer = str(explainers.parse_one(f"{settings.wrapper}({explainer})"))
    required = {"dataset": settings.dataset, "metric": metric, "explainer": explainer, "model": settings.model or settings.training}
    if absent := [name for name, value in required.items() if value is None]:
        raise CamdbenchError(f"recipe {table.name}: no {absent[0]} for the cell {' / '.join(paper.labels)}; set it for one of its labels")
    jobs = tuple(_job_settings(settings, training) for training in _trainings(table, settings, small=small))
    return PlannedCell(paper, settings, jobs, str(explainer), str(metric))


def _trainings(table: PaperTable, settings: CellSettings, *, small: bool) -> list[Training | None]:
    """One training per seed; a single None for existing weights."""
    if settings.training is None:
        return [None]
    recipe = merge_nested(table.training, settings.training)
    recipe = small_training(recipe) if small else recipe
    paper = table.name.partition("-")[0] + ("-small" if small else "")
    seeds = settings.seeds or table.recipe.seeds
    return [Training.of(paper, recipe, seed) for seed in (seeds[:1] if small else seeds)]


def _job_settings(settings: CellSettings, training: Training | None) -> JobSettings:
    return JobSettings(
        dataset=str(settings.dataset),
        split=settings.split,
        sample=settings.sample,
        subset=settings.subset,
        model=None if training else settings.model,
        training=training,
        mean=settings.mean,
        std=settings.std,
        target=settings.target or "label",
        probe=None if settings.probe is None else ProbeSettings.of(settings.probe, training.fields["seed"] if training else 0),
    )


def _jobs(setting: JobSettings, by_explainer: dict[str, list[str]]) -> Iterable[ReproductionJob]:
    """Runs of a setting: explainers with the same metrics share a run and its passes."""
    groups = dict[tuple[str, ...], list[str]]()
    for explainer, names in by_explainer.items():
        groups.setdefault(tuple(sorted(names)), []).append(explainer)
    return [ReproductionJob(setting, tuple(group), names) for names, group in groups.items()]
