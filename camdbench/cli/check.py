"""`camdbench check`: regression check against golden values."""

from __future__ import annotations

from pathlib import Path

import click

from camdbench.cli import shared_options
from camdbench.cli.console import echo
from camdbench.cli.names import complete_path

MOVED = 4


@click.command("check", short_help="Compare a run with golden values; exit code 4 if one moved.")
@click.argument("run", shell_complete=complete_path("RUN"))
@click.option(
    "--against",
    required=True,
    metavar="FILE",
    shell_complete=complete_path("FILE"),
    help="CSV of golden values, such as results/golden.csv.",
)
@click.option("--update", is_flag=True, help="Write the run's means to FILE and print those that moved.")
@shared_options.as_json
@shared_options.verbose
def command(run: str, against: str, update: bool, as_json: bool) -> int:
    r"""Compare the means of a run with golden values, each with its tolerance.

    RUN is a run directory or its summary.csv. Exit codes: 0 all agree, 4 a mean or its number of images differs; the table lists
    these cells, --json all cells.

    \b
    camdbench check RUN --against results/golden.csv
    camdbench check RUN/summary.csv --against results/golden.csv --json
    """
    from camdbench.cli.output import show
    from camdbench.tables.golden import check, golden_table, write_golden

    if update and not Path(against).is_file():
        write_golden(run, against)
        echo(f"wrote {against} (new file)", err=True)
        return 0
    comparison = check(run, against)
    show([golden_table(comparison)], comparison.cells, "json" if as_json else "table")
    if update:
        write_golden(run, against)
        echo(f"wrote {against}", err=True)
        return 0
    return 0 if comparison.ok else MOVED
