"""The numbers of charts as tables, which need no script."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from camdbench.reporting.report_data import Block

_SHOWN = 5  # positions of a curve in its table
_QUARTILES = ("smallest", "1st quartile", "median", "3rd quartile", "largest")


@dataclass(frozen=True)
class NumberTable:
    """A table of numbers.

    Attributes:
        title: what its numbers are.
        columns: headings; the first is that of the names.
        rows: name, and (value, text) of every further column; None where there is no number.
        notes: lines below the table.
    """

    title: str
    columns: list[str]
    rows: list[tuple[str, list[tuple[float, str] | None]]]
    notes: list[str] = field(default_factory=list)


def chart_tables(blocks: Sequence[Block], charts: Mapping[str, Any]) -> dict[str, list[NumberTable]]:
    """Return the tables of each section of charts.

    Args:
        blocks: values of images and their quartiles.
        charts: `ranks`, `cost`, `curves` and `sweeps`, as the page draws them.
    """
    models = len({block.title for block in blocks}) > 1
    return {
        "distributions": [table for block in blocks for table in _distributions(block, models)],
        "ranks": [_ranks(model, own) for model, own in _by_model(charts["ranks"])],
        "curves": [_curves(chart, models) for chart in charts["curves"]],
        "cost": [_cost(model, own) for model, own in _by_model(charts["cost"])],
        "sweeps": [_sweep(chart, models) for chart in charts["sweeps"]],
    }


def _by_model(charts: Iterable[Mapping[str, Any]]) -> list[tuple[str, list[Mapping[str, Any]]]]:
    found = dict[str, list[Mapping[str, Any]]]()
    for chart in charts:
        found.setdefault(chart["model"], []).append(chart)
    return list(found.items())


def _number(value: float | None) -> tuple[float, str] | None:
    return None if value is None else (value, f"{value:g}")


def _distributions(block: Block, models: bool) -> Iterable[NumberTable]:
    for metric, spreads in zip(block.metrics, block.spread, strict=True):
        title = metric["name"] + (f" in {metric['unit']}" if metric["unit"] else "") + (f" · {block.model}" if models else "")
        rows = [
            (name, [_number(own.get("n", 0)), _number(own.get("mean")), *(_number(value) for value in own.get("quartiles", [None] * 5))])
            for name, own in zip(block.explainers, spreads, strict=True)
        ]
        yield NumberTable(title, ["explainer", "images", "mean", *_QUARTILES], rows)


def _ranks(model: str, charts: Sequence[Mapping[str, Any]]) -> NumberTable:
    by_name = {name: {} for chart in charts for name in chart["explainers"]}
    for chart in charts:
        for name, own in zip(chart["explainers"], chart["ranks"], strict=True):
            by_name[name][chart["metric"]] = own
    metrics = [str(chart["metric"]) for chart in charts]
    rows = [(name, [_number(own.get(metric)) for metric in metrics]) for name, own in by_name.items()]
    return NumberTable(f"mean ranks · {model}", ["explainer", *metrics], rows, [_concordance(chart) for chart in charts])


def _concordance(chart: Mapping[str, Any]) -> str:
    """Return the sentence on the images, Friedman's test and the concordance of a chart of ranks.

    >>> _concordance({"metric": "ad", "n": 48, "explainers": ["a", "b"], "friedman_p": 1e-5, "kendall_w": 0.41})
    'ad: 48 images, 2 explainers, Friedman p < 0.0001, Kendall W = 0.41'
    """
    p = chart["friedman_p"]
    numbers = f"Friedman {'p < 0.0001' if p < 1e-4 else f'p = {p:.3g}'}, Kendall W = {chart['kendall_w']:.3g}"
    return f"{chart['metric']}: {chart['n']} images, {len(chart['explainers'])} explainers, {numbers}"


def _curves(chart: Mapping[str, Any], models: bool) -> NumberTable:
    count = len(chart["x"])
    places = sorted({round(step * (count - 1) / (_SHOWN - 1)) for step in range(_SHOWN)})
    name = chart["metric"] if chart["curve"] == "curve" else f"{chart['metric']}: {chart['curve']}"
    rows = [
        (
            (" = " if line["tied"] else " ≈ ").join(line["names"]),
            [_number(line["n"]), *(_interval(*(line[end][place] for end in ("mean", "low", "high"))) for place in places)],
        )
        for line in chart["lines"]
    ]
    columns = ["explainer", "images", *(f"at {chart['x'][place]:g}" for place in places)]
    model = f" · {chart['model']}" if models else ""
    return NumberTable(f"{name}{model}: {chart['y_label']} by {chart['x_label']}", columns, rows)


def _sweep(chart: Mapping[str, Any], models: bool) -> NumberTable:
    points = [own for line in chart["lines"] for own in line["points"]]
    rows = [(own["explainer"], [_interval(*(own[end] for end in ("mean", "low", "high")))]) for own in points]
    model = f" · {chart['model']}" if models else ""
    return NumberTable(f"{chart['metric']} by {chart['option']} of {chart['of']}{model}", ["explainer", chart["metric"]], rows)


def _interval(mean: float | None, low: float | None, high: float | None) -> tuple[float, str] | None:
    """Return the mean, and its text with its interval.

    >>> _interval(0.51234, 0.4, 0.6), _interval(0.5, None, None), _interval(None, None, None)
    ((0.51234, '0.512 [0.4, 0.6]'), (0.5, '0.5'), None)
    """
    if mean is None:
        return None
    return mean, f"{mean:.3g}" if low is None or high is None else f"{mean:.3g} [{low:.3g}, {high:.3g}]"


def _cost(model: str, cells: Sequence[Mapping[str, Any]]) -> NumberTable:
    metrics = list(dict.fromkeys(str(own["metric"]) for own in cells))
    by_name = dict[str, dict[str, float]]()
    for own in cells:
        line = by_name.setdefault(own["explainer"], {})
        line |= {name: own[name] for name in ("passes_per_image", "seconds_per_image") if name in own} | {f"={own['metric']}": own["mean"]}
    names = ["passes_per_image", "seconds_per_image", *(f"={metric}" for metric in metrics)]
    rows = [(explainer, [_number(own.get(name)) for name in names]) for explainer, own in by_name.items()]
    return NumberTable(f"cost and means · {model}", ["explainer", "passes per image", "seconds per image", *metrics], rows)
