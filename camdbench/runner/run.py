"""`camdbench.run`: the main job, from a request to rows on disk."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING

from camdbench.runner.progress import Progress, Silent
from camdbench.runner.request import check_request
from camdbench.tables.load import load_rows

if TYPE_CHECKING:
    import pandas as pd


def run(
    explainers: str | Sequence[str] = "opticam,gradcam",
    metrics: str | Sequence[str] = "ad,ag,ai",
    *,
    models: str | Sequence[str] = "shortcuts-ce",
    dataset: str = "shortcuts",
    split: str | None = None,
    data_root: str | Path | None = None,
    weights: str | Path | None = None,
    mean: float | Sequence[float] | None = None,
    std: float | Sequence[float] | None = None,
    layer: str | None = None,
    target: str | int = "label",
    limit: int | None = None,
    sample: int | None = None,
    ids: str | Path | None = None,
    workers: int | None = None,
    batch_size: int = 16,
    device: str = "auto",
    seed: int = 0,
    precision: str = "fp32",
    out: str | Path | None = None,
    save_maps: bool = False,
    download: bool = False,
    executor: str = "local",
    progress: Progress | None = None,
) -> pd.DataFrame:
    """Run explainers and metrics over a data set and return the tidy rows; what is already done is not done again.

    Args:
        explainers: specs such as `"opticam(iterations=50),gradcam"`, or `"all"`: every one, at its defaults, whose
            annotations the data set has, wrappers apart.
        metrics: specs such as `"ad,ag"`.
        models: names for the zoo.
        dataset: spec of a data set.
        split: its split; `val` where it has one of that name.
        data_root: where it lies, for one that is read from disk.
        weights: file with the weights of the one model.
        mean: mean of the input normalisation instead of the weights' own.
        std: standard deviation, likewise.
        layer: target layer instead of the model's own.
        target: explained and scored class: label, predicted, second, least or a class index.
        limit: number of images; 64 for the embedded data set, else all.
        sample: number of images drawn at random by the seed; a smaller sample is a part of a larger one.
        ids: a file that names the images, one id per line.
        workers: processes that read images ahead of the network; chosen by the number of images and cores where None.
        batch_size: images at a time; halved where memory runs out. No value depends on it.
        device: auto, cpu, cuda, cuda:N or mps.
        seed: seed of explainers that draw random numbers.
        precision: of the passes that score images which explainers have altered: `fp32`, or `bf16`, which is faster where
            the device knows it. Activations, gradients and metrics are computed in float32 whatever it is.
        out: run directory; `runs/DATASET-SPLIT-HASH` where None, the same for the same request and code.
        save_maps: store raw maps too.
        download: whether torchvision or timm may fetch weights or data.
        executor: `local`, or `ray` for the GPUs of a Ray cluster.
        progress: told about the run as it goes.

    Returns:
        One row per image, model, explainer and metric, with the columns of `core.rows.Row`; `.attrs["run"]` is the
        run directory.

    Raises:
        UsageError: the request is wrong, or `out` holds another run.
        CamdbenchError: the run cannot go on.
    """
    request = check_request(
        explainers_=explainers,
        metrics_=metrics,
        models=models,
        dataset=dataset,
        split=split,
        data_root=data_root,
        weights=weights,
        mean=mean,
        std=std,
        layer=layer,
        target=target,
        limit=limit,
        seed=seed,
        precision=precision,
        save_maps=save_maps,
        sample=sample,
        ids=ids,
    )
    from camdbench.runner.session import carry_out  # torch is imported only now, after the request has been checked

    root = carry_out(
        request,
        out=out,
        batch_size=batch_size,
        device=device,
        download=download,
        where=executor,
        progress=progress or Silent(),
        workers=workers,
    )
    rows = load_rows(root)
    chosen = rows[rows["explainer"].isin([str(spec) for spec in request.jobs])].reset_index(drop=True)
    chosen.attrs["run"] = str(root)
    return chosen
