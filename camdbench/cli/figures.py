"""`camdbench figures`: figures of a run."""

from __future__ import annotations

import click

from camdbench.cli import shared_options
from camdbench.cli.console import echo
from camdbench.cli.names import complete_path


@click.command("figures", short_help="Plot means, image values, curves and ranks of a run.")
@click.argument("run", shell_complete=complete_path("RUN"))
@click.option("--out", metavar="DIR", help="Output folder.  [default: RUN/figures]")
@click.option("--format", "form", type=click.Choice(["png", "pdf", "svg"]), default="png", show_default=True, help="File format.")
@click.option("--ranks", is_flag=True, help="Also plot critical-difference diagrams of ranks (extra stats).")
@shared_options.verbose
def command(run: str, out: str | None, form: str, ranks: bool) -> None:
    r"""Plot means with intervals, box plots of image values and curves; with --ranks, critical-difference diagrams of ranks.

    If an explainer was run with several powers, as in --explainers 'gradcam,power(gradcam, alpha=2.0)', each metric is also
    plotted against the power.

    \b
    camdbench figures runs/shortcuts-val-1a2b3c4d
    camdbench figures RUN --out figures --format pdf --ranks
    """
    from pathlib import Path

    from camdbench.reporting.figures import save_figures

    for path in save_figures(run, Path(run, "figures") if out is None else out, form=form, ranks=ranks):
        echo(path)
