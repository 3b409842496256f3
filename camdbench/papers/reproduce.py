"""`camdbench.reproduce`: a table of a paper, ours beside what is printed."""

from __future__ import annotations

from collections.abc import Callable, Collection, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from camdbench.core.errors import CamdbenchError, unknown
from camdbench.core.files import replacing
from camdbench.core.provenance import code_hash
from camdbench.core.registries import NO_EXPLAINER, datasets
from camdbench.core.spec import parse_spec
from camdbench.datasets.open_dataset import check_dataset, open_dataset
from camdbench.papers.agreement import CellComparison, compare_cell
from camdbench.papers.checkpoints import Networks
from camdbench.papers.jobs import JobSettings, Plan, ReproductionJob, plan
from camdbench.papers.measured_values import ACCURACY, FinishedRun, key, measured_value
from camdbench.papers.paper_tables import paper_data, paper_tables
from camdbench.papers.probes import FinishedProbe, Probes
from camdbench.papers.recipe_files import load_table
from camdbench.papers.table_recipe import PaperTable
from camdbench.tables.render import to_csv, to_latex, to_markdown

Roots = str | Path | Mapping[str, str | Path] | None
Found = FinishedRun | FinishedProbe | str  # what measured a cell, or why nothing did


@dataclass(frozen=True)
class Reproduction:
    """A table of a paper, reproduced.

    Attributes:
        table: the recipe and the printed values.
        lines: one per cell, in the order of the paper.
        out: the folder with the runs.
    """

    table: PaperTable
    lines: tuple[CellComparison, ...]
    out: Path

    @property
    def failed(self) -> bool:
        """Whether a cell that can be measured was not."""
        return any(line.agreement == "not run" and line.ours.fault for line in self.lines)


def reproduce(
    name: str,
    *,
    data_root: Roots = None,
    limit: int | None = None,
    small: bool = False,
    out: str | Path | None = None,
    checkpoints: str | Path | None = None,
    methods: Collection[str] = (),
    models: Collection[str] = (),
    batch_size: int = 16,
    device: str = "auto",
    seed: int = 0,
    download: bool = False,
    train: bool = False,
    log: Callable[[str], None] | None = None,
) -> Reproduction:
    """Measure every cell of a table or figure of a paper that can be measured here, and compare it with the printed value.

    What is done already is not done again: each configuration has a run directory under `out`, whose name holds a hash of
    the code, and networks that were trained stay.

    Args:
        name: the recipe, such as `opticam-table1`.
        data_root: where data sets lie: one folder that holds each in a folder of its own name or directly, or a mapping from
            names of data sets to folders.
        limit: number of images of each data set: of one on disk drawn at random by the seed, else the first.
        small: on the embedded data set and networks instead of the paper's; nothing is compared then.
        out: folder for everything; `reproductions/NAME` where None, `reproductions/NAME-small` with `small`.
        checkpoints: folder with networks that were trained first; `OUT/checkpoints` where None.
        methods: labels of lines that are wanted; all where empty.
        models: labels of networks; all if empty.
        batch_size: images at a time.
        device: auto, cpu, cuda, cuda:N or mps.
        seed: seed of explainers that draw random numbers, and of samples of images.
        download: whether torchvision or timm may fetch weights.
        train: whether networks that have to be trained first are; with `small` they always are, small.
        log: callback for messages; default: none.

    Raises:
        UsageError: there is no such recipe, or no such label in it.
    """
    table = load_table(name)
    _check_labels(table, methods, models)
    planned = plan(table, small=small, methods=methods, models=models)
    folder = Path(out) if out is not None else Path("reproductions", f"{name}-small" if small else name)
    networks = Networks(
        checkpoints=Path(checkpoints or folder / "checkpoints"),
        recipes=folder / "training",
        small=small,
        train=train or small,
        root_of=lambda dataset: _root(dataset, data_root),
        device=device,
        log=log or _ignore,
    )
    probes = Probes(folder / "probes", folder / "training", train or small, device)
    given = {"batch_size": batch_size, "device": device, "seed": seed, "download": download}
    finished = dict[tuple[JobSettings, str], Found]()
    for number, job in enumerate(planned.jobs, start=1):
        what = ", ".join(job.explainers) if job.setting.probe is None else "segmentation probe"
        (log or _ignore)(f"{number}/{len(planned.jobs)} {job.name}: {what}")
        found = (
            _done(job, folder, networks, limit, given)
            if job.setting.probe is None
            else _probed(job.setting, table.name, networks, probes, limit)
        )
        finished |= {(job.setting, key(explainer, metric)): found for explainer in job.explainers for metric in job.metrics}
    return Reproduction(table, _lines(planned, finished), folder)


def write_tables(done: Reproduction) -> None:
    """Write `reproduction.md`, `reproduction.tex` and `reproduction.csv` into the folder of the runs, each whole or not at all."""
    done.out.mkdir(parents=True, exist_ok=True)
    tables = paper_tables(done.table, done.lines)
    texts = {"md": to_markdown(tables), "tex": to_latex(tables), "csv": to_csv(paper_data(done.lines))}
    for name, text in texts.items():
        with replacing(done.out / f"reproduction.{name}") as temporary:
            temporary.write_text(text, encoding="utf-8", newline="\n")


def _ignore(text: str) -> None:
    del text


def _check_labels(table: PaperTable, methods: Collection[str], models: Collection[str]) -> None:
    for kind, wanted, known in (
        ("method", methods, {cell.method for cell in table.printed}),
        ("model", models, {cell.model for cell in table.printed}),
    ):
        for label in wanted:
            if label not in known:
                raise unknown(f"{kind} of {table.name}", label, known)


def _lines(planned: Plan, finished: dict[tuple[JobSettings, str], Found]) -> tuple[CellComparison, ...]:
    return tuple(
        compare_cell(cell.printed, measured_value(cell, finished), small=planned.small, not_comparable=cell.part.not_comparable or "")
        for cell in planned.cells
    )


def _done(job: ReproductionJob, folder: Path, networks: Networks, limit: int | None, given: dict[str, Any]) -> Found:
    """The finished run of a job, or why there is none."""
    from camdbench.runner.run import run

    setting = job.setting
    judges = job.metrics if setting.subset is None or ACCURACY in job.metrics else (*job.metrics, ACCURACY)
    root = networks.root_of(setting.dataset)
    try:
        subset = _subset(setting, limit, root)
        part = "-".join([str(next(iter(subset.values()), "all")), f"seed{given['seed']}", code_hash()[:8]])
        rows = run(
            "none" if job.explainers == (str(NO_EXPLAINER),) else list(job.explainers),
            list(judges),
            models=[networks.name_of(setting)],
            dataset=setting.dataset,
            split=setting.split,
            data_root=root,
            mean=setting.mean,
            std=setting.std,
            target=setting.target,
            out=folder / "runs" / f"{job.name}-{part}",
            **given | subset,
        )
        return FinishedRun(Path(rows.attrs["run"]), setting.subset)
    except CamdbenchError as error:
        return str(error)


def _probed(setting: JobSettings, table: str, networks: Networks, probes: Probes, limit: int | None) -> Found:
    """The finished probe of a setting, or why there is none."""
    assert setting.probe is not None
    root = networks.root_of(setting.dataset)
    try:
        spec, split = check_dataset(setting.dataset, setting.split, root)
        count = next(iter(_subset(setting, limit, root).values()), None)
        recipe = setting.probe.recipe(table, networks.name_of(setting), str(spec), split, count)
        return probes.judged(recipe, split, root)
    except CamdbenchError as error:
        return str(error)


def _subset(setting: JobSettings, limit: int | None, data_root: str | None) -> dict[str, Any]:
    """Fewer images than all: a random sample of what is on disk, which is ordered by class as a rule; else the first.

    Where there are no more than that, all are taken.
    """
    counts = [count for count in (setting.sample, limit) if count is not None]
    if not counts:
        return {}
    spec, split = check_dataset(setting.dataset, setting.split, data_root)
    if not datasets.get(spec.name).facts.on_disk:
        return {"limit": min(counts)}
    there = len(open_dataset(spec, split, data_root).ids)
    return {"sample": min(counts)} if min(counts) < there else {}


def _root(dataset: str, data_root: Roots) -> str | None:
    """Where a data set lies: the folder given for it, or the folder of its name in the one folder, or that folder itself."""
    name = parse_spec(dataset).name
    if data_root is None or not datasets.get(name).facts.on_disk:
        return None
    if isinstance(data_root, Mapping):
        return str(data_root[name]) if name in data_root else None
    own = Path(data_root) / name
    return str(own if own.is_dir() else data_root)
