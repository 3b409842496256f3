"""Printed tables of an audit: networks, explainers by tracking, metrics by tau."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any

import pandas as pd

from camdbench.tables.table import Cell, Column, Section, Table

if TYPE_CHECKING:
    from camdbench.auditing.audit import AuditTables

_CONTROLS = ("fakecam", "random", "centre", "edges")
_LEVELS = ("tracking", "error", "cells")
_NETWORKS = (
    Column("model", "network", "name"),
    Column("n", "images", "number"),
    Column("accuracy", "accuracy", "number", "%"),
    Column("share", "r", "number"),
    Column("share_positive", "r+", "number"),
    Column("se_share", "se", "number"),
    Column("reliability", "reliability", "number"),
)
_EXPLAINERS = (
    Column("explainer", "explainer", "name"),
    Column("share_map", "s", "number"),
    Column("error", "error", "number", "↓"),
    Column("tracking", "tracking", "number", "↑"),
    Column("slope", "slope", "number"),
    Column("spearman", "Spearman", "number"),
    Column("partial", "given area", "number"),
    Column("cell_spearman", "cells", "number"),
    Column("sign_accuracy", "sign", "number"),
)
_HEADS = {
    "networks": "Networks: share of the object in the score, by intervention",
    "explainers": "Explainers against the truth",
    "metrics": "Metrics against the truth",
    "reliability": "Reliability of metrics",
    "agreement": "Agreement of metrics with themselves",
    "meta": "Meta-consistency under perturbations",
}
_MEANING = (
    "r: share of the object in the effects on the score, r+: of the positive ones; s: share of the map's positive mass on it.",
    "error: mean |s - r+|; tracking, slope: correlation and slope of s on r+ of the same image over networks.",
    "tau: Kendall's tau-b of the explainers' mean values with their truth; alpha: Krippendorff's alpha of the images' ranks.",
    "above: probability in % that an explainer scores above fakecam, random, centre, edges.",
)


def audit_tables(tables: AuditTables) -> list[Table]:
    """Return the printed tables; columns without any value are left out, and a long form is in the CSV files."""
    found = list[Table]()
    if len(tables.networks):
        found += [_networks(tables.networks), _explainers(tables.explainers), _metrics(tables.metrics, tables)]
    else:
        found.append(_reliability(tables.metrics, tables.notes))
    if len(tables.agreement):
        found.append(_plain("agreement", tables.agreement, ("metric", "with"), ("order", "within_images", "within_explainers", "n")))
    if len(tables.meta):
        found.append(_plain("meta", tables.meta, ("metric", "rule"), ("iac_nr", "iac_ar", "iec_nr", "iec_ar", "mc")))
    return found


def _networks(networks: pd.DataFrame) -> Table:
    rows = [
        (
            Cell(str(line.model)),
            Cell(str(line.n)),
            Cell(_digits(line.accuracy, 1)),
            _number(line.share, line.share_low, line.share_high),
            *(_number(value) for value in (line.share_positive, line.se_share, line.reliability)),
        )
        for line in networks.sort_values("share", kind="stable").itertuples()
    ]
    return Table(_HEADS["networks"], _NETWORKS, (Section(tuple(rows)),))


def _explainers(explainers: pd.DataFrame) -> Table:
    """Explainers over all networks, those of each set by tracking."""
    own = explainers[explainers["model"] == "*"].sort_values("tracking", ascending=False, kind="stable")
    columns = [column for column in _EXPLAINERS if column.kind == "name" or own[column.key].notna().any()]
    sections = list[Section]()
    for kind in ("real", "control", "oracle"):
        rows = tuple(tuple(_explainer_cell(line, column.key) for column in columns) for line in own[own["set"] == kind].to_dict("records"))
        sections += [Section(rows, dim=kind != "real")] if rows else []
    return Table(_HEADS["explainers"], tuple(columns), tuple(sections))


def _explainer_cell(line: Mapping[Any, Any], key: str) -> Cell:
    if key == "explainer":
        same = str(line["same_as"] or "")
        return Cell(str(line["explainer"]), marker=f"= {same}" if same else "")
    return _number(line[key], line.get(f"{key}_low"), line.get(f"{key}_high"))


def _metrics(metrics: pd.DataFrame, tables: AuditTables) -> Table:
    """One line per metric: taus of all networks over real explainers, controls, alpha, conclusion."""
    own = metrics[(metrics["set"] == "real") & (metrics["model"] == "*")]
    levels = [name for name in _LEVELS if own.loc[own["truth"] == name, "tau"].notna().any()] or ["error"]
    lines = {name: own[own["truth"] == name].set_index("metric") for name in levels}
    main = lines[levels[0]].sort_values("tau", ascending=False, kind="stable")
    columns = (
        Column("metric", "metric", "name"),
        *(Column(f"tau_{name}", f"tau {name}", "number") for name in levels),
        Column("above", "above", "number"),
        Column("alpha", "alpha", "number"),
        Column("conclusion", "conclusion", "text"),
    )
    rows = list[tuple[Cell, ...]]()
    for metric in main.index:
        line = main.loc[metric]
        taus = [_number(*(lines[name].loc[metric, key] for key in ("tau", "tau_low", "tau_high"))) for name in levels]
        above = " ".join(_digits(100 * line[f"above_{name}"], 0) or "–" for name in _CONTROLS)
        rows.append((Cell(str(metric)), *taus, Cell(above), _number(line["alpha"]), Cell(str(line["conclusion"]))))
    return Table(_HEADS["metrics"], columns, (Section(tuple(rows)),), (*_MEANING, *_footnote(own, levels), *tables.notes))


def _footnote(own: pd.DataFrame, levels: Sequence[str]) -> list[str]:
    """Ceilings, numbers of explainers and images, the truth of the conclusions, and what fools metrics."""
    found = list[str]()
    for name in levels:
        lines = own[own["truth"] == name]
        ceiling = lines["ceiling"].max()
        found.append(f"{name}: ceiling {_digits(ceiling, 2) or 'none'}, E = {lines['explainers'].max()}, n = {lines['n'].max()}.")
    found.append(f"conclusion: on tau {levels[0]}.")
    fooled = own[own["fooled_by"].fillna("") != ""].drop_duplicates("metric")
    return found + [f"{line.metric}: fooled by {line.fooled_by}." for line in fooled.itertuples()]


def _reliability(metrics: pd.DataFrame, notes: tuple[str, ...]) -> Table:
    columns = (
        Column("metric", "metric", "name"),
        Column("alpha", "alpha", "number"),
        Column("inter_method", "inter-method", "number"),
        Column("consistency", "consistency", "number"),
        Column("consistency_with", "with", "name"),
    )
    rows = [
        (
            Cell(str(line.metric)),
            _number(line.alpha, line.alpha_low, line.alpha_high),
            _number(line.inter_method),
            _number(line.consistency),
            Cell(str(line.consistency_with)),
        )
        for line in metrics[metrics["model"] == "*"].sort_values("alpha", ascending=False, kind="stable").itertuples()
    ]
    return Table(_HEADS["reliability"], columns, (Section(tuple(rows)),), notes)


def _plain(kind: str, table: pd.DataFrame, texts: tuple[str, ...], numbers: tuple[str, ...]) -> Table:
    columns = (*(Column(name, name, "name") for name in texts), *(Column(name, name.replace("_", " "), "number") for name in numbers))
    rows = [
        (*(Cell(str(line[name])) for name in texts), *(Cell(str(line[name])) if name == "n" else _number(line[name]) for name in numbers))
        for line in table.to_dict("records")
    ]
    return Table(_HEADS[kind], columns, (Section(tuple(rows)),))


def _number(value: object, low: object = None, high: object = None) -> Cell:
    """A number with two digits, and its interval; a dash without a value."""
    text, ends = _digits(value, 2), (_digits(low, 2), _digits(high, 2))
    return Cell(text or "–", f"[{ends[0]}, {ends[1]}]" if text and all(ends) else "")


def _digits(value: object, digits: int) -> str:
    """A number as text; empty if there is none.

    >>> _digits(0.123, 2), _digits(float("nan"), 2), _digits(-0.001, 2)
    ('0.12', '', '0.00')
    """
    if not isinstance(value, int | float) or math.isnan(value):
        return ""
    return f"{round(float(value), digits) + 0.0:.{digits}f}"
