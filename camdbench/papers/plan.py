"""From a recipe to the runs that fill its cells; pure."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Collection, Iterable
from dataclasses import dataclass, fields

from camdbench.core.catalogue import NO_EXPLAINER, explainers, judges_model, metrics
from camdbench.core.errors import CamdbenchError
from camdbench.core.nested import joined
from camdbench.papers.part import Part
from camdbench.papers.printed import Printed
from camdbench.papers.probing import METRIC, Probing
from camdbench.papers.recipe import Exhibit
from camdbench.papers.scaling import scaled, scaled_training
from camdbench.papers.training import Training

_FOR_COSTS = "ad"  # what is measured where only the time of an explainer is asked for


@dataclass(frozen=True)
class Setting:
    """What a run, or a probe, needs beside explainers and metrics: one network on one data set."""

    dataset: str
    split: str | None
    sample: int | None
    only: str | None
    model: str | None
    training: Training | None
    mean: tuple[float, ...] | float | None
    std: tuple[float, ...] | float | None
    target: str
    probe: Probing | None = None


@dataclass(frozen=True)
class Job:
    """One call of `camdbench.run`, or of `camdbench.probe` where the setting has one."""

    setting: Setting
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
class Cell:
    """One printed value and how ours is measured.

    Attributes:
        printed: the paper's.
        part: what all labels together say.
        settings: one per seed, a single one for weights that are there; empty where it cannot be measured.
        explainer: spec of the explainer, `none` for a metric of the model alone.
        metric: spec of the metric; of a cost, what is measured beside it; of a probe, `miou`.
        reason: why it is not measured; empty where it is.
    """

    printed: Printed
    part: Part
    settings: tuple[Setting, ...] = ()
    explainer: str = ""
    metric: str = ""
    reason: str = ""


@dataclass(frozen=True)
class Plan:
    """All cells of a table and the runs that they need."""

    exhibit: Exhibit
    scaled: bool
    cells: tuple[Cell, ...]

    @property
    def jobs(self) -> tuple[Job, ...]:
        """The runs, each once: cells of one setting that ask for the same metrics of their explainer share one."""
        wanted = dict[Setting, dict[str, list[str]]]()
        for cell in self.cells:
            for setting in cell.settings:
                asked = wanted.setdefault(setting, {}).setdefault(cell.explainer, [])
                asked += [] if cell.metric in asked else [cell.metric]
        return tuple(job for setting, by_explainer in wanted.items() for job in _jobs(setting, by_explainer))


def plan(exhibit: Exhibit, *, scaled_down: bool = False, methods: Collection[str] = (), models: Collection[str] = ()) -> Plan:
    """How every cell of a table is measured.

    Args:
        exhibit: the table.
        scaled_down: on the embedded data set and networks.
        methods: labels of the lines that are wanted; all where empty.
        models: labels of the networks, likewise.
    """
    cells = list[Cell]()
    for printed in exhibit.printed:
        if (methods and printed.method not in methods) or (models and printed.model not in models):
            continue
        part = scaled(exhibit.part(printed)) if scaled_down else exhibit.part(printed)
        missing = Cell(printed, part, reason=part.missing or "")
        cells.append(missing if part.missing else _measured(exhibit, printed, part, scaled_down=scaled_down))
    return Plan(exhibit, scaled_down, tuple(cells))


def _measured(exhibit: Exhibit, printed: Printed, part: Part, *, scaled_down: bool) -> Cell:
    metric = METRIC if part.probe is not None else part.metric or (_FOR_COSTS if part.cost else None)
    alone = part.probe is not None or (metric is not None and judges_model(metrics.parse_one(metric)))
    explainer = str(NO_EXPLAINER) if alone else part.explainer
    if explainer is not None and part.within is not None and not alone:
        explainer = str(explainers.parse_one(f"{part.within}({explainer})"))
    unsaid = {"dataset": part.dataset, "metric": metric, "explainer": explainer, "model": part.model or part.training}
    if absent := [name for name, value in unsaid.items() if value is None]:
        raise CamdbenchError(f"recipe {exhibit.name}: nothing says the {absent[0]} of the cell {' / '.join(printed.labels)}")
    trainings = _trainings(exhibit, part, scaled_down=scaled_down)
    return Cell(printed, part, tuple(_setting(part, training) for training in trainings), str(explainer), str(metric))


def _trainings(exhibit: Exhibit, part: Part, *, scaled_down: bool) -> list[Training | None]:
    """One per seed; a single None for weights that are there."""
    if part.training is None:
        return [None]
    recipe = joined(exhibit.training, part.training)
    recipe = scaled_training(recipe) if scaled_down else recipe
    paper = exhibit.name.partition("-")[0] + ("-scaled" if scaled_down else "")
    seeds = part.seeds or exhibit.recipe.seeds
    return [Training.of(paper, recipe, seed) for seed in (seeds[:1] if scaled_down else seeds)]


def _setting(part: Part, training: Training | None) -> Setting:
    return Setting(
        dataset=str(part.dataset),
        split=part.split,
        sample=part.sample,
        only=part.only,
        model=None if training else part.model,
        training=training,
        mean=part.mean,
        std=part.std,
        target=part.target or "label",
        probe=None if part.probe is None else Probing.of(part.probe, training.fields["seed"] if training else 0),
    )


def _jobs(setting: Setting, by_explainer: dict[str, list[str]]) -> Iterable[Job]:
    """Explainers whose metrics are the same share a run, which shares their passes."""
    groups = dict[tuple[str, ...], list[str]]()
    for explainer, asked in by_explainer.items():
        groups.setdefault(tuple(sorted(asked)), []).append(explainer)
    return [Job(setting, tuple(names), asked) for asked, names in groups.items()]
