"""`camdbench.score`: further metrics of maps that exist, without running an explainer."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal

from camdbench.core.errors import UsageError, unknown
from camdbench.core.settings import fields_of, takes
from camdbench.runner.config import SCORE_OPTIONS, RunConfig, Specs
from camdbench.runner.progress import Progress
from camdbench.runner.run import run, with_objects
from camdbench.tables.load import load_run

if TYPE_CHECKING:
    import pandas as pd

    from camdbench.runner.resources import Resources


@takes(RunConfig, only=SCORE_OPTIONS, unset=True)
def score(
    saliency: str | Path,
    metrics: Specs | None = None,
    *,
    explainer_name: str | None = None,
    normalisation: Literal["none", "range", "max", "sigmoid"] = "range",
    resources: Resources | None = None,
    progress: Progress | None = None,
    **options: Any,
) -> pd.DataFrame:
    """Score the maps of a run that stored them, or of a file that another tool wrote.

    The maps of a run are half-precision, each scaled to its own largest magnitude, so values may differ from the run's
    own in the third digit.

    Args:
        saliency: a run directory made with `--save-maps raw`; or `.npy`, an array (N, h, w) in the order of the data set's
            images; or `.npz`, such an array or arrays (h, w) named by image id.
        metrics: specs of metrics; those that re-run the explainer on altered images are refused.
        **options: fields of `RunConfig`; a run has its own, and takes data_root, weights and seed alone.
        explainer_name: name of the maps of a file in rows; default: the file's name.
        normalisation: normalisation of the maps of a file: none, range, max or sigmoid.
        resources: objects in place of names, as for `camdbench.run`.
        progress: callback for progress updates; default: none.

    Returns:
        One row per image, model, explainer and metric, as `camdbench.run`.

    Raises:
        UsageError: there are no maps, or the configuration is wrong.
        CamdbenchError: the run cannot go on.
    """
    for name in options:
        if name not in SCORE_OPTIONS:
            raise unknown("option", name, SCORE_OPTIONS)
    path, given = Path(saliency), {name: own for name, own in (options | {"metrics": metrics}).items() if own is not None}
    how = None if path.is_dir() else normalisation
    given, resources = with_objects(given, resources, maps=path, map_normalisation=how)
    if path.is_dir():
        if explainer_name is not None:
            raise UsageError(f"--explainer-name {explainer_name}: the maps of a run have the names of their explainers; leave it out")
        kept: dict[str, Any] = _config_of(path, given)
    else:
        kept = {"explainers": [path.stem if explainer_name is None else explainer_name]}
    return run(**kept | given, resources=resources, progress=progress)


def _config_of(run_directory: Path, given: dict[str, Any]) -> dict[str, Any]:
    """The configuration of a run, of which only resources and the seed may be replaced."""
    made = load_run(run_directory)["config"]
    if made["save_maps"] == "none":
        raise UsageError(f"{run_directory}: the run stored no maps; run it with --save-maps raw")
    for item in fields_of(RunConfig):
        if item.name in given and item.setting.role == "values" and item.name not in ("metrics", "seed"):
            raise UsageError(f"{item.flag} {given[item.name]}: a run is scored as it was made; leave the option out")
    return {name: value for name, value in made.items() if name not in ("metrics", "save_maps")}
