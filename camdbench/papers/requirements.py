"""What a recipe needs: data, weights, networks to be trained, and image passes."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass

from camdbench.core.cost import PassEstimate
from camdbench.core.registries import NO_EXPLAINER, datasets, explainers
from camdbench.core.spec import Spec, parse_spec
from camdbench.papers.jobs import JobSettings, Plan, plan
from camdbench.papers.table_recipe import PaperTable


@dataclass(frozen=True)
class Requirements:
    """What a recipe needs beside time.

    Attributes:
        data: names of data sets that are read from disk.
        weights: names of the zoo's models.
        trained: number of networks to be trained first; segmentation probes on them are not counted.
        cells: number of cells.
        missing: number of cells that nothing helps.
        passes: image passes of all explainers for one image of each data set.
        work: image passes over all images, by the name of the network's architecture.
    """

    data: tuple[str, ...]
    weights: tuple[str, ...]
    trained: int
    cells: int
    missing: int
    passes: PassEstimate
    work: dict[str, PassEstimate]


def requirements(table: PaperTable) -> Requirements:
    """What there must be before a recipe can be run in full."""
    planned = plan(table)
    settings = list(dict.fromkeys(setting for cell in planned.cells for setting in cell.settings))
    names = dict.fromkeys(parse_spec(setting.dataset).name for setting in settings)
    each = [_sum(passes_of(parse_spec(name)) for name in job.explainers) for job in planned.jobs]
    return Requirements(
        data=tuple(name for name in names if datasets.get(name).facts.on_disk),
        weights=tuple(dict.fromkeys(setting.model for setting in settings if setting.model is not None)),
        trained=len({setting.training for setting in settings if setting.training is not None}),
        cells=len(planned.cells),
        missing=sum(bool(cell.reason) for cell in planned.cells),
        passes=_sum(each),
        work=_work(planned, each),
    )


def passes_of(spec: Spec) -> PassEstimate:
    """Image passes that an explainer makes for one image under its options.

    >>> str(passes_of(parse_spec("opticam"))), str(passes_of(parse_spec("opticam(iterations=10)")))
    ('201', '21')
    >>> str(passes_of(parse_spec("power(scorecam, alpha=2.0)")))
    'at least 2'
    """
    if spec == NO_EXPLAINER:
        return PassEstimate(forward=1)
    entry = explainers.get(spec.name)
    if entry.facts.cost is None:
        return PassEstimate(lower_bound=True)
    return entry.facts.cost.passes(entry.arguments(spec), _sum(map(passes_of, spec.wrapped)))


def architecture(setting: JobSettings) -> str:
    """The name of a setting's network without its weights."""
    if setting.training is not None:
        return str(setting.training.fields["network"])
    return str(setting.model).partition("@")[0]


def _work(planned: Plan, each: list[PassEstimate]) -> dict[str, PassEstimate]:
    images = {setting: cell.part.paper_images or 0 for cell in planned.cells for setting in cell.settings}
    found = dict[str, PassEstimate]()
    for job, passes in zip(planned.jobs, each, strict=True):
        name = architecture(job.setting)
        found[name] = found.get(name, PassEstimate()) + passes * images[job.setting]
    return found


def _sum(estimates: Iterable[PassEstimate]) -> PassEstimate:
    return sum(estimates, PassEstimate())
