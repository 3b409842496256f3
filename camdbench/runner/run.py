"""`camdbench.run`: run explainers and metrics over a data set and write rows to a run directory."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import asdict
from pathlib import Path
from typing import TYPE_CHECKING, Any, Protocol

from camdbench.core.files import read_fields
from camdbench.core.references import has_reference
from camdbench.core.settings import fields_of, make_config, takes
from camdbench.core.spec import Spec
from camdbench.runner.config import RunConfig, Specs, check_config
from camdbench.tables.load import load_rows

if TYPE_CHECKING:
    import pandas as pd

    from camdbench.runner.resources import Resources


class Progress(Protocol):
    """Callbacks of a run; a job is one explainer on one chunk of images."""

    def start(self, root: Path, total: int, done: int) -> None:
        """Called before the first unit with the run directory, the number of jobs and the number of finished jobs."""
        ...

    def advance(self, jobs: int, what: str) -> None:
        """Called after each unit with its number of jobs and a description."""
        ...


class NullProgress:
    """Ignores all progress updates."""

    def start(self, root: Path, total: int, done: int) -> None:
        """Do nothing."""

    def advance(self, jobs: int, what: str) -> None:
        """Do nothing."""


@takes(RunConfig)
def run(
    explainers: Specs | None = None,
    metrics: Specs | None = None,
    *,
    config: RunConfig | Mapping[str, Any] | str | Path | None = None,
    resources: Resources | None = None,
    progress: Progress | None = None,
    **options: Any,
) -> pd.DataFrame:
    """Run explainers and metrics over a data set; finished parts are not recomputed.

    Args:
        explainers: explainer specs such as `"opticam(iterations=50),gradcam"`; `"all"`: every explainer whose annotations the
            data set has, except wrappers; `"controls"`; `"none"`.
        metrics: metric specs such as `"ad,ag"`; or `"all"`.
        **options: fields of `RunConfig`.
        config: a configuration, a mapping of options, or a YAML file of them with paths relative to it; options beside it take
            precedence.
        resources: models, data set or maps as objects. `models={name: classifier}` and `dataset=` may also be given directly.
        progress: callback for progress updates; default: none.

    Returns:
        One row per image, model, explainer and metric, with the columns of `core.row.Row`; values have the units of their
        metrics. `.attrs["run"]` is the run directory.

    Raises:
        UsageError: invalid configuration, or `out` holds another run.
        CamdbenchError: no image can be read, or a file cannot be written.
    """
    named = {name: own for name, own in (("explainers", explainers), ("metrics", metrics)) if own is not None}
    asked = read_config(config) | named | options
    if all(map(is_named, (asked.get(name) for name in ("explainers", "metrics", "models", "dataset")))):
        return _run(asked, resources, progress)
    from camdbench.runner.door import opened  # imports torch

    with opened(asked, resources) as (canonical, objects):
        return _run(canonical, objects, progress)


def _run(options: Mapping[str, Any], resources: Resources | None, progress: Progress | None) -> pd.DataFrame:
    request = check_config(make_config(RunConfig, options), resources)
    from camdbench.runner.executors import EXECUTORS  # imports torch, so only after the check
    from camdbench.runner.prepare import prepare, session_facts

    prepared, progress = prepare(request, resources), progress or NullProgress()
    (units, jobs), directory = prepared.missing(), prepared.directory
    assert directory is not None
    progress.start(directory.root, jobs, jobs - sum(len(unit.explainers) for unit in units))
    if units:
        with directory.session(**session_facts(prepared)) as session:
            for done in EXECUTORS[request.config.executor](prepared, units):
                own = len(done.unit.explainers)
                session.add(own, asdict(done.passes), done.boxes_dropped, batch_size=done.batch_size, machine=done.machine)
                progress.advance(own, f"{done.unit.model}, images {done.unit.start}-{done.unit.stop - 1}")
    directory.clear_partial()
    rows = load_rows(directory.root)
    chosen = rows[rows["explainer"].isin([str(spec) for spec in request.jobs])].reset_index(drop=True)
    chosen.attrs["run"] = str(directory.root)
    return chosen


def read_config(config: RunConfig | Mapping[str, Any] | str | Path | None) -> dict[str, Any]:
    """Options of a configuration, a mapping or a YAML file; paths in a file are relative to its folder.

    Raises:
        UsageError: the file does not exist or holds no mapping.
    """
    if not isinstance(config, str | Path):
        return {} if config is None else dict(vars(config) if isinstance(config, RunConfig) else config)
    file = Path(config)
    options = read_fields(file, "config =", "explainers: gradcam")
    paths = {item.name for item in fields_of(RunConfig) if item.setting.role == "resource"} | {"out"}
    return {name: str(file.parent / value) if name in paths and value is not None else value for name, value in options.items()}


def is_named(given: Any) -> bool:
    """Whether an option is not given, or holds nothing but names; a name may have a colon."""
    things = given if isinstance(given, list | tuple) else [given]
    return all(own is None or isinstance(own, Spec) or (isinstance(own, str) and not has_reference(own)) for own in things)
