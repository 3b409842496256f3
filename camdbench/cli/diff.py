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
    from camdbench.cli.show import show
    from camdbench.tables.comparison_tables import diff_table
    from camdbench.tables.protocol_diff import ONLY_FIRST, ONLY_SECOND, diff

    found = diff(first, second)
    if found.empty and not as_json:
        click.echo("no switch, option or input differs")
        return
    alone = found["switch"].isin([ONLY_FIRST, ONLY_SECOND])
    show(diff_table(found[~alone], first, second), found, "json" if as_json else "table")
    for line in [] if as_json else found[alone].to_dict("records"):
        run, names = (first, line["first"]) if line["switch"] == ONLY_FIRST else (second, line["second"])
        click.echo(f"only in {run}: {names}")
