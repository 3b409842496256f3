"""Requirements of a recipe: data, weights, trained networks and image passes."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass

from camdbench.core.cost import PassEstimate
from camdbench.core.registries import datasets, innermost, passes_of
from camdbench.core.spec import parse_spec
from camdbench.papers.jobs import JobSettings, Plan, plan
from camdbench.papers.table_recipe import PaperTable


@dataclass(frozen=True)
class Requirements:
    """Requirements of a recipe.

    Attributes:
        data: names of data sets on disk.
        weights: names of models of the zoo.
        trained: number of networks to train, without segmentation probes.
        cells: number of cells.
        missing: number of cells that cannot be measured.
        passes: image passes of all explainers for one image of each data set.
        work: image passes over all images, by architecture of the network.
    """

    data: tuple[str, ...]
    weights: tuple[str, ...]
    trained: int
    cells: int
    missing: int
    passes: PassEstimate
    work: dict[str, PassEstimate]


def requirements(table: PaperTable) -> Requirements:
    """Requirements of a complete run of a table."""
    planned = plan(table)
    settings = list(dict.fromkeys(setting for cell in planned.cells for setting in cell.jobs))
    names = dict.fromkeys(innermost(parse_spec(setting.dataset)).name for setting in settings)
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


def architecture(setting: JobSettings) -> str:
    """Architecture of the network of a setting."""
    if setting.training is not None:
        return str(setting.training.fields["network"])
    return str(setting.model).partition("@")[0]


def _work(planned: Plan, each: list[PassEstimate]) -> dict[str, PassEstimate]:
    images = {setting: cell.settings.paper_images or 0 for cell in planned.cells for setting in cell.jobs}
    found = dict[str, PassEstimate]()
    for job, passes in zip(planned.jobs, each, strict=True):
        name = architecture(job.setting)
        found[name] = found.get(name, PassEstimate()) + passes * images[job.setting]
    return found


def _sum(estimates: Iterable[PassEstimate]) -> PassEstimate:
    return sum(estimates, PassEstimate())
