"""Tables of all explainers, metrics, losses, data sets, model families and recipes, each line with a link to its page."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from typing import Any

from _docstrings import cell, prose, table
from _model_pages import families, refused
from _page_text import file_of, first_sentence
from _recipe_pages import STATE, tables

from camdbench.core.facts import arrow
from camdbench.core.registries import datasets, explainers, losses, metrics
from camdbench.core.registry_entry import Entry
from camdbench.papers.requirements import requirements


def _page(title: str, text: str, lines: list[str], names: Iterable[str]) -> str:
    return "\n".join([f"# {title}", "", text, "", *lines, "```{toctree}", ":hidden:", "", *map(file_of, names), "```", ""])


def _to(name: str) -> str:
    return f"[`{name}`]({file_of(name)}.md)"


def _cost(entry: Entry[Any]) -> str:
    """Image passes at the defaults."""
    cost = entry.facts.cost
    if cost is None:
        return ""
    return f"{cost.wrapped} x the explainer inside" if entry.wraps else str(cost.passes(entry.defaults()))


def explainer_index() -> str:
    """Table of the explainers, of Captum's methods and of the controls."""

    def rows(wanted: Callable[[Entry[Any]], bool]) -> list[str]:
        return table(
            ("explainer", "map", "needs", "passes per image", "paper"),
            [
                (_to(one.name), first_sentence(one), ", ".join(one.facts.needs) or "-", _cost(one), cell(one.facts.paper))
                for one in explainers
                if wanted(one)
            ],
        )

    lines = ["## Methods", "", *rows(lambda one: not one.facts.control and ":" not in one.name and not one.wraps)]
    lines += ["## Wrappers", "", "A wrapper takes another explainer in its brackets: `smooth(gradcam)`.", ""]
    lines += rows(lambda one: one.wraps > 0 and not one.facts.control)
    lines += ["## Controls", "", "Baselines that every method should beat. Tables list them apart and do not rank them.", ""]
    lines += rows(lambda one: one.facts.control)
    lines += ["## Captum", "", "Methods of `captum.attr`, for cross-checks; see [the overview](../../explainers.md#captum).", ""]
    lines += rows(lambda one: one.name.startswith("captum:"))
    text = (
        "Each page states formula, options, cost, differences between implementations and reference test, and shows maps. "
        "[The overview](../../explainers.md) shows all maps side by side."
    )
    return _page("Explainers", text, lines, explainers.names())


def metric_index() -> str:
    """Table of the metrics, those of Quantus apart."""

    def rows(wanted: Callable[[Entry[Any]], bool]) -> list[str]:
        return table(
            ("metric", "value", "better", "needs", "protocols", "paper"),
            [
                (
                    _to(one.name),
                    first_sentence(one),
                    arrow(one.facts.higher_is_better, one.facts.unit) or "not ranked",
                    ", ".join(one.facts.needs) or "-",
                    ", ".join(f"`{protocol.name}`" for protocol in one.protocols),
                    cell(one.facts.paper),
                )
                for one in metrics
                if wanted(one)
            ],
        )

    lines = ["## Of maps", "", *rows(lambda one: one.facts.scope == "map" and ":" not in one.name)]
    lines += ["## Of networks", "", "Properties of the network alone, computed once.", "", *rows(lambda one: one.facts.scope == "model")]
    lines += [
        "## Quantus",
        "",
        "Metrics of the library Quantus 0.6, for cross-checks.",
        "",
        *rows(lambda one: one.name.startswith("quantus:")),
    ]
    text = (
        "Each page states formula, direction, range, protocols, differences between implementations and reference test. "
        "[Protocols](../../protocols.md) are conventions of papers and libraries; [switches](../switches.md) are their parts."
    )
    return _page("Metrics", text, lines, metrics.names())


def loss_index() -> str:
    """Table of the losses."""
    lines = table(
        ("loss", "value", "needs", "paper"),
        [(_to(one.name), first_sentence(one), ", ".join(one.facts.needs) or "-", cell(one.facts.paper)) for one in losses],
    )
    return _page(
        "Losses", "Losses for [training](../../training.md) with explanations. Lower is better for all of them.", lines, losses.names()
    )


def dataset_index() -> str:
    """Table of the data sets."""
    lines = table(
        ("data set", "content", "splits", "annotations", "licence"),
        [
            (
                _to(one.name),
                first_sentence(one),
                ", ".join(one.facts.splits) or "-",
                ", ".join(one.facts.gives) or "-",
                cell(one.facts.licence),
            )
            for one in datasets
        ],
    )
    text = "[Conventions and commands](../../datasets/index.md) of all data sets; [your own data](../../datasets/own.md)."
    return _page("Catalogue of data sets", text, lines, datasets.names())


def model_index(summaries: dict[str, str]) -> str:
    """Table of the model families."""
    lines = table(("family", "networks"), [(_to(name), summaries[name]) for name in families()])
    lines += ["## Not explained", "", "Families of transformers that camdbench refuses:", "", *refused()]
    text = (
        "A classifier of torchvision, timm or transformers is given by name, `--models NAME`. Each family has a default target layer. "
        "Networks outside this list work too: name a layer with `--layer`, see [your own network](../../own.md)."
    )
    return _page("Model families", text, lines, families())


def recipe_index() -> str:
    """Table of the recipes."""
    rows = []
    for one in tables():
        wanted = requirements(one)
        needs = ", ".join(wanted.data) + (f"; trains {wanted.trained} networks" if wanted.trained else "")
        rows.append((_to(one.name), prose(one.recipe.summary), cell(one.recipe.table), str(wanted.cells), needs, str(wanted.passes)))
    lines = table(("recipe", "content", "place", "cells", "needs", "passes per image"), rows)
    text = f"Tables and figures of four papers; see [reproducing them](../../reproduce.md). State: {STATE}."
    return _page("Recipes", text, lines, [one.name for one in tables()])
