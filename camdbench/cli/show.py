"""Printing tables on stdout."""

from __future__ import annotations

from typing import TYPE_CHECKING

import click

if TYPE_CHECKING:
    import pandas as pd


FINISHED_WITH_FAILURES = 3


def show_summary(summary: pd.DataFrame, *, as_json: bool) -> None:
    """Print a summary."""
    from rich.console import Console

    from camdbench.tables.render import render, to_json

    if as_json:
        click.echo(to_json(summary))
    else:
        Console().print(render(summary))


def show_run(rows: pd.DataFrame, *, as_json: bool, quiet: bool) -> int:
    """Write and print the summary of what has just been run, say where it lies and what failed; return the exit code."""
    from camdbench.tables.summary import write_summary

    summary = write_summary(rows.attrs["run"])
    show_summary(summary[summary["explainer"].isin(rows["explainer"])], as_json=as_json)
    if not quiet:
        click.echo(f"rows, costs and summary: {rows.attrs['run']}", err=True)
    return FINISHED_WITH_FAILURES if show_failures(rows) else 0


def show_failures(rows: pd.DataFrame) -> int:
    """Say on stderr what has no value and why, one line for each reason; return the number of rows that failed.

    An explainer that has no meaning on a model has not failed.
    """
    failed = rows[rows["status"].isin(["error", "not_applicable"])]
    once = failed.drop_duplicates(["model", "explainer", "status", "reason", "image"])
    for reason, images in (
        (once["status"] + ": " + once["model"] + ", " + once["explainer"] + ": " + once["reason"]).value_counts(sort=False).items()
    ):
        click.echo(f"{reason} ({images} image{'s' if images > 1 else ''})", err=True)
    return int((failed["status"] == "error").sum())
