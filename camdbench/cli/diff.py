"""`camdbench diff`: settings in which two runs or two protocols differ."""

from __future__ import annotations

import click

from camdbench.cli import shared_options
from camdbench.cli.console import echo
from camdbench.cli.names import complete_path


@click.command("diff", short_help="List the settings in which two runs, or two protocols of a metric, differ.")
@click.argument("a", shell_complete=complete_path("RUN"))
@click.argument("b", shell_complete=complete_path("RUN"))
@shared_options.plugin
@shared_options.as_json
@shared_options.verbose
def command(a: str, b: str, as_json: bool) -> None:
    r"""List the settings in which two runs, or two protocols of a metric, differ.

    \b
    camdbench diff insertion 'insertion(protocol=rise)'
    camdbench diff runs/mine runs/theirs
    """
    from camdbench.cli.output import show
    from camdbench.tables.comparison_tables import diff_table
    from camdbench.tables.protocol_diff import ONLY_A, ONLY_B, diff

    found = diff(a, b)
    if found.empty and not as_json:
        echo("no setting, option or input differs")
        return
    alone = found["setting"].isin([ONLY_A, ONLY_B])
    show(diff_table(found[~alone], a, b), found, "json" if as_json else "table")
    for line in [] if as_json else found[alone].to_dict("records"):
        run, names = (a, line["a"]) if line["setting"] == ONLY_A else (b, line["b"])
        echo(f"only in {run}: {names}")
