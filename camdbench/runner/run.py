"""`camdbench.run`: run explainers and metrics over a data set and write rows to a run directory."""

from __future__ import annotations

from collections.abc import Generator, Mapping
from contextlib import ExitStack, closing, contextmanager
from dataclasses import asdict
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal, NamedTuple

from camdbench.core.errors import UsageError
from camdbench.core.files import read_fields
from camdbench.core.model_names import with_absolute_folders
from camdbench.core.network_options import check_choice
from camdbench.core.objective_names import parse_objective
from camdbench.core.option_types import Methods
from camdbench.core.own_modules import is_module
from camdbench.core.progress import Progress, showing
from camdbench.core.references import has_reference, relative_to
from camdbench.core.registry import load_plugin
from camdbench.core.settings import fields_of, make_config, takes
from camdbench.core.spec import Spec
from camdbench.datasets.open_dataset import is_own_data, is_path, table_in
from camdbench.runner.config import Request, RunConfig, check_config
from camdbench.runner.data_options import DATA_OPTIONS, with_data_options
from camdbench.tables.load import load_rows
from camdbench.tables.result_rows import Rows

if TYPE_CHECKING:
    from camdbench.runner.resources import Resources


OwnFiles = Literal["original", "copy"]  # which Python files of a configuration are loaded


@takes(RunConfig)
def run(
    explainers: Methods | None = None,
    metrics: Methods | None = None,
    *,
    config: RunConfig | Mapping[str, Any] | str | Path | None = None,
    resources: Resources | None = None,
    progress: Progress | bool | None = None,
    labels: Any = None,
    boxes: Any = None,
    masks: Any = None,
    columns: Mapping[str, str] | str | None = None,
    images: str | Path | None = None,
    preprocess: str | None = None,
    size: int | None = None,
    own: OwnFiles = "original",
    **options: Any,
) -> Rows:
    """Run explainers and metrics over a data set; finished parts are not recomputed.

    Args:
        explainers: specs such as `"opticam(iterations=50),gradcam"`; references `[NAME=]FILE.py:FUNCTION(options)`; functions and
            objects of Captum or pytorch-grad-cam; a sequence, or a mapping from names in rows. `"all"`: every explainer whose
            annotations the data set has, except wrappers; `"controls"`; `"none"`.
        metrics: specs such as `"ad,ag"`; references; functions and objects of Quantus; a sequence or a mapping; or `"all"`.
        **options: fields of `RunConfig`.
        config: a configuration, a mapping of options, or a YAML file of them with paths relative to it; options beside it take
            precedence.
        resources: models, data set or maps as objects. `models`, `dataset` and `maps` may also be objects themselves.
        progress: callback for progress updates; True shows a bar, False nothing; default: a bar in a notebook
            and on a terminal, elsewhere the logger `camdbench` at level INFO.
        labels: as for `camdbench.data`, with your data; so are boxes, masks, columns and images.
        boxes: of each image.
        masks: of each image.
        columns: columns of a table by role, such as `"image=file,label=class"`.
        images: folder of the pictures of a table or a COCO file.
        preprocess: preprocessing of any data set of image files; `model`: that of the models.
        size: side of the input in pixels.
        own: `copy` takes the Python files that `config` names from the folder `own` beside it, not from where they were.

    Returns:
        One row per image, model, explainer and metric, with the columns of `core.row.Row`; values have the units of their
        metrics. With `shard`: those of its images. `.directory` and `.attrs["run"]` are the run directory, `.summary()` the summary that
        a notebook shows.

    Raises:
        UsageError: invalid configuration, or `out` holds another run.
        CamdbenchError: no image can be read, or a file cannot be written.
    """
    named = {"explainers": explainers, "metrics": metrics, "own": own}
    named |= dict(zip(DATA_OPTIONS, (labels, boxes, masks, columns, images, preprocess, size), strict=True))
    given = {name: value for name, value in named.items() if value is not None} | options  # others are those of the configuration
    return complete(config, given, resources, progress).rows()


class CompleteRun(NamedTuple):
    """A run of which no part is missing, or a shard of it.

    Attributes:
        directory: the run directory.
        explainers: specs of its explainers, as in rows; the directory may hold more.
        chunks: chunks of the shard; default: all.
        shard: a line on what the shard did; empty for all chunks.
    """

    directory: Path
    explainers: tuple[str, ...]
    chunks: range | None = None
    shard: str = ""

    def rows(self) -> Rows:
        """Return its rows."""
        found = load_rows(self.directory, chunks=self.chunks)
        own = found["explainer"].isin(self.explainers)
        rows = Rows(found if own.all() else found[own].reset_index(drop=True))
        rows.attrs |= {"run": str(self.directory)} | ({"shard": self.shard} if self.shard else {})
        return rows


def complete(
    config: RunConfig | Mapping[str, Any] | str | Path | None,
    given: Mapping[str, Any],
    resources: Resources | None,
    progress: Progress | bool | None,
) -> CompleteRun:
    """Do what is missing of a run, without reading its rows; arguments, with options as `given`, and errors as of `run`."""
    with opened_request(config, given, resources) as (request, objects), ExitStack() as stack:
        from camdbench.runner.executors import executing  # imports torch, so only after the check
        from camdbench.runner.packs import finish
        from camdbench.runner.prepare import prepare, session_facts
        from camdbench.runner.resolved import write_resolved

        execute = stack.enter_context(executing(request, objects))
        prepared, shard = prepare(request, objects), request.shard
        write_resolved(prepared)
        (units, jobs), directory = prepared.missing(shard), prepared.directory
        assert directory is not None
        with showing(progress) as shown:
            shown.start(directory.root, jobs, jobs - sum(len(unit.explainers) for unit in units))
            if units:
                with directory.session(**session_facts(prepared)) as session:
                    workers = dict[str, dict[str, Any]]()
                    for done in stack.enter_context(closing(execute(prepared, units, shown.working))):
                        count = len(done.unit.explainers)
                        facts = done.facts(workers)
                        session.add(count - done.skipped, asdict(done.passes), done.boxes_dropped, **facts)
                        shown.advance(count, str(done.unit))
        explainers = tuple(map(str, request.jobs))
        if shard.is_whole:
            finish(prepared)
            return CompleteRun(directory.root, explainers)
        directory.list_again()
        left, total = prepared.missing()
        line = shard.end(jobs, total - sum(len(unit.explainers) for unit in left), total)
        return CompleteRun(directory.root, explainers, prepared.chunks(shard), line)


def plan(config: str | Path | None, **options: Any) -> tuple[str, list[str]]:
    """Check a run as `run` does, models and data included, without a run directory.

    Args:
        config: a YAML file of options, or None.
        **options: fields of `RunConfig`.

    Returns:
        The resolved configuration as YAML, and lines on the jobs: images, passes and an estimate of their time.

    Raises:
        UsageError: invalid configuration.
        CamdbenchError: no image can be read.
    """
    with opened_request(config, options, None) as (request, resources):
        from camdbench.runner.dry_run import describe_jobs
        from camdbench.runner.prepare import prepare
        from camdbench.runner.resolved import resolved, to_yaml

        prepared = prepare(request, resources, in_memory=True)
        return to_yaml(resolved(prepared)), describe_jobs(prepared)


@contextmanager
def opened_request(
    config: RunConfig | Mapping[str, Any] | str | Path | None, options: Mapping[str, Any], resources: Resources | None
) -> Generator[tuple[Request, Resources | None]]:
    """Check a configuration and the options beside it, which take precedence; own explainers and metrics are registered inside.

    Yields:
        The request, and the resources: those given, with objects of the options, or None.

    Raises:
        UsageError: invalid configuration.
    """
    from camdbench.runner.resolved import refuse_objects, with_copies

    options = dict(options)
    own_files = check_choice("own", options.pop("own", "original"), OwnFiles)
    objects = {} if resources is None else {"models": resources.models, "dataset": resources.dataset, "maps": resources.joint}
    given = [name for name, own in objects.items() if own is not None and own != {}]
    stated = read_config(config)
    if own_files == "copy":
        stated = with_copies(stated, config)
    read = {name: value for name, value in stated.items() if name not in given}
    for plugin in _plugins(read.pop("plugins", None)):
        load_plugin(plugin)
    chosen, resources = _with_maps(with_data_options(read | dict(options), None if "dataset" in given else RunConfig.dataset), resources)
    refuse_objects(chosen)
    if all(map(is_named, (chosen.get(name) for name in ("explainers", "metrics", "models", "dataset", "objective")))):
        yield check_config(make_config(RunConfig, chosen), resources), resources
        return
    from camdbench.runner.door import opened  # imports torch

    with opened(chosen, resources) as (canonical, found):
        yield check_config(make_config(RunConfig, canonical), found), found


def read_config(config: RunConfig | Mapping[str, Any] | str | Path | None) -> dict[str, Any]:
    """Options of a configuration, a mapping or a YAML file; paths in a file are relative to its folder, names of modules stay.

    Raises:
        UsageError: the file does not exist or holds no mapping.
    """
    if not isinstance(config, str | Path):
        return {} if config is None else dict(vars(config) if isinstance(config, RunConfig) else config)
    file = Path(config)
    options = read_fields(file, "config =", "explainers: gradcam")
    paths = {item.name for item in fields_of(RunConfig) if item.setting.role == "resource"} | {"out"}
    found = {name: str(file.parent / value) if name in paths and isinstance(value, str) else value for name, value in options.items()}
    for name in ("explainers", "metrics", "models", "dataset", "objective"):
        if name in found:
            found[name] = relative_to(file.parent, found[name])
    if isinstance(objective := found.get("objective"), str) and not has_reference(objective):
        found["objective"] = str(parse_objective(objective).in_folder(file.parent))
    if isinstance(dataset := found.get("dataset"), str):
        found["dataset"] = table_in(file.parent, dataset)
    found |= {name: str(file.parent / found[name]) for name in ("images", "classes") if is_path(found.get(name))}
    if isinstance(maps := found.get("maps"), dict):
        found["maps"] = {name: str(file.parent / path) if isinstance(path, str) else path for name, path in maps.items()}
    found |= {} if "models" not in found else {"models": _with_folders(found["models"], file.parent)}
    plugins = [plugin if is_module(plugin, file.parent) else str(file.parent / plugin) for plugin in _plugins(found.get("plugins"))]
    return found | {"plugins": plugins}


def _plugins(given: Any) -> list[str]:
    """The files, folders and modules of the key `plugins`: one, or a list.

    Raises:
        UsageError: something else.
    """
    plugins: Any = [given] if isinstance(given, str | Path) else [] if given is None else given
    if not isinstance(plugins, list | tuple) or not all(isinstance(own, str | Path) for own in plugins):
        raise UsageError(f"plugins = {given!r}: expected a file, or a list of files")
    return list(map(str, plugins))


def _with_folders(models: Any, base: Path) -> Any:
    """Names of models, in which folders of transformers are relative to `base`."""
    if isinstance(models, str):
        return with_absolute_folders(models, base)
    if isinstance(models, dict):
        return {name: _with_folders(own, base) for name, own in models.items()}
    return [_with_folders(own, base) for own in models] if isinstance(models, list) else models


def _with_maps(options: Mapping[str, Any], resources: Resources | None) -> tuple[dict[str, Any], Resources | None]:
    """Move arrays of `maps` from the options to the resources."""
    options = dict(options)
    if not isinstance(maps := options.get("maps"), Mapping):
        return options, resources
    arrays = {str(name): own for name, own in maps.items() if not isinstance(own, str | Path)}
    options["maps"] = {name: own for name, own in maps.items() if name not in arrays} or None
    if arrays:
        from dataclasses import replace

        from camdbench.runner.resources import Resources

        resources = replace(resources or Resources(), joint=arrays)
    return options, resources


def is_named(given: Any) -> bool:
    """Whether an option is not given, or holds only registered names: no objects, references, aliases or tables of pictures."""
    things = given if isinstance(given, list | tuple) else [given]
    return all(own is None or isinstance(own, Spec) or (isinstance(own, str) and _is_plain(own)) for own in things)


def _is_plain(text: str) -> bool:
    return not (has_reference(text) or is_own_data(text))
