"""`camdbench.score`: further metrics of maps that are there, without explaining anything again."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal

from camdbench.core.errors import UsageError
from camdbench.runner.progress import Progress, Silent
from camdbench.runner.request import Request, check_request
from camdbench.tables.load import load_rows, load_run

if TYPE_CHECKING:
    import pandas as pd


def score(
    maps: str | Path,
    metrics: str | Sequence[str] = "ad,ag,ai",
    *,
    name: str | None = None,
    normalisation: Literal["none", "range", "max", "sigmoid"] = "range",
    models: str | None = None,
    dataset: str | None = None,
    split: str | None = None,
    data_root: str | Path | None = None,
    weights: str | Path | None = None,
    mean: float | Sequence[float] | None = None,
    std: float | Sequence[float] | None = None,
    layer: str | None = None,
    target: str | int | None = None,
    limit: int | None = None,
    batch_size: int = 16,
    device: str = "auto",
    seed: int | None = None,
    out: str | Path | None = None,
    download: bool = False,
    progress: Progress | None = None,
) -> pd.DataFrame:
    """Judge the maps of a run that kept them, or of a file that another tool wrote.

    The maps of a run are half-precision, each scaled to its own largest magnitude, so values may differ from the run's
    own in the third digit.

    Args:
        maps: a run directory made with `--save-maps`; or `.npy`, an array (N, h, w) in the order of the data set's images;
            or `.npz`, such an array or arrays (h, w) named by the ids of images.
        metrics: specs of metrics; those that explain altered images again cannot be asked for.
        name: how the maps of a file are called in rows; the file's name where None.
        normalisation: what is done to the maps of a file: none, range, max or sigmoid.
        models: name of the model, for a file; as all that follows to `limit`, a run has its own.
        dataset: spec of the data set.
        split: its split.
        data_root: where it lies; for a run, where it lies now.
        weights: file with the model's weights; likewise.
        mean: mean of the input normalisation.
        std: standard deviation, likewise.
        layer: target layer.
        target: scored class: label, predicted, second, least or a class index.
        limit: number of images.
        batch_size: images at a time.
        device: auto, cpu, cuda, cuda:N or mps.
        seed: seed of metrics that draw random numbers; the run's own where None.
        out: run directory of the scores.
        download: whether torchvision may fetch weights.
        progress: told about the run as it goes.

    Returns:
        One row per image, model, explainer and metric, as `camdbench.run`.

    Raises:
        UsageError: there are no maps, or the request is wrong.
        CamdbenchError: the run cannot go on.
    """
    given: dict[str, Any] = {"models": models, "dataset": dataset, "split": split, "mean": mean, "std": std, "layer": layer}
    given |= {"target": target, "limit": limit, "seed": seed, "data_root": data_root, "weights": weights}
    if Path(maps).is_dir():
        if name is not None:
            raise UsageError(f"--name {name}: the maps of a run have the names of their explainers")
        request = _of_run(maps, metrics, given)
    else:
        defaults: dict[str, Any] = {"models": "shortcuts-ce", "dataset": "shortcuts", "target": "label", "seed": 0}
        asked: dict[str, Any] = {key: defaults.get(key) if value is None else value for key, value in given.items()}
        called = Path(maps).stem if name is None else name
        request = check_request(explainers_=called, metrics_=metrics, save_maps=False, maps=maps, normalisation=normalisation, **asked)
    from camdbench.runner.session import carry_out

    root = carry_out(
        request, out=out, batch_size=batch_size, device=device, download=download, where="local", progress=progress or Silent()
    )
    rows = load_rows(root)
    rows.attrs["run"] = str(root)
    return rows


def _of_run(run: str | Path, metrics: str | Sequence[str], given: dict[str, Any]) -> Request:
    """The request of a run, with other metrics of the maps that it kept."""
    made = load_run(run)["request"]
    if not made.get("save_maps"):
        raise UsageError(f"{run} kept no maps; run it with --save-maps")
    free = ("data_root", "weights", "seed")
    for option, value in given.items():
        if value is not None and option not in free:
            raise UsageError(f"--{option} {value}: a run is scored as it was made; leave the option out")
    own = {key: made[key] if given[key] is None else given[key] for key in free}
    own |= {key: made.get(key) for key in ("sample", "ids")}
    return check_request(
        explainers_=made["explainers"],
        metrics_=metrics,
        models=made["models"],
        dataset=made["dataset"],
        split=made["split"],
        mean=made["mean"],
        std=made["std"],
        layer=made["layer"],
        target=made["target_rule"],
        limit=made["limit"],
        save_maps=False,
        maps=run,
        **own,
    )
