"""`camdbench score`: further metrics of maps that are there."""

from __future__ import annotations

from typing import Any

import click

from camdbench.cli import options
from camdbench.cli.show import show_run


@click.command("score", short_help="Judge saved maps by further metrics, without explaining again.")
@click.argument("maps")
@click.option("-m", "--metrics", default="ad,ag,ai", show_default=True, help="Specs with commas, or all.")
@click.option("--name", help="How the maps of a file are called in rows.  [default: the file's name]")
@click.option(
    "--normalisation",
    type=click.Choice(["none", "range", "max", "sigmoid"]),
    default="range",
    show_default=True,
    help="What is done to the maps of a file to bring them to [0, 1].",
)
@click.option("--models", help="Name of the model, for the maps of a file.  [default: shortcuts-ce]")
@click.option("--dataset", help="Spec of the data set, likewise.  [default: shortcuts]")
@click.option("--split", help="Split of the data set, likewise; val where there is one.")
@click.option("--data-root", metavar="DIR", help="Where a data set that is read from disk lies.")
@click.option("--target", help="Scored class: label, predicted, second, least or an index.  [default: label]")
@click.option("--limit", type=click.IntRange(min=1), help="Number of images, from the first.")
@click.option("--batch-size", default=16, show_default=True, type=click.IntRange(min=1), help="Images at a time.")
@click.option("--out", metavar="DIR", help="Run directory of the scores.  [default: runs/DATASET-SPLIT-HASH]")
@click.option("--seed", type=click.IntRange(min=0), help="Seed of metrics that draw random numbers.  [default: the run's own, else 0]")
@options.model_options
@options.plugin
@options.device
@options.as_json
@options.quiet
@options.verbose
def command(as_json: bool, quiet: bool, **request: Any) -> int:
    r"""Judge the maps of a run that kept them, or of a file that another tool wrote.

    MAPS is a run directory made with --save-maps; or a .npy array (N, h, w) in the order of the data set's images; or a
    .npz with such an array, or with arrays (h, w) named by image.

    \b
    camdbench run --explainers opticam,gradcam --save-maps --out runs/mine
    camdbench score runs/mine --metrics insertion,deletion
    camdbench score theirs.npy --dataset shortcuts --models shortcuts-ce --metrics all
    """
    from camdbench.cli.progress import Bar
    from camdbench.runner.score import score

    with Bar(quiet=quiet) as progress:
        rows = score(progress=progress, **request)
    return show_run(rows, as_json=as_json, quiet=quiet)
