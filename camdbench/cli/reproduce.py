"""`camdbench reproduce`: a table of a paper, with our values beside the printed ones."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import click

from camdbench.cli import shared_options
from camdbench.cli.console import echo
from camdbench.cli.names import complete_recipe

FINISHED_WITH_GAPS = 3


def _roots(ctx: click.Context, parameter: click.Parameter, values: Sequence[str]) -> str | dict[str, str] | None:
    """Parse --data-root: one folder for all data sets, or NAME=DIR for each."""
    del ctx, parameter
    named = dict(value.split("=", 1) for value in values if "=" in value)
    if len(named) == len(values):
        return named or None
    if len(values) != 1:
        raise click.BadParameter("expected one DIR for all data sets, or NAME=DIR for each")
    return values[0]


@click.command("reproduce", short_help="Reproduce a table of a paper; compare with its printed values.")
@click.argument("name", metavar="NAME|FILE.yaml", shell_complete=complete_recipe)
@click.option(
    "--data-root",
    multiple=True,
    metavar="DIR",
    callback=_roots,
    help="Directory of the data sets, each in DIR/NAME or in DIR; or NAME=DIR, once per data set.",
)
@click.option(
    "--limit", type=click.IntRange(min=1), help="Use N images of each data set, drawn at random.  [default: all; 64 with --small]"
)
@click.option("--small", is_flag=True, help="Run the recipe on the embedded data set and models; values are not compared.")
@click.option("--method", "methods", multiple=True, metavar="LABEL", help="Only this row of the table; repeatable.")
@click.option("--model", "models", multiple=True, metavar="LABEL", help="Only this model of the table; repeatable.")
@click.option("--checkpoints", metavar="DIR", help="Folder of trained checkpoints.  [default: OUT/checkpoints]")
@click.option("--train", is_flag=True, help="Train missing checkpoints as in the paper.  [with --small: always, on small models]")
@click.option("--out", metavar="DIR", help="Output folder: runs and tables.  [default: reproductions/NAME]")
@click.option(
    "--batch-size", default=16, show_default=True, type=click.IntRange(min=1), help="Images per batch; halved if memory runs out."
)
@click.option("--download", is_flag=True, help="Allow torchvision and timm to download missing weights.")
@click.option("--report", "reports", is_flag=True, help="Write the report of every finished run (camdbench report).")
@shared_options.plugin
@shared_options.device
@shared_options.seed
@shared_options.as_json
@shared_options.quiet
@shared_options.verbose
def command(name: str, reports: bool, as_json: bool, quiet: bool, **request: Any) -> int:
    r"""Reproduce a table or figure of a paper: our value with 95 % interval, the paper's value, their difference and agreement.

    NAME is a recipe of `camdbench list recipes`, or a file FILE.yaml with FILE.csv of printed values beside it.

    A cell agrees if the paper's value, within its rounding, lies in our 95 % interval. A cell that cannot be run states the
    reason. The same command again resumes.

    \b
    camdbench reproduce opticam-table1 --small
    camdbench reproduce opticam-table1 --data-root DIR --limit 1000 --download
    camdbench reproduce soloss-table1 --data-root cub200=DIR --data-root pets=DIR --method CE-Loss

    Exit codes: 0 every cell that can be run was measured, 3 some failed.
    """
    from camdbench.cli.output import show, show_report
    from camdbench.papers.paper_tables import paper_data, paper_tables
    from camdbench.papers.reproduce import reproduce, write_tables

    def log(text: str) -> None:
        if not quiet:
            echo(text, err=True)

    done = reproduce(name, log=log, **request)
    write_tables(done)
    show(paper_tables(done.table, done.lines), paper_data(done.lines), "json" if as_json else "table", notes_last=True)
    log(f"runs and tables: {done.out}")
    for run in done.runs if reports else ():
        show_report(run)
    return FINISHED_WITH_GAPS if done.failed else 0
