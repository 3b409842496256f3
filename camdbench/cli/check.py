"""`camdbench check`: the regression gate."""

from __future__ import annotations

from pathlib import Path

import click

from camdbench.cli import shared_options

MOVED = 4


@click.command("check", short_help="Compare a run with golden values; exit 4 if one moved.")
@click.argument("run")
@click.option("--against", required=True, metavar="FILE", help="CSV of golden values, such as results/golden.csv.")
@click.option("--update", is_flag=True, help="Write the run's values to FILE instead, and print what moved.")
@shared_options.verbose
def command(run: str, against: str, update: bool) -> int:
    r"""Compare the means of a run with golden values, each within its tolerance.

    Exit code 0 where all agree, 4 with a table of what moved.

    \b
    camdbench check RUN --against results/golden.csv
    """
    from camdbench.cli.output import show
    from camdbench.tables.golden import check, golden_table, write_golden

    if update and not Path(against).is_file():
        write_golden(run, against)
        click.echo(f"wrote {against}, which was not there", err=True)
        return 0
    comparison = check(run, against)
    show([golden_table(comparison)], comparison.cells, "table")
    if update:
        write_golden(run, against)
        click.echo(f"wrote {against}", err=True)
        return 0
    return 0 if comparison.ok else MOVED
