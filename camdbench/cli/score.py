"""`camdbench score`: further metrics of maps that exist."""

from __future__ import annotations

from typing import Any

import click

from camdbench.cli import shared_options
from camdbench.cli.config_options import config_options
from camdbench.cli.output import show_run
from camdbench.runner.config import SCORE_OPTIONS, RunConfig


@click.command("score", short_help="Score saved maps with further metrics, without explaining again.")
@click.argument("saliency")
@click.option("--explainer-name", help="Name of the maps of a file in rows.  [default: the file's name]")
@click.option(
    "--normalisation",
    type=click.Choice(["none", "range", "max", "sigmoid"]),
    default="range",
    show_default=True,
    help="Normalisation of the maps of a file to [0, 1].",
)
@config_options(RunConfig, only=SCORE_OPTIONS, unset=True)
@shared_options.plugin
@shared_options.as_json
@shared_options.quiet
@shared_options.verbose
def command(as_json: bool, quiet: bool, **flags: Any) -> int:
    r"""Score the maps of a run that stored them, or of a file that another tool wrote.

    SALIENCY is a run directory made with --save-maps raw; or a .npy array (N, h, w) in the order of the data set's images; or a
    .npz with such an array, or with arrays (h, w) named by image.

    \b
    camdbench run --explainers opticam,gradcam --save-maps raw --out runs/mine
    camdbench score runs/mine --metrics insertion,deletion
    camdbench score theirs.npy --dataset shortcuts --models shortcuts-ce --metrics all
    """
    from camdbench.cli.progress_bar import Bar
    from camdbench.runner.score import score

    with Bar(quiet=quiet) as progress:
        rows = score(progress=progress, **flags)
    return show_run(rows, as_json=as_json, quiet=quiet)
