"""Tables of a report that need no script: results, failures, cards and sessions."""

from __future__ import annotations

import math
import shlex
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, cast

import numpy as np
import pandas as pd

from camdbench.core.cost import Cost
from camdbench.core.registries import datasets, explainers, metrics
from camdbench.core.registry import Registry
from camdbench.core.spec import parse_spec
from camdbench.tables.cell_values import STATUSES, Cells
from camdbench.tables.summary_tables import SummaryGroup, summary_groups, summary_tables
from camdbench.tables.table import Table

_FEW = 8  # images that a failure names
_OF_MODELS = ("layer", "classes", "mean", "std", "output", "channels", "preprocess", "input_size", "origin")
SWITCHES = {
    "masking": "colour space and replacement of masked pixels",
    "scored_class": "class whose score is read: target is the explained one",
    "scored_output": "output of the network that is read",
    "maps": "normalisation of maps: default is the explainer's own to [0, 1], raw the raw map",
    "resize": "interpolation of maps to the size of the image",
    "ground_truth": "kind of ground truth, and whether box ends are inclusive",
    "reduction": "how values of images become the number of the table",
}


@dataclass(frozen=True)
class ResultCell:
    """A cell of the headline table.

    Attributes:
        text: the mean as the terminal prints it.
        interval: the interval in brackets; empty without one.
        marker: a dagger, or a raised letter of a tie.
        emphasis: `best`, `second` or empty.
        value: the mean; NaN without one. The page sorts by it.
        about: numbers of images by status, protocol and its hash, in words.
    """

    text: str
    interval: str
    marker: str
    emphasis: str
    value: float
    about: str


@dataclass(frozen=True)
class ResultTable:
    """The headline table of one model.

    Attributes:
        table: texts as the terminal prints them.
        ranked: rows of explainers: name and cells.
        controls: rows of controls.
        directions: by column of `table`: `ascending` if lower is better, `descending` if higher is, empty otherwise.
    """

    table: Table
    ranked: list[tuple[str, list[ResultCell]]]
    controls: list[tuple[str, list[ResultCell]]]
    directions: list[str]


def result_tables(summary: pd.DataFrame) -> list[ResultTable]:
    """Return the headline tables of a summary."""
    return [_result_table(group, table) for group, table in zip(summary_groups(summary), summary_tables(summary), strict=True)]


def _result_table(group: SummaryGroup, table: Table) -> ResultTable:
    rows = {False: list[tuple[str, list[ResultCell]]](), True: list[tuple[str, list[ResultCell]]]()}
    by_dim = {section.dim: section for section in table.sections}
    for control, section in by_dim.items():
        for name, cells in zip(group.explainers(control=control), section.rows, strict=True):
            lines = [group.cells.get((name, column)) for column in group.columns]
            lines += [None] * (len(cells) - 1 - len(lines))
            own = [_cell(cell.text, cell.interval, cell.marker, cell.emphasis, line) for cell, line in zip(cells[1:], lines, strict=True)]
            first = ResultCell(cells[0].text, "", cells[0].marker, "", math.nan, "")
            rows[control].append((name, [first, *own]))
    ways = {True: "descending", False: "ascending", None: ""}
    directions = ["", *(ways[column.higher_is_better] for column in group.columns)]
    directions += [""] * (len(table.columns) - len(directions))
    return ResultTable(table, rows[False], rows[True], directions)


def _cell(text: str, interval: str, marker: str, emphasis: str, line: Mapping[Any, Any] | None) -> ResultCell:
    if line is None:
        number = float(text) if text.replace(".", "", 1).isdecimal() else math.nan
        return ResultCell(text, interval, marker, emphasis, number, "")
    counts = [f"{line[name]} {word}" for name, word in _COUNTS.items() if line[name]]
    about = f"{line['n']} images{''.join(f', {count}' for count in counts)}; protocol {line['protocol']}"
    return ResultCell(text, interval, marker, emphasis, float(line["mean"]), about)


_COUNTS = {"n_failed": "failed", "n_undefined": "undefined", "n_not_applicable": "not applicable", "n_constant": "with a constant map"}


@dataclass(frozen=True)
class Failure:
    """Values of one kind that are missing, or of constant maps.

    Attributes:
        status: status of the rows.
        model: name of the model.
        explainer: its spec.
        reason: the reason; empty for constant maps.
        count: number of images.
        images: the first of them.
    """

    status: str
    model: str
    explainer: str
    reason: str
    count: int
    images: tuple[str, ...]


def failures(missing: pd.DataFrame, cells: Cells) -> list[Failure]:
    """Group missing values by status, model, explainer and reason; constant maps follow.

    Args:
        missing: output of `load_missing`.
        cells: cells of the run.
    """
    found = list[Failure]()
    names = ["status", "model", "explainer", "reason"]
    for key, rows in missing.groupby(names, sort=False)["image"]:
        images = list(dict.fromkeys(rows))
        status, model, explainer, reason = map(str, cast("tuple[str, ...]", key))
        found.append(Failure(status, model, explainer, reason, len(images), tuple(images[:_FEW])))
    order = {name: place for place, name in enumerate(("error", "undefined", "not_applicable"))}
    found.sort(key=lambda own: order.get(own.status, len(order)))
    return [*found, *_constant(cells)]


def _constant(cells: Cells) -> Iterator[Failure]:
    is_constant = cells.status == STATUSES.index("constant_map")
    for key, rows in cells.keys.groupby(["model", "explainer"], sort=False).indices.items():
        model, explainer = map(str, cast("tuple[str, str]", key))
        if len(places := np.flatnonzero(is_constant[rows].any(0))):
            names = tuple(cells.images[place] for place in places[:_FEW])
            yield Failure("constant_map", model, explainer, "", len(places), names)


@dataclass(frozen=True)
class Card:
    """What the page says about a model, a data set, an explainer or a metric.

    Attributes:
        name: its name.
        first: what it is, in a sentence; may be empty.
        facts: further facts by heading.
    """

    name: str
    first: str
    facts: Mapping[str, str]


def cards(about: Mapping[str, Any]) -> dict[str, list[Card]]:
    """Return the cards of a run by kind, from its record and the registries; of single images, whose record names no data set, too."""
    return {
        "Models": [Card(name, "", _model_facts(own)) for name, own in about["models"].items()],
        **({"Data": [_data_card(about)]} if "dataset" in about else {}),
        "Explainers": [_explainer_card(name, own) for name, own in about["explainers"].items()],
        "Metrics": [_metric_card(name, own) for name, own in about["metrics"].items()],
    }


def _model_facts(own: Mapping[str, Any]) -> dict[str, str]:
    names = {"weights_hash": "weights", "code": "code of the network"} | {name: name.replace("_", " ") for name in _OF_MODELS}
    found = {heading: _text(own[name]) for name, heading in names.items() if own.get(name) not in (None, "", [])}
    training = own.get("training")
    return found | ({"training": ", ".join(f"{name} {_text(value)}" for name, value in training.items())} if training else {})


def _data_card(about: Mapping[str, Any]) -> Card:
    config, own = about["config"], about["dataset"]
    facts = {"split": _text(config.get("split")), "images": _text(own.get("images")), "fingerprint": _text(own.get("fingerprint"))}
    spec = parse_spec(str(config["dataset"])) if ".py:" not in str(config["dataset"]) else None
    if spec is not None and spec.name in datasets:
        stated = datasets.get(spec.name).facts
        facts |= {name: value for name, value in (("paper", stated.paper), ("licence", stated.licence), ("source", stated.source)) if value}
    if classes := own.get("classes", ()):
        facts["classes"] = f"{len(classes)}: {', '.join(classes[:_FEW])}{', …' * (len(classes) > _FEW)}"
    return Card(str(config["dataset"]), "", facts)


def _explainer_card(name: str, own: Mapping[str, Any]) -> Card:
    facts = {"paper": _text(own.get("paper", "")), "control": "yes" if own.get("control") else ""}
    spec = parse_spec(name)
    if spec.name in explainers:
        stated = explainers.get(spec.name).facts
        facts |= {"needs": ", ".join(stated.needs), "normalisation": stated.normalisation, "range of the raw map": vars(stated)["values"]}
        facts |= {"passes": str(stated.cost) if isinstance(stated.cost, Cost) else ""}
    layers = own.get("layers") or {}
    facts |= {"layer": ", ".join(f"{layer} of {model}" for model, layer in layers.items() if layer)}
    return Card(name, _first(explainers, spec.name), {heading: text for heading, text in facts.items() if text})


def _metric_card(name: str, own: Mapping[str, Any]) -> Card:
    rises = own.get("higher_is_better")
    facts = {
        "paper": _text(own.get("paper", "")),
        "protocol": _text(own.get("protocol", "")),
        "direction": "not stated" if rises is None else f"{'higher' if rises else 'lower'} is better",
        "unit": _text(own.get("unit", "")),
    }
    spec = parse_spec(name)
    if spec.name in metrics:
        stated = metrics.get(spec.name).facts
        facts |= {"range": vars(stated)["values"], "undefined": stated.undefined}
    for switch, value in own.get("switches", {}).items():
        if value:
            facts[f"{switch.replace('_', ' ')} ({SWITCHES[switch]})" if switch in SWITCHES else switch] = str(value)
    return Card(name, _first(metrics, spec.name), {heading: text for heading, text in facts.items() if text})


def sessions(about: Mapping[str, Any]) -> list[Card]:
    """Return the sessions of a run: command, and how and where it ran."""
    found = list[Card]()
    for own in about["sessions"]:
        command = own.get("command", "")
        facts = {name: _text(own.get(name)) for name in ("end", "git", "jobs", "machine", "passes", "versions")}
        text = command if isinstance(command, str) else shlex.join(map(str, command))
        found.append(Card(_text(own.get("start", "")), text, {name: value for name, value in facts.items() if value}))
    return found


def _first(registry: Registry[Any], name: str) -> str:
    return registry.get(name).summary if name in registry else ""


def _text(value: Any) -> str:
    if isinstance(value, Mapping):
        return " · ".join(f"{name} {_text(own)}" for name, own in value.items())
    if isinstance(value, Sequence) and not isinstance(value, str):
        return ", ".join(map(_text, value))
    return "" if value is None else f"{value:.6g}" if isinstance(value, float) else str(value)
