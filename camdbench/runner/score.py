"""`camdbench.score`: score saved saliency maps without running an explainer."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from shlex import quote
from typing import TYPE_CHECKING, Any, Literal

from camdbench.core.errors import UsageError, unknown
from camdbench.core.option_types import Methods
from camdbench.core.progress import Progress
from camdbench.core.settings import fields_of, takes
from camdbench.runner.config import SCORE_OPTIONS, RunConfig, Specs
from camdbench.runner.run import is_named, read_config, run
from camdbench.tables.load import load_run, specs_of
from camdbench.tables.result_rows import Rows

if TYPE_CHECKING:
    from camdbench.runner.resources import Resources


@takes(RunConfig, only=SCORE_OPTIONS, unset=True)
def score(
    saliency: str | Path,
    metrics: Methods | None = None,
    *,
    explainer_name: str | None = None,
    normalisation: Literal["none", "range", "max", "sigmoid"] = "range",
    resources: Resources | None = None,
    progress: Progress | bool | None = None,
    **options: Any,
) -> Rows:
    """Score the saved saliency maps of a run, or of a file of another tool.

    A run stores maps in half precision, each scaled by its largest magnitude, so values may differ from those of the run in the
    third digit.

    Args:
        saliency: a run directory made with `--save-maps raw`, whose given maps are scored too, or explainers of another run whose maps are
            small, so that they were stored raw; or `.npy`, an array (N, h, w) in the
            order of the data set's images; or `.npz` or `.h5`, such an array or arrays (h, w) named by image id.
        metrics: metric specs; metrics that re-run the explainer on perturbed images are refused.
        **options: fields of `RunConfig`; for a run directory only explainers, to score some of them, data_root, weights, seed,
            execution options, and objective if the maps explain a function, which metrics with `scored_output=objective` read.
        explainer_name: name of the maps of a file in rows; default: the file's name.
        normalisation: normalisation of the maps of a file: none, range, max or sigmoid.
        resources: models or data set as objects, as for `camdbench.run`.
        progress: as for `camdbench.run`.

    Returns:
        One row per image, model, explainer and metric, as returned by `camdbench.run`.

    Raises:
        UsageError: no maps, or invalid configuration.
        CamdbenchError: no image can be read, or a file cannot be written.
    """
    given, resources = scoring(
        saliency, metrics, explainer_name=explainer_name, normalisation=normalisation, resources=resources, **options
    )
    return run(**given, resources=resources, progress=progress)


def scoring(
    saliency: str | Path,
    metrics: Methods | None = None,
    *,
    explainer_name: str | None = None,
    normalisation: Literal["none", "range", "max", "sigmoid"] = "range",
    resources: Resources | None = None,
    **options: Any,
) -> tuple[dict[str, Any], Resources]:
    """Return the options and the resources of the run that scores saved maps; arguments and errors as of `score`."""
    for name in options:
        if name not in SCORE_OPTIONS:
            raise unknown("option", name, SCORE_OPTIONS)
    path, given = Path(saliency), {name: own for name, own in (options | {"metrics": metrics}).items() if own is not None}
    how = None if path.is_dir() else normalisation
    from dataclasses import replace

    from camdbench.runner.resources import Resources

    resources = replace(resources or Resources(), maps=path, map_normalisation=how)
    if path.is_dir():
        if explainer_name is not None:
            raise UsageError(f"--explainer-name = {explainer_name}: the maps of a run have the names of their explainers; omit the option")
        kept: dict[str, Any] = _config_of(path, given)
    elif "explainers" in given:
        raise UsageError(f"--explainers = {given['explainers']}: chooses maps of a run, and {path} is none; use --explainer-name")
    else:
        kept = {"explainers": [path.stem if explainer_name is None else explainer_name]}
    return {"save_maps": "none"} | kept | given, resources


def _config_of(run_directory: Path, given: dict[str, Any]) -> dict[str, Any]:
    """Return the configuration of a run, its explainers in `given`; only resources, execution options and the seed may be replaced."""
    about = load_run(run_directory)
    made = about.get("config", {})
    if made.get("save_maps", "none") == "none":
        raise UsageError(f"{run_directory}: the run has no saved maps; repeat it with --save-maps raw")
    same = _is_function_of(about, given.get("objective"))
    for item in fields_of(RunConfig):
        own = same if item.name == "objective" else item.name in ("models", "dataset") and not is_named(given.get(item.name))
        if item.name in given and not own and item.setting.role == "values" and item.name not in ("metrics", "seed"):
            raise UsageError(f"{item.flag} = {given[item.name]}: fixed by the run whose maps are scored; omit the option")
    kept = {name: value for name, value in made.items() if name not in ("metrics", "save_maps", "maps")}
    given |= {"explainers": _explainers_of(run_directory, about, given.get("explainers"))}
    file = run_directory / "run.yaml"
    export = read_config(file) if file.is_file() else {}
    return kept | {name: export[name] for name in ("models", "dataset") if not is_named(export.get(name))}


def _is_function_of(about: Mapping[str, Any], objective: Any) -> bool:
    """Return whether an objective is the function that the maps of a run explain, by name and code."""
    from camdbench.explainers.common.own_objectives import code_of_objective, is_own_objective, read_objective

    if not is_own_objective(objective):
        return False
    found, _ = read_objective(objective)
    return about.get("plugins", {}).get(f"objective {found.name}") == code_of_objective(found)


def _explainers_of(run_directory: Path, about: Mapping[str, Any], asked: Specs | None) -> list[str]:
    """Return the explainers of a run whose maps are scored: those asked for, or all.

    Raises:
        UsageError: one is none of the run, or its maps were not stored raw.
    """
    names = [*about["config"]["explainers"], *about["given"]]
    chosen = specs_of(asked) or names
    if strange := [name for name in chosen if name not in (*names, *about["explainers"])]:
        raise UsageError(f"--explainers = {strange[0]}: no explainer of {run_directory}; choose from {', '.join(names)}")
    if about["config"].get("save_maps") != "view":
        return chosen
    from camdbench.runner.stored_maps import shows_maps

    viewed = [name for name in chosen if name in about["given"] or shows_maps(run_directory, about, name)]
    if viewed:
        command = f"camdbench run --config {quote(str(run_directory / 'run.yaml'))} --save-maps raw --out NEW"
        exact = [name for name in chosen if name not in viewed]
        other = f"; or score the others: --explainers {','.join(exact)}" if exact else ""
        raise UsageError(f"{run_directory}: maps of {', '.join(viewed)} are kept for viewing; run with --save-maps raw: {command}{other}")
    return chosen
