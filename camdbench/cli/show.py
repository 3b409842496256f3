"""Printing tables on stdout."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

import click

if TYPE_CHECKING:
    import pandas as pd


def show_summary(run: str, *, as_json: bool, explainers: Sequence[str] | None = None) -> None:
    """Print the summary of a run, of the given explainers where any are given."""
    from rich.console import Console

    from camdbench.tables.render import render, to_json
    from camdbench.tables.summary import summarise

    summary = summarise(run)
    if explainers is not None:
        summary = summary[summary["explainer"].isin(explainers)]
    if as_json:
        click.echo(to_json(summary))
        return
    console = Console()
    console.print(render(summary))
    click.echo(f"rows, costs and summary: {run}", err=True)


def show_failures(rows: pd.DataFrame) -> int:
    """Say on stderr what went wrong, one line for each reason; return the number of failed rows."""
    failed = rows[rows["status"].isin(["error", "not_applicable"])]
    once = failed.drop_duplicates(["model", "explainer", "status", "reason", "image"])
    for reason, images in (
        (once["status"] + ": " + once["model"] + ", " + once["explainer"] + ": " + once["reason"]).value_counts(sort=False).items()
    ):
        click.echo(f"{reason} ({images} image{'s' if images > 1 else ''})", err=True)
    return len(failed)
