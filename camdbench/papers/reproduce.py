"""`camdbench.reproduce`: measure the cells of a paper's table and compare them with the printed values."""

from __future__ import annotations

from collections.abc import Callable, Collection, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from camdbench.core.errors import CamdbenchError, UnwritableFile, unknown
from camdbench.core.provenance import code_hash
from camdbench.core.registries import NO_EXPLAINER, dataset_facts, datasets, innermost
from camdbench.core.spec import parse_spec
from camdbench.core.written_files import make_folder, write_whole
from camdbench.datasets.open_dataset import check_dataset, open_dataset
from camdbench.models.zoo import load_classifier
from camdbench.papers.agreement import CellComparison, compare_cell
from camdbench.papers.checkpoints import Networks
from camdbench.papers.jobs import JobSettings, Plan, ReproductionJob, plan
from camdbench.papers.measured_values import ACCURACY, FinishedRun, key, measured_value
from camdbench.papers.paper_tables import EMBEDDED, paper_data, paper_tables
from camdbench.papers.probes import FinishedProbe, Probes
from camdbench.papers.recipe_files import load_table
from camdbench.papers.table_recipe import PaperTable
from camdbench.tables.render import to_csv, to_latex, to_markdown

Roots = str | Path | Mapping[str, str | Path] | None
Found = FinishedRun | FinishedProbe | str  # measurement of a cell, or an error message


@dataclass(frozen=True)
class Reproduction:
    """A reproduced table.

    Attributes:
        table: recipe and printed values.
        lines: comparisons of all cells, in the order of the paper.
        out: folder of the runs.
        runs: directories of the finished runs.
    """

    table: PaperTable
    lines: tuple[CellComparison, ...]
    out: Path
    runs: tuple[Path, ...]

    @property
    def failed(self) -> bool:
        """Whether the measurement of a cell failed."""
        return any(line.agreement == "not run" and line.measured.fault for line in self.lines)


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
    """Measure every runnable cell of a table or figure, and compare it with the printed value.

    Finished work is reused: each configuration has a run directory under `out`, whose name holds a hash of the code, and
    trained networks are kept.

    Args:
        name: name of a recipe, such as `opticam-table1`, or path of a recipe FILE.yaml with FILE.csv beside it.
        data_root: folder of all data sets, each in a sub-folder of its name or directly inside; or a mapping from names of
            data sets to folders.
        limit: number of images of each data set: a random sample of a data set on disk, else the first.
        small: use the embedded data set and networks; values are not compared.
        out: output folder; default: `reproductions/NAME`, or `reproductions/NAME-small` with `small`.
        checkpoints: folder of trained networks; default: `OUT/checkpoints`.
        methods: labels of methods; all if empty.
        models: labels of networks; all if empty.
        batch_size: number of images per batch.
        device: auto, cpu, cuda, cuda:N or mps.
        seed: seed of stochastic explainers and of samples of images.
        download: whether torchvision and timm may download weights.
        train: whether missing networks are trained; always with `small`.
        log: callback for messages; default: none.

    Raises:
        UsageError: unknown recipe or label, or `out` cannot be written.
        UnwritableFile: a file cannot be written; finished work is kept.
    """
    table = load_table(name)
    _check_labels(table, methods, models)
    planned = plan(table, small=small, methods=methods, models=models)
    folder = Path(out) if out is not None else Path("reproductions", f"{table.name}-small" if small else table.name)
    make_folder(folder, "--out")
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
    if small and log:
        log(f"--small: {EMBEDDED}; values are not compared")
    given = {"batch_size": batch_size, "device": device, "seed": seed, "download": download}
    finished = dict[tuple[JobSettings, str], Found]()
    for number, job in enumerate(planned.jobs, start=1):
        what = ", ".join(job.explainers) if job.setting.probe is None else "segmentation probe"
        (log or _ignore)(f"{number}/{len(planned.jobs)} {job.name}: {what}")
        found = (
            _run_job(job, folder, networks, limit, given)
            if job.setting.probe is None
            else _run_probe(job.setting, table.name, networks, probes, limit)
        )
        finished |= {(job.setting, key(explainer, metric)): found for explainer in job.explainers for metric in job.metrics}
    runs = dict.fromkeys(found.folder for found in finished.values() if isinstance(found, FinishedRun))
    return Reproduction(table, _lines(planned, finished), folder, tuple(runs))


def write_tables(done: Reproduction) -> None:
    """Write `reproduction.md`, `reproduction.tex` and `reproduction.csv` atomically into the folder of the runs.

    Raises:
        UnwritableFile: a file cannot be written.
    """
    tables = paper_tables(done.table, done.lines)
    texts = {"md": to_markdown(tables), "tex": to_latex(tables), "csv": to_csv(paper_data(done.lines))}
    for name, text in texts.items():
        write_whole(done.out / f"reproduction.{name}", text, resumes=True)


def _ignore(text: str) -> None:
    del text


def _check_labels(table: PaperTable, methods: Collection[str], models: Collection[str]) -> None:
    for kind, wanted, known in (
        ("method", methods, {cell.method for cell in table.values}),
        ("model", models, {cell.model for cell in table.values}),
    ):
        for label in wanted:
            if label not in known:
                raise unknown(kind, label, known, of=table.name)


def _lines(planned: Plan, finished: dict[tuple[JobSettings, str], Found]) -> tuple[CellComparison, ...]:
    return tuple(
        compare_cell(cell.paper, measured_value(cell, finished), small=planned.small, not_comparable=cell.settings.not_comparable or "")
        for cell in planned.cells
    )


def _run_job(job: ReproductionJob, folder: Path, networks: Networks, limit: int | None, given: dict[str, Any]) -> Found:
    """Run a job; returns the finished run or an error message."""
    from camdbench.runner.run import complete

    setting = job.setting
    metrics = job.metrics if setting.subset is None or ACCURACY in job.metrics else (*job.metrics, ACCURACY)
    root = networks.root_of(setting.dataset)
    try:
        subset = _subset(setting, limit, root)
        part = "-".join([str(next(iter(subset.values()), "all")), f"seed{given['seed']}", code_hash()[:8]])
        options = {
            "explainers": "none" if job.explainers == (str(NO_EXPLAINER),) else list(job.explainers),
            "metrics": list(metrics),
            "models": [networks.name_of(setting)],
            "dataset": setting.dataset,
            "split": setting.split,
            "data_root": root,
            "mean": setting.mean,
            "std": setting.std,
            "target": setting.target,
            "out": folder / "runs" / f"{job.name}-{part}",
        }
        done = complete(None, options | given | subset, None, None)
        return FinishedRun(done.directory, setting.subset)
    except UnwritableFile:  # of the disk, so every cell would fail
        raise
    except CamdbenchError as error:
        return str(error)


def _run_probe(setting: JobSettings, table: str, networks: Networks, probes: Probes, limit: int | None) -> Found:
    """Train or load the probe of a setting; returns the finished probe or an error message."""
    assert setting.probe is not None
    root = networks.root_of(setting.dataset)
    try:
        spec, split = check_dataset(setting.dataset, setting.split, root)
        count = next(iter(_subset(setting, limit, root).values()), None)
        recipe = setting.probe.recipe(table, networks.name_of(setting), str(spec), split, count)
        return probes.result(recipe, split, root)
    except UnwritableFile:  # of the disk, so every cell would fail
        raise
    except CamdbenchError as error:
        return str(error)


def _subset(setting: JobSettings, limit: int | None, data_root: str | None) -> dict[str, Any]:
    """Option of `run` for the number of images: `sample` on disk, where images are ordered by class, else `limit`; empty: all."""
    counts = [count for count in (setting.sample, limit) if count is not None]
    if not counts:
        return {}
    spec, split = check_dataset(setting.dataset, setting.split, data_root)
    if not dataset_facts(spec).on_disk:
        return {"limit": min(counts)}
    total = len(open_dataset(spec, split, data_root, load=load_classifier).ids)
    return {"sample": min(counts)} if min(counts) < total else {}


def _root(dataset: str, data_root: Roots) -> str | None:
    """Folder of a data set: its entry in a mapping, else the sub-folder of its name, else the folder itself."""
    name = innermost(parse_spec(dataset)).name
    if data_root is None or not datasets.get(name).facts.on_disk:
        return None
    if isinstance(data_root, Mapping):
        return str(data_root[name]) if name in data_root else None
    own = Path(data_root) / name
    return str(own if own.is_dir() else data_root)
