"""Printing tables on stdout."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from camdbench.core.signs import visible

if TYPE_CHECKING:
    import pandas as pd

    from camdbench.runner.run import CompleteRun
    from camdbench.tables.render import Format
    from camdbench.tables.table import Table


FINISHED_WITH_FAILURES = 3
in_format = click.option(
    "--format",
    "form",
    type=click.Choice(["table", "csv", "markdown", "latex", "json"]),
    default="table",
    show_default=True,
    help="Output format.",
)


def show(tables: Sequence[Table], data: pd.DataFrame, form: Format, *, notes_last: bool = False) -> None:
    """Print tables; CSV and JSON hold their data unrounded."""
    from camdbench.tables.render import render, to_console

    if form == "table":
        from rich.console import Console

        Console().print(to_console(tables, notes_last=notes_last))
    else:
        click.echo(render(tables, data, form), nl=False)


def show_summary(summary: pd.DataFrame, form: Format) -> None:
    """Print a summary."""
    from camdbench.tables.summary_tables import summary_tables

    show(summary_tables(summary), summary, form)


def show_run(run: CompleteRun, *, as_json: bool, quiet: bool) -> int:
    """Write and print the summary of a run, its directory and its failures; return the exit code.

    A shard has a line on stderr in place of the summary, which would be of a part of the images.
    """
    from camdbench.tables.load import load_missing, load_run

    if run.shard:
        if as_json:
            click.echo("[]")
        if not quiet:
            click.echo(visible(f"{run.shard}: {run.directory}"), err=True)
        return FINISHED_WITH_FAILURES if show_failures(load_missing(run.directory, run.explainers, run.chunks)) else 0
    from camdbench.tables.summary import summarise, write_summary

    summary = summarise(run.directory)
    own = summary[summary["explainer"].isin(run.explainers)]
    show_summary(own, "json" if as_json else "table")
    write_summary(run.directory, summary)  # last: a full disk does not hide the numbers
    if not quiet:
        click.echo(f"rows, usage and summary: {run.directory}", err=True)
        for name, facts in load_run(run.directory)["models"].items():
            if passes := facts.get("check", {}).get("passes"):  # a run of an earlier version has none
                counts = ", ".join(f"{count} {kind}" for kind, count in passes.items())
                click.echo(visible(f"passes that checked the network {name} beforehand, in no usage: {counts}"), err=True)
    if not own[["n_failed", "n_not_applicable"]].to_numpy().any():
        return 0
    return FINISHED_WITH_FAILURES if show_failures(load_missing(run.directory, run.explainers)) else 0


def show_report(*runs: Path | str, **options: Any) -> Path:
    """Write the report of runs and print its address on stderr; options of `camdbench.report`."""
    from camdbench.reporting.report import report

    page = report(*runs, **options).file
    click.echo(f"open {page.resolve().as_uri()}", err=True)
    return page


def show_failures(rows: pd.DataFrame) -> int:
    """Print why values are missing, one line per reason, on stderr.

    Returns:
        Number of rows with status `error`; `not_applicable` is no failure.
    """
    failed = rows[rows["status"].isin(["error", "not_applicable"])]
    once = failed.drop_duplicates(["model", "explainer", "status", "reason", "image"])
    for reason, images in (
        (once["status"] + ": " + once["model"] + ", " + once["explainer"] + ": " + once["reason"]).value_counts(sort=False).items()
    ):
        click.echo(visible(f"{reason} ({images} image{'s' if images > 1 else ''})"), err=True)
    return int((failed["status"] == "error").sum())
