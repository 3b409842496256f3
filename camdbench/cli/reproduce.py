"""`camdbench reproduce`: a table of a paper, our values beside those that are printed."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import click

from camdbench.cli import shared_options

FINISHED_WITH_GAPS = 3


def _roots(ctx: click.Context, parameter: click.Parameter, values: Sequence[str]) -> str | dict[str, str] | None:
    """One folder for all data sets, or one for each as NAME=DIR."""
    del ctx, parameter
    named = dict(value.split("=", 1) for value in values if "=" in value)
    if len(named) == len(values):
        return named or None
    if len(values) != 1:
        raise click.BadParameter("give one DIR for all data sets, or NAME=DIR for each")
    return values[0]


@click.command("reproduce", short_help="Reproduce a table of a paper; print our values beside its own.")
@click.argument("name", metavar="NAME|FILE.yaml")
@click.option(
    "--data-root",
    multiple=True,
    metavar="DIR",
    callback=_roots,
    help="Where data sets lie: each in DIR/NAME or in DIR itself; or NAME=DIR, once for each.",
)
@click.option(
    "--limit", type=click.IntRange(min=1), help="Number of images of each data set, a random sample.  [default: all; 64 with --small]"
)
@click.option("--small", is_flag=True, help="The same recipe on the embedded data and networks; compares nothing.")
@click.option("--method", "methods", multiple=True, metavar="LABEL", help="Only this line of the table; may be given more than once.")
@click.option("--model", "models", multiple=True, metavar="LABEL", help="Only this network of the table; may be given more than once.")
@click.option("--checkpoints", metavar="DIR", help="Folder with networks that are trained first.  [default: OUT/checkpoints]")
@click.option(
    "--train", is_flag=True, help="Train the networks that have to be, as the paper does.  [with --small: small ones, in any case]"
)
@click.option("--out", metavar="DIR", help="Folder for runs and tables.  [default: reproductions/NAME]")
@click.option("--batch-size", default=16, show_default=True, type=click.IntRange(min=1), help="Images at a time.")
@click.option("--download", is_flag=True, help="Let torchvision or timm fetch weights that are not on this machine.")
@shared_options.plugin
@shared_options.device
@shared_options.seed
@shared_options.as_json
@shared_options.quiet
@shared_options.verbose
def command(name: str, as_json: bool, quiet: bool, **request: Any) -> int:
    r"""Reproduce a table or figure of a paper: measured value, interval, the paper's value, difference and agreement.

    NAME is a recipe of `camdbench list recipes`, or a file FILE.yaml with FILE.csv of printed values beside it.

    A cell agrees where the paper's value, as far as its rounding goes, lies in our 95 % interval. What cannot be run here
    says why, and the rest is run all the same. The same command again continues.

    \b
    camdbench reproduce opticam-table1 --small
    camdbench reproduce opticam-table1 --data-root DIR --limit 1000 --download
    camdbench reproduce soloss-table1 --data-root cub200=DIR --data-root pets=DIR --method CE-Loss

    Exit codes: 0 every cell that can be measured was, 3 some were not.
    """
    from camdbench.cli.output import show
    from camdbench.papers.render import paper_data, paper_tables
    from camdbench.papers.reproduce import reproduce, write_tables

    def log(text: str) -> None:
        if not quiet:
            click.echo(text, err=True)

    done = reproduce(name, log=log, **request)
    write_tables(done)
    show(paper_tables(done.table, done.lines), paper_data(done.lines), "json" if as_json else "table", notes_last=True)
    log(f"runs and tables: {done.out}")
    return FINISHED_WITH_GAPS if done.failed else 0
