"""`camdbench figures`: pictures of a run's numbers."""

from __future__ import annotations

import click

from camdbench.cli import shared_options


@click.command("figures", short_help="Draw bars, images, curves and ranks of a run.")
@click.argument("run")
@click.option("--out", metavar="DIR", help="Folder to write to.  [default: RUN/figures]")
@click.option("--format", "form", type=click.Choice(["png", "pdf", "svg"]), default="png", show_default=True)
@shared_options.verbose
def command(run: str, out: str | None, form: str) -> None:
    r"""Draw what a run holds: means with intervals, values of images, curves, and critical-difference diagrams.

    Where it holds an explainer under several powers, as in --explainers 'gradcam,power(gradcam, alpha=2.0)', each metric is
    drawn against the power too.

    \b
    camdbench figures runs/shortcuts-val-1a2b3c4d
    camdbench figures RUN --out figures --format pdf
    """
    from pathlib import Path

    from camdbench.reporting.figures import save_figures

    for path in save_figures(run, Path(run, "figures") if out is None else out, form=form):
        click.echo(path)
