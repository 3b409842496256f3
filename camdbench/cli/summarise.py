"""`camdbench summarise`: the table of a run."""

from __future__ import annotations

from typing import Literal

import click

from camdbench.cli import options


@click.command("summarise", short_help="Print the table of a run.")
@click.argument("run")
@click.option("--format", "form", type=click.Choice(["table", "csv", "markdown", "latex", "json"]), default="table", show_default=True)
@click.option(
    "--interval",
    type=click.Choice(["percentile", "bca"]),
    default="percentile",
    show_default=True,
    help="How the bootstrap's ends are found.",
)
@click.option(
    "--significance", is_flag=True, help="Mark by † what a permutation test does not tell from the best; it takes a while for many pairs."
)
@options.as_json
@options.verbose
def command(run: str, form: str, interval: Literal["percentile", "bca"], significance: bool, as_json: bool) -> None:
    r"""Print means with 95 % bootstrap intervals over images, and write them beside the rows.

    \b
    camdbench summarise runs/shortcuts-val-1a2b3c4d
    camdbench summarise RUN --format latex > table.tex
    camdbench summarise RUN --format markdown --significance
    """
    from camdbench.cli.show import show_summary
    from camdbench.tables import render
    from camdbench.tables.summary import summarise, write_summary

    summary = write_summary(run, summarise(run, interval=interval))
    if significance:
        from camdbench.tables.compare import compare
        from camdbench.tables.significance import against_best

        summary = against_best(summary, compare(run))
    if form in ("table", "json") or as_json:
        show_summary(summary, as_json=as_json or form == "json")
        return
    write = {"csv": render.to_csv, "markdown": render.to_markdown, "latex": render.to_latex}[form]
    click.echo(write(summary).rstrip("\n"))
