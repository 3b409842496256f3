"""The numbers and pictures of a report as JSON, which its page draws from."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from typing import Any

import numpy as np
import pandas as pd

from camdbench.reporting.image_choice import Reasons
from camdbench.reporting.page_numbers import short_number as _number
from camdbench.tables.cell_values import STATUSES, Cells

SCHEMA = 1
_BINS = 64
_STEPS = 33  # of a colour map
COLOURS = ("viridis", "cividis", "gray")  # of equal lightness steps; the first is the default


@dataclass(frozen=True)
class Block:
    """The values of one model on one split under one target rule.

    Attributes:
        title: model, data set, split and target rule.
        model: name of the model, labelled if two runs are shown.
        run: name of the run.
        explainers: specs, in the order of the table.
        controls: by explainer, whether it is a control.
        metrics: name, protocol, unit and direction of each metric: 1 if higher is better, -1 if lower, 0 if not stated.
        values: (metrics, explainers, images) of the images shown; None where there is no value.
        status: the same, as positions in `STATUSES`.
        spread: by metric and explainer: quartiles and bins of the values of all images.
    """

    title: str
    model: str
    run: str
    explainers: list[str]
    controls: list[bool]
    metrics: list[dict[str, Any]]
    values: list[list[list[float | None]]]
    status: list[list[list[int]]]
    spread: list[list[dict[str, Any]]]


def blocks_of(cells: Cells, summary: pd.DataFrame, shown: Sequence[str], run: str) -> list[Block]:
    """Arrange the cells of each model, split and target rule.

    Args:
        cells: cells of the run.
        summary: its summary, for units, directions and controls.
        shown: ids of the images that the page shows; those that the run lacks have no value.
        run: name of the run.
    """
    facts = {tuple(line[name] for name in ("model", "explainer", "metric", "protocol")): line for line in summary.to_dict("records")}
    columns = pd.Index(cells.images).get_indexer(pd.Index(shown))
    found = list[Block]()
    for rows in cells.keys.groupby(["model", "dataset", "split", "target_rule"], sort=False).indices.values():
        model, dataset, split, rule = cells.keys.iloc[rows[0]][["model", "dataset", "split", "target_rule"]]
        keys = cells.keys.iloc[rows]
        explainers = list(dict.fromkeys(keys["explainer"]))
        metrics = list(dict.fromkeys(zip(keys["metric"], keys["protocol"], strict=True)))
        row_of = {(key.metric, key.protocol, key.explainer): int(row) for row, key in zip(rows, keys.itertuples(), strict=True)}
        grid = [[row_of.get((*metric, explainer)) for explainer in explainers] for metric in metrics]
        some = {metric: next(own for (_, _, *at), own in facts.items() if tuple(at) == metric) for metric in metrics}
        control = dict(zip(summary["explainer"], summary["is_control"], strict=True))
        found.append(
            Block(
                title=f"{model} · {dataset} {split} · target: {rule}",
                model=str(model),
                run=run,
                explainers=explainers,
                controls=[bool(control[name]) for name in explainers],
                metrics=[_metric(*metric, some[metric]) for metric in metrics],
                values=[[_rounded(_at(cells.values, row, columns, np.nan)) for row in line] for line in grid],
                status=[[_at(cells.status, row, columns, 0).tolist() for row in line] for line in grid],
                spread=[[{} if row is None else _spread(np.take(cells.values, row, axis=0)) for row in line] for line in grid],
            )
        )
    return found


def _at(table: np.ndarray, row: int | None, columns: np.ndarray, absent: float) -> np.ndarray:
    """Values of a row of a table in these columns; `absent` where a column is -1, or without a row."""
    return np.full(len(columns), absent) if row is None else np.where(columns >= 0, table[row, columns], absent)


def _metric(name: str, protocol: str, line: Mapping[Any, Any]) -> dict[str, Any]:
    rises = line["higher_is_better"]
    return {"name": name, "protocol": protocol, "unit": line["unit"], "direction": 0 if pd.isna(rises) else 1 if rises else -1}


def _rounded(values: np.ndarray) -> list[float | None]:
    return [_number(value) for value in values.tolist()]


def _spread(values: np.ndarray) -> dict[str, Any]:
    """Mean, quartiles and bins of the values of all images."""
    own = values[np.isfinite(values)]
    if not len(own):
        return {}
    counts, edges = np.histogram(own, bins=min(_BINS, max(1, len(own))))
    quartiles = np.quantile(own, [0, 0.25, 0.5, 0.75, 1])
    return {
        "n": len(own),
        "mean": _number(float(own.mean())),
        "quartiles": [_number(float(number)) for number in quartiles],
        "from": _number(float(edges[0])),
        "to": _number(float(edges[-1])),
        "counts": counts.tolist(),
    }


def images_of(
    reasons: Reasons, known: Sequence[Mapping[str, Any]], facts: Mapping[str, Mapping[str, Any]], pictures: Mapping[str, Mapping[str, Any]]
) -> list[dict[str, Any]]:
    """Facts and pictures of the images that the page shows, in their order.

    Args:
        reasons: why each was chosen.
        known: by run: class and predictions of its images; the first run with an image names its class.
        facts: numbers of each image.
        pictures: its pictures.
    """
    return [
        {"id": image, "class": next((run[image]["class"] for run in known if "class" in run.get(image, {})), ""), "why": why}
        | {"predictions": {model: own for run in known for model, own in run.get(image, {}).get("predictions", {}).items()}}
        | {name: _number(value) if isinstance(value, float) else value for name, value in facts[image].items()}
        | dict(pictures.get(image, {}))
        for image, why in reasons.items()
    ]


def _colour_table(name: str) -> list[str]:
    """Red, green and blue of a colour map at equal steps, as the browser's filter takes them."""
    from matplotlib import colormaps

    table = np.asarray(colormaps[name](np.linspace(0, 1, _STEPS)))[:, :3]
    return [" ".join(f"{value:.3f}" for value in channel) for channel in table.T]


def to_json(blocks: Sequence[Block], images: Sequence[Mapping[str, Any]], **further: Any) -> str:
    """JSON for a page: no number beyond its digits, no text that could end a script."""
    colours = {name: _colour_table(name) for name in COLOURS}
    own = [asdict(block) for block in blocks]
    content = {"schema": SCHEMA, "colours": colours, "statuses": STATUSES, "blocks": own, "images": images, **further}
    text = json.dumps(content, ensure_ascii=False, allow_nan=False, separators=(",", ":"))
    return text.translate({ord(sign): f"\\u{ord(sign):04x}" for sign in ("<", ">", "&", chr(0x2028), chr(0x2029))})
