"""Pages of recipes, and which recipe uses which explainer, metric, loss and data set."""

from __future__ import annotations

from collections.abc import Iterator
from functools import cache

from _docstrings import cell, prose, table
from _page_text import file_of, link

from camdbench.core.registries import datasets, explainers, losses, metrics
from camdbench.core.registry import Registry
from camdbench.core.spec import Spec, parse_specs
from camdbench.papers.jobs import Plan, plan
from camdbench.papers.probes import METRIC
from camdbench.papers.recipe_files import load_table, recipe_files
from camdbench.papers.requirements import requirements
from camdbench.papers.table_recipe import PaperTable

STATE = (
    "settings and commands are tested on the embedded networks (`--small`); "
    "the printed values are not yet measured again on the paper's data"
)
_KINDS: dict[str, Registry] = {"explainers": explainers, "metrics": metrics, "losses": losses, "datasets": datasets}


@cache
def tables() -> tuple[PaperTable, ...]:
    """All recipes, in the order of their papers."""
    return tuple(load_table(name) for name in recipe_files())


@cache
def recipes_of() -> dict[tuple[str, str], tuple[str, ...]]:
    """Recipes by kind and name of an entry that they use."""
    found = dict[tuple[str, str], list[str]]()
    for each in tables():
        for key in dict.fromkeys(_used(plan(each))):
            found.setdefault(key, []).append(each.name)
    return {key: tuple(names) for key, names in found.items()}


def _used(planned: Plan) -> Iterator[tuple[str, str]]:
    """Kind and name of everything that a table measures or trains."""
    for each in planned.cells:
        for setting in each.jobs:
            training = setting.training.fields if setting.training else {}
            data = [setting.dataset, str(training.get("data", {}).get("dataset", ""))]
            for kind, specs in {"datasets": data, "losses": [str(training.get("loss", "ce"))] if training else []}.items():
                yield from ((kind, name) for spec in specs if spec for name in _names(kind, spec))
        if each.jobs:
            yield from (("explainers", name) for name in _names("explainers", each.explainer))
            yield from (("metrics", name) for name in _names("metrics", each.metric) if each.metric != METRIC)


def _names(kind: str, text: str) -> list[str]:
    """Registered names of a spec and of what it wraps; none of `none`."""
    return [name for spec in parse_specs(text) for name in _inside(spec) if name in _KINDS[kind]]


def _inside(spec: Spec) -> Iterator[str]:
    yield spec.name
    for wrapped in spec.wrapped:
        yield from _inside(wrapped)


def recipe_page(each: PaperTable) -> str:
    """Page of a recipe."""
    wanted, planned = requirements(each), plan(each)
    facts = {
        "paper": cell(each.recipe.paper),
        "place": cell(each.recipe.table),
        "cells": wanted.cells,
        "printed values": sum(one.number is not None for one in each.values),
        "cells that cannot be measured": wanted.missing,
        "data": ", ".join(link("datasets", name) for name in wanted.data),
        "weights": ", ".join(f"`{name}`" for name in wanted.weights),
        "networks to train": wanted.trained,
        "image passes per image": wanted.passes,
        "seeds": ", ".join(map(str, each.recipe.seeds)),
        "state": STATE,
    }
    lines = [f"(recipes-{each.name})=", "", f"# {each.name}", "", f"{prose(each.recipe.summary[0].upper() + each.recipe.summary[1:])}.", ""]
    lines += table(("fact", "value"), [(name, str(value)) for name, value in facts.items() if value not in ("", 0)])
    lines += [
        "## Commands",
        "",
        "```",
        f"camdbench reproduce {each.name} --small",
        f"camdbench reproduce {each.name} --data-root DIR --download",
    ]
    lines += [f"camdbench reproduce {each.name} --data-root DIR --download --train"] * bool(wanted.trained) + ["```", ""]
    lines += ["[Reproducing the tables](../../reproduce.md) explains the commands and the agreement of each cell.", ""]
    lines += ["## Settings", "", *_settings(planned), "## Printed values", "", *_printed(each)]
    reasons = dict.fromkeys(one.reason for one in planned.cells if one.reason)
    if each.recipe.notes or reasons:
        lines += ["## Notes", "", *(f"- {prose(note)}" for note in (*each.recipe.notes, *reasons)), ""]
    return "\n".join(lines).rstrip() + "\n"


def _settings(planned: Plan) -> list[str]:
    """Which explainer stands for each line, and which metric for each column."""
    methods, columns = dict[str, dict[str, None]](), dict[str, dict[str, None]]()
    for one in planned.cells:
        if one.jobs:
            methods.setdefault(one.paper.method, {})[_linked("explainers", one.explainer)] = None
            columns.setdefault(one.paper.metric, {})[_linked("metrics", one.metric)] = None
    lines = table(("line", "explainer"), [(cell(label), ", ".join(specs)) for label, specs in methods.items()])
    return lines + table(("column", "metric"), [(cell(label), ", ".join(specs)) for label, specs in columns.items()])


def _linked(kind: str, text: str) -> str:
    names = _names(kind, text) if text != METRIC else []
    shown = f"`{text}`".replace("|", "\\|")
    return f"[{shown}](../{kind}/{file_of(names[0])}.md)" if names else shown


def _printed(each: PaperTable) -> list[str]:
    """The paper's values: a line for each data set, network and method, a column for each metric."""
    columns = list(dict.fromkeys(one.metric for one in each.values))
    rows = dict[tuple[str, str, str], dict[str, str]]()
    for one in each.values:
        rows.setdefault(one.labels[:3], {})[one.metric] = f"{one.value} ± {one.std}" if one.std else one.value
    if not any(value for row in rows.values() for value in row.values()):
        return ["The paper shows a figure without numbers.", ""]
    axes = [at for at in range(3) if at == 2 or len({labels[at] for labels in rows}) > 1]
    head = (*(("data set", "network", "method")[at] for at in axes), *map(cell, columns))
    return table(head, [(*(cell(labels[at]) for at in axes), *(row.get(one, "") for one in columns)) for labels, row in rows.items()])
