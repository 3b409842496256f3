"""Strips of the images on which explainers do worst and best under a metric: input, and every explainer's overlay with its value."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from camdbench.core.errors import CamdbenchError, UsageError
from camdbench.datasets.loading import UnreadableImage, read
from camdbench.datasets.samples import Dataset
from camdbench.reporting.chart_facts import Drawn, drawn
from camdbench.reporting.overlay import gallery
from camdbench.runner.open_images import open_images
from camdbench.runner.stored_maps import StoredMaps
from camdbench.tables.cell_values import STATUSES, Cells
from camdbench.tables.pool import Pooled
from camdbench.tables.summary import metric_fact, reductions_of
from camdbench.tables.summary_tables import MetricColumn, SummaryGroup

_ACROSS = 24  # overlays side by side
_DPI = 100


def strip_metric(pooled: Pooled, asked: str | None) -> str | None:
    """Return the metric whose worst and best images are shown; None if the run has no metric with a direction.

    Args:
        pooled: the run.
        asked: canonical spec; default: the first metric that is averaged over images and has a direction.

    Raises:
        UsageError: the run has no such metric, or it has no direction.
    """
    names = [str(name) for name in pooled.cells.keys["metric"].unique()]
    means = [name for name, how in reductions_of(names, pooled.about).items() if how == "mean"]
    directed = [name for name in means if metric_fact(name, "higher_is_better", pooled.about) is not None]
    if asked is None:
        return next(iter(directed), None)
    if asked not in directed:
        what = "the metric has no direction or no mean over images" if asked in names else "the run has no such metric"
        raise UsageError(f"--strips = {asked}: {what}; choose from {', '.join(directed) or 'none'}")
    return asked


def extreme_images(values: Mapping[str, np.ndarray], *, rises: bool) -> dict[int, dict[str, str]]:
    """Choose the worst and the best image of each explainer; an image is listed once.

    Args:
        values: (M,) by explainer, NaN where an image has no value.
        rises: whether higher values are better.

    Returns:
        By position of the image, and by explainer: `worst` or `best`. The worst image and then the best one, explainer by explainer; of
        equal values the first image counts.
    """
    found = dict[int, dict[str, str]]()
    for name, own in values.items():
        if np.isnan(own).all():
            continue
        low, high = int(np.nanargmin(own)), int(np.nanargmax(own))
        for word, place in (("worst", low if rises else high), ("best", high if rises else low)):
            words = found.setdefault(place, {})
            words[name] = f"{words[name]} and {word}" if name in words else word
    return found


def save_strips(
    pooled: Pooled, group: SummaryGroup, metric: str, file: Path, *, stretch: bool = False, data_root: str | Path | None = None
) -> str:
    """Draw the strips of a model.

    Args:
        pooled: the run.
        group: summary of the model.
        metric: canonical spec.
        file: the file to write.
        stretch: whether maps are divided by their 99th percentile, which the picture states.
        data_root: directory of the data set, if it has moved.

    Returns:
        Why nothing was drawn, in one line; empty if the file was written.

    Raises:
        CamdbenchError: a file of maps is damaged, or the file cannot be written.
    """
    if pooled.about["config"].get("save_maps", "none") == "none":
        return f"{file.name}: not drawn, as the run stored no maps; repeat it with --save-maps raw"
    sheet = _sheet(pooled, group, metric)
    try:
        with open_images(pooled.folders[0], pooled.about, data_root) as dataset:
            inputs = _inputs(dataset, list(sheet.strips))
    except CamdbenchError as error:
        return f"{file.name}: not drawn, as the data set cannot be opened ({error}); --data-root names its directory"
    maps = {row: _maps(pooled, group.model, row, inputs) for row in sheet.rows}
    if not any(saliency is not None for line in maps.values() for saliency in line):
        return f"{file.name}: not drawn, as no map or no image can be read"
    how = "\n(maps stretched for display)" if stretch else ""
    gallery(
        list(inputs.values()),
        {row.label: [_filled(*pair, stretch=stretch) for pair in zip(line, inputs.values(), strict=True)] for row, line in maps.items()},
        [f"{image}{how}" for image in inputs],
        file,
        captions={row.label: [sheet.caption(row, *pair) for pair in zip(inputs, line, strict=True)] for row, line in maps.items()},
        colours="viridis",
        columns=_ACROSS,
        dpi=_DPI,
    )
    return ""


@dataclass(frozen=True)
class _Sheet:
    """What strips show.

    Attributes:
        cells: of one model and metric.
        column: the metric.
        rows: explainers, with their positions in `cells`.
        strips: by image, and by explainer: `worst` or `best`.
    """

    cells: Cells
    column: MetricColumn
    rows: Mapping[Drawn, int]
    strips: Mapping[str, Mapping[str, str]]

    def caption(self, row: Drawn, image: str, saliency: np.ndarray | None) -> str:
        """Value in the metric's unit, or why there is none; and whether it is the worst or the best."""
        name, unit, at = self.column.metric, self.column.unit, self.cells.images.index(image)
        value = float(self.cells.values[self.rows[row], at])
        status = STATUSES[self.cells.status[self.rows[row], at]].replace("_", " ") or "no value"
        number = f"{name} {value:.1f} %" if unit == "%" else f"{name} {value:.3f} {unit}".rstrip()
        notes = [status if np.isnan(value) else number]
        notes += ["no map"] if saliency is None else [status] if status == "constant map" else []
        extreme = self.strips[image].get(row.label)
        return ", ".join(notes) + (f"\n{extreme}" if extreme else "")


def _sheet(pooled: Pooled, group: SummaryGroup, metric: str) -> _Sheet:
    keys, (dataset, split, rule) = pooled.cells.keys, group.place
    own = {"model": group.model, "dataset": dataset, "split": split, "target_rule": rule, "metric": metric}
    cells = pooled.cells.select(np.logical_and.reduce([keys[name] == value for name, value in own.items()]))
    column = next(column for column in group.columns if column.metric == metric)
    places = {row: np.flatnonzero(cells.keys["explainer"].isin(row.names)) for row in drawn(group)}
    rows = {row: int(found[0]) for row, found in places.items() if len(found)}
    ranked = {row.label: np.take(cells.values, place, axis=0) for row, place in rows.items() if not row.control}
    extremes = extreme_images(ranked, rises=bool(column.higher_is_better))
    return _Sheet(cells, column, rows, {cells.images[place]: words for place, words in extremes.items()})


def _inputs(dataset: Dataset, images: Sequence[str]) -> dict[str, np.ndarray]:
    """Images (H, W, 3) in [0, 1] by id; unreadable ones, and those that the data set lacks, are omitted."""
    places, found = {name: place for place, name in enumerate(dataset.ids)}, dict[str, np.ndarray]()
    for image in images:
        if image in places and not isinstance(sample := read(dataset, places[image]), UnreadableImage):
            found[image] = np.clip(sample.image.permute(1, 2, 0).numpy(), 0, 1)
    return found


def _maps(pooled: Pooled, model: str, row: Drawn, inputs: Mapping[str, np.ndarray]) -> list[np.ndarray | None]:
    """Maps of a row, as they were scored; None where the run has none."""
    stored = [StoredMaps(folder, pooled.about) for folder in pooled.folders]
    found = list[np.ndarray | None]()
    for image, picture in inputs.items():
        maps = (own.finished(model, name, image, (picture.shape[0], picture.shape[1])) for own in stored for name in row.names)
        found.append(next((saliency for saliency in maps if saliency is not None), None))
    return found


def _filled(saliency: np.ndarray | None, picture: np.ndarray, *, stretch: bool) -> np.ndarray:
    """A map that can be drawn: 0 where there is none, or where it is not finite."""
    if saliency is None:
        return np.zeros(picture.shape[:2])
    filled = np.nan_to_num(saliency)
    return np.clip(filled / max(0.01, float(np.quantile(filled, 0.99))), 0, 1) if stretch else filled
