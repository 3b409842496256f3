"""Aggregated attributions of a run on mosaics: stored raw maps of each explainer, binned by their localisation."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from math import isqrt
from pathlib import Path
from typing import NamedTuple

import numpy as np
import torch
from torch import Tensor

from camdbench.core.errors import CamdbenchError
from camdbench.datasets.loading import UnreadableImage, read
from camdbench.datasets.samples import Dataset
from camdbench.functional.aggregated_maps import BIN_EDGES, AggregatedMaps, aggregate, bin_numbers, to_first_cell
from camdbench.functional.boxes import cell_boxes
from camdbench.functional.normalise import upsample
from camdbench.runner.open_images import open_images
from camdbench.runner.stored_maps import StoredMaps
from camdbench.tables.load import load_rows, load_run
from camdbench.tables.pool import Pooled

MOSAIC_METRICS = ("grid_pointing", "difull", "dipart")


class Mosaics(NamedTuple):
    """Mosaics of a run in which exactly one cell has the explained class.

    Attributes:
        cells: number of this cell, counted row by row, by image.
        n: rows and columns of cells.
        size: height and width of the mosaics.
    """

    cells: Mapping[str, int]
    n: int
    size: tuple[int, int]


def mosaic_metric(pooled: Pooled) -> str | None:
    """The first metric of localisation in mosaics that the run has; None if it has none."""
    return next((str(name) for name in pooled.cells.keys["metric"].unique() if str(name).partition("(")[0] in MOSAIC_METRICS), None)


def aggregated_maps(
    pooled: Pooled, model: str, explainers: Sequence[str], data_root: str | Path | None = None
) -> tuple[dict[str, AggregatedMaps], str]:
    """Aggregated attributions by explainer, of those whose maps were stored raw.

    Args:
        pooled: the run.
        model: name of the model in rows.
        explainers: canonical specs.
        data_root: directory of the data set, if it has moved.

    Returns:
        By explainer; and why there are none, in one sentence, or an empty text.

    Raises:
        CamdbenchError: a file of maps is damaged.
    """
    metric = mosaic_metric(pooled)
    if metric is None:
        return {}, ""
    try:
        with open_images(pooled.folders[0], pooled.about, data_root) as dataset:
            mosaics = _mosaics(dataset, _targets(pooled, model, metric))
    except CamdbenchError as error:
        return {}, f"Aggregated attributions need the data set, which cannot be opened ({error}); --data-root names its directory."
    if mosaics is None:
        return {}, ""
    stored = [StoredMaps(folder, load_run(folder)) for folder in pooled.folders]
    found = {name: own for name in explainers if (own := _of_explainer(stored, model, name, mosaics)) is not None}
    return found, "" if found else "Aggregated attributions need raw maps; repeat the run with --save-maps raw."


def _of_explainer(stored: Sequence[StoredMaps], model: str, explainer: str, mosaics: Mosaics) -> AggregatedMaps | None:
    raw = dict[str, Tensor]()
    for run in stored:
        raw |= run.raw(model, explainer, list(mosaics.cells))
    if not raw:
        return None
    x0, y0, x1, y1 = cell_boxes(mosaics.size, mosaics.n)[0].long().tolist()
    inside, total = torch.zeros(2, len(raw), dtype=torch.float64)
    for place, own in enumerate(_aligned(raw, mosaics)):
        inside[place], total[place] = own[y0:y1, x0:x1].sum(), own.sum()
    shares = torch.where(total > 0, inside / total.clamp_min(torch.finfo(torch.float64).tiny), 0.0)
    numbers, sums = bin_numbers(shares, inside), torch.zeros(len(BIN_EDGES) - 1, *mosaics.size, dtype=torch.float64)
    for number, own in zip(numbers.tolist(), _aligned(raw, mosaics), strict=True):
        sums[number] += own
    return aggregate(sums, numbers, shares, mosaics.n)


def _aligned(raw: Mapping[str, Tensor], mosaics: Mosaics) -> Iterator[Tensor]:
    """Positive parts (H, W) float64 of maps at the size of the mosaics, their explained cell at the top left."""
    for image, own in raw.items():
        positive = upsample(own[None].nan_to_num(0.0, 0.0, 0.0), mosaics.size)[0].double().relu()
        yield to_first_cell(positive, mosaics.cells[image], mosaics.n)


def _targets(pooled: Pooled, model: str, metric: str) -> dict[str, int]:
    """Explained class of each image with a model."""
    found = dict[str, int]()
    for folder in pooled.folders:
        rows = load_rows(folder, metrics=[metric])
        own = rows[rows["model"] == model]
        found |= dict(zip(own["image"].tolist(), own["target"].astype(np.int64).tolist(), strict=True))
    return found


def _mosaics(dataset: Dataset, targets: Mapping[str, int]) -> Mosaics | None:
    """The mosaics of the size of the first that can be read; None if no image is a mosaic with one explained cell."""
    found, count, size = dict[str, int](), 0, (0, 0)
    for place, image in enumerate(dataset.ids):
        if image not in targets or isinstance(sample := read(dataset, place), UnreadableImage) or sample.cells is None:
            continue
        shape = (sample.image.shape[-2], sample.image.shape[-1])
        own = [number for number, name in enumerate(sample.cells) if name == targets[image]]
        if len(own) == 1 and shape == (size if found else shape):
            found[image], count, size = own[0], len(sample.cells), shape
    return Mosaics(found, isqrt(count), size) if found else None
