"""`camdbench figures`: figures of a run."""

from __future__ import annotations

from typing import TYPE_CHECKING

import click

from camdbench.cli import shared_options
from camdbench.cli.console import echo
from camdbench.cli.names import complete_path

if TYPE_CHECKING:
    from camdbench.reporting.subplot_grid import Width


@click.command("figures", short_help="Plot means, image values, curves and ranks of a run.")
@click.argument("run", shell_complete=complete_path("RUN"))
@click.option("--out", metavar="DIR", help="Output folder.  [default: RUN/figures]")
@click.option("--format", "form", type=click.Choice(["png", "pdf", "svg"]), default="png", show_default=True, help="File format.")
@click.option(
    "--width",
    type=click.Choice(["screen", "single", "double"]),
    default="screen",
    show_default=True,
    help="Width: of a screen, or of one or two columns of a paper (3.4 and 7 inches).",
)
@click.option("--ranks", is_flag=True, help="Also plot critical-difference diagrams of ranks (extra stats).")
@click.option("--strips", metavar="METRIC", help="Metric whose worst and best images are drawn.  [default: the first with a direction]")
@click.option(
    "--stretch", is_flag=True, help="Divide maps by their 99th percentile, for display only; those of gradients are invisible otherwise."
)
@click.option("--no-images", is_flag=True, help="Draw no images, for data that may not be copied.")
@click.option("--data-root", metavar="DIR", shell_complete=complete_path("DIR"), help="Directory of the data set, if it has moved.")
@shared_options.verbose
def command(
    run: str,
    out: str | None,
    form: str,
    width: Width,
    ranks: bool,
    strips: str | None,
    stretch: bool,
    no_images: bool,
    data_root: str | None,
) -> None:
    r"""Plot means with intervals, image values, curves and images with their maps; with --ranks, critical-difference diagrams.

    If explainers were run with several values of an option, as in --explainers 'opticam(iterations=10), opticam(iterations=50)', each
    metric is also plotted against the option. Files are called N-MODEL-KIND, with the KIND bars, images (box plots of values of
    images), curves, aggatt (mean maps of mosaics), strips-METRIC, sweep-EXPLAINER-OPTION or selectivity, and ranks-MODEL-METRIC. Strips
    and aggatt need the maps of the run (--save-maps) and its data set.

    \b
    camdbench figures runs/shortcuts-val-1a2b3c4d
    camdbench figures RUN --out figures --format pdf --width double --ranks
    camdbench figures RUN --strips ag
    """
    from functools import partial
    from pathlib import Path

    from camdbench.reporting.figures import save_figures

    paths = save_figures(
        run,
        Path(run, "figures") if out is None else out,
        form=form,
        width=width,
        ranks=ranks,
        pictures=not no_images,
        strips=strips,
        stretch=stretch,
        data_root=data_root,
        log=partial(echo, err=True),
    )
    for path in paths:
        echo(path)
