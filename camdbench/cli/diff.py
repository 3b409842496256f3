"""`camdbench diff`: why two numbers may differ."""

from __future__ import annotations

import click

from camdbench.cli import options


@click.command("diff", short_help="Name the switches in which two runs, or two readings of a metric, differ.")
@click.argument("first")
@click.argument("second")
@options.plugin
@options.as_json
@options.verbose
def command(first: str, second: str, as_json: bool) -> None:
    r"""Name the switches in which two runs, or two readings of a metric, differ.

    \b
    camdbench diff insertion 'insertion(protocol=rise)'
    camdbench diff runs/mine runs/theirs
    """
    from camdbench.tables.diff import ONLY_FIRST, ONLY_SECOND, diff

    found = diff(first, second)
    if as_json:
        options.print_json(found.to_dict("records"))
        return
    if found.empty:
        click.echo("no switch, option or input differs")
        return
    from rich import box
    from rich.console import Console
    from rich.table import Table
    from rich.text import Text

    alone = found["switch"].isin([ONLY_FIRST, ONLY_SECOND])
    table = Table(box=box.SIMPLE_HEAD)
    for heading in ("of", "switch", str(first), str(second)):
        table.add_column(Text(heading), overflow="fold")
    for line in found[~alone].itertuples(index=False):
        table.add_row(*(Text(str(text)) for text in line))
    if not alone.all():
        Console().print(table)
    for line in found[alone].to_dict("records"):
        run, names = (first, line["first"]) if line["switch"] == ONLY_FIRST else (second, line["second"])
        click.echo(f"only in {run}: {names}")
