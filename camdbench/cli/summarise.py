"""`camdbench summarise`: the summary table of a run."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Literal

import click

from camdbench.cli import shared_options
from camdbench.cli.names import complete_path
from camdbench.cli.output import in_format, show_summary
from camdbench.core.signs import visible

if TYPE_CHECKING:
    from camdbench.tables.render import Format


@click.command("summarise", short_help="Print the summary table of one or several runs.")
@click.argument("runs", nargs=-1, required=True, metavar="RUN_A [RUN_B]...", shell_complete=complete_path("RUN"))
@in_format
@click.option(
    "--interval",
    type=click.Choice(["percentile", "bca"]),
    default="percentile",
    show_default=True,
    help="Bootstrap interval: percentile, or bca (bias-corrected and accelerated).",
)
@click.option(
    "--significance",
    is_flag=True,
    help="Mark with † values not significantly different from the best (paired permutation test).",
)
@shared_options.as_json
@shared_options.verbose
def command(runs: tuple[str, ...], form: Format, interval: Literal["percentile", "bca"], significance: bool, as_json: bool) -> None:
    r"""Print means with 95 % bootstrap intervals over images; also write summary.csv, .md and .tex to the run directory.

    Several runs with different explainers, models or metrics are read as one if data, networks, code, target and protocols agree;
    no file is written then.

    \b
    camdbench summarise runs/shortcuts-val-1a2b3c4d
    camdbench summarise RUN_A RUN_B
    camdbench summarise RUN --format latex > table.tex
    camdbench summarise RUN --format markdown --significance
    """
    from camdbench.tables.pool import load_pooled
    from camdbench.tables.sessions import lost_line, read_sessions
    from camdbench.tables.summary import summarise, write_summary

    pooled = load_pooled(runs)
    for run in runs:
        if line := lost_line(read_sessions(Path(run))):
            click.echo(visible(f"{run}: {line}"), err=True)
    summary = shown = summarise(pooled, interval=interval)
    if significance:
        from camdbench.tables.comparison import compare
        from camdbench.tables.significance import vs_best

        shown = vs_best(summary, compare(pooled))
    show_summary(shown, "json" if as_json else form)
    if len(runs) == 1:
        write_summary(runs[0], summary)  # last: a full disk does not hide the numbers
