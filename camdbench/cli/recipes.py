"""`camdbench list recipes`: tables and figures that can be reproduced, with their requirements."""

from __future__ import annotations

import shutil
import sys
import textwrap
from typing import Any

from camdbench.cli import shared_options
from camdbench.cli.console import echo
from camdbench.core.cost import PassEstimate
from camdbench.papers.recipe_files import load_table, recipe_files
from camdbench.papers.requirements import Requirements, requirements
from camdbench.papers.table_recipe import PaperTable

_LEAST = 5  # characters beside a name below which the text starts on the next line


def list_recipes(name: str | None, *, as_json: bool, probe: bool) -> None:
    """Print one line per recipe, or all details of one.

    The run time on this machine is estimated for a single recipe, and for all if `probe` is set.

    Raises:
        UsageError: unknown recipe.
    """
    tables = [load_table(each) for each in ([name] if name is not None else recipe_files())]
    entries = [_describe(table) for table in tables]
    if probe or name is not None:
        _add_times(entries)
    if as_json:
        shared_options.print_json([{key: value for key, value in entry.items() if key != "work"} for entry in entries])
    elif name is not None:
        _print_details(entries[0])
    else:
        width = max(map(len, recipe_files()))
        room = shutil.get_terminal_size().columns if sys.stdout.isatty() else None  # a file has one line for each
        for entry in entries:
            echo(_line(f"{entry['name']:<{width}}  ", f"{entry['summary']}  [{_short(entry)}]", room))
        echo(f"{len(entries)} recipes", err=True)


def _line(name: str, text: str, room: int | None) -> str:
    """Format a name and a text; further lines of the text are indented to the width of the name.

    >>> print(_line("a  ", "one two three", 8))
    a  one
       two
       three
    >>> print(_line("a  ", "one two three", None))
    a  one two three
    """
    if room is None or len(name + text) <= room:
        return name + text
    beside = room - len(name)
    if beside < _LEAST:
        return textwrap.fill(name + text, room, subsequent_indent="  ")
    return textwrap.fill(text, room, initial_indent=name, subsequent_indent=" " * len(name))


def _describe(table: PaperTable) -> dict[str, Any]:
    wanted: Requirements = requirements(table)
    return {
        "name": table.name,
        "summary": table.recipe.summary,
        "table": table.recipe.table,
        "paper": table.recipe.paper,
        "cells": wanted.cells,
        "printed values": sum(cell.number is not None for cell in table.values),
        "cells that nothing helps": wanted.missing,
        "data": list(wanted.data),
        "weights": list(wanted.weights),
        "networks to train": wanted.trained,
        "passes per image": str(wanted.passes),
        "work": wanted.work,
        "notes": list(table.recipe.notes),
    }


def _add_times(entries: list[dict[str, Any]]) -> None:
    """Estimate the time of the explainers: image passes times measured seconds per pass."""
    from camdbench.core.errors import UsageError
    from camdbench.runner.timing import Pace, duration, paces

    try:
        pace = paces(dict.fromkeys(network for entry in entries for network in entry["work"]))
    except UsageError as error:  # timm is not installed
        pace = dict[str, Pace]()
        echo(f"no time estimate: {error}", err=True)
    for entry in entries:
        work: dict[str, PassEstimate] = entry["work"]
        if work and work.keys() <= pace.keys():
            seconds = sum(pace[network].seconds(passes) for network, passes in work.items())
            least = "at least " if any(passes.lower_bound for passes in work.values()) else ""
            entry["estimated time"] = f"{least}{duration(seconds)} for the explainers, without metrics and training"


def _short(entry: dict[str, Any]) -> str:
    trained = entry["networks to train"]
    parts = [
        f"{entry['cells']} cells",
        "data " + ", ".join(entry["data"]) if entry["data"] else "",
        "weights " + ", ".join(entry["weights"]) if entry["weights"] else "",
        f"trains {trained}" if trained else "",
        f"passes/image {entry['passes per image']}",
        entry.get("estimated time", "").partition(" for ")[0],
    ]
    return "; ".join(filter(None, parts))


def _print_details(entry: dict[str, Any]) -> None:
    echo(f"{entry['name']}\n\n{entry['summary']}\n")
    for key, value in entry.items():
        if key not in ("name", "summary", "notes", "work") and value not in ([], 0):
            echo(f"{key:<26}{', '.join(value) if isinstance(value, list) else value}")
    for note in entry["notes"]:
        echo(f"- {note}")
