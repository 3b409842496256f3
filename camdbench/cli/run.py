"""`camdbench run`: the main job."""

from __future__ import annotations

from typing import Any

import click

from camdbench.cli import options
from camdbench.cli.show import show_run


@click.command("run", short_help="Run explainers and metrics; print a table, keep a run directory.")
@click.option(
    "-e",
    "--explainers",
    default="opticam,gradcam",
    show_default=True,
    help="Specs with commas, as in 'opticam(iterations=50),gradcam'; also all, controls, none.",
)
@click.option("-m", "--metrics", default="ad,ag,ai", show_default=True, help="Specs with commas, as in 'insertion(protocol=rise)', or all.")
@click.option("--models", default="shortcuts-ce", show_default=True, help="Names with commas (see: camdbench list models).")
@click.option("--dataset", default="shortcuts", show_default=True, help="Spec of a data set (see: camdbench list datasets).")
@click.option("--split", help="Split of the data set; val where there is one.")
@click.option("--data-root", metavar="DIR", help="Where a data set that is read from disk lies.")
@click.option(
    "--target", default="label", show_default=True, help="Explained and scored class: label, predicted, second, least or an index."
)
@click.option("--limit", type=click.IntRange(min=1), help="Number of images, from the first.  [default: 64 of the embedded data, else all]")
@click.option("--sample", type=click.IntRange(min=1), help="Number of images at random, by --seed.")
@click.option("--ids", metavar="FILE", help="The images that a file names, one id per line.")
@click.option(
    "--workers", type=click.IntRange(min=0), help="Processes that read images ahead.  [default: by the number of images and cores]"
)
@click.option(
    "--batch-size", default=16, show_default=True, type=click.IntRange(min=1), help="Images at a time; halved where memory runs out."
)
@click.option("--out", metavar="DIR", help="Run directory.  [default: runs/DATASET-SPLIT-HASH]")
@click.option("--executor", default="local", show_default=True, help="local, or ray: one worker for each GPU of a Ray cluster.")
@click.option("--save-maps", is_flag=True, help="Keep the raw maps too.")
@options.model_options
@options.plugin
@options.device
@options.seed
@options.precision
@options.as_json
@options.quiet
@options.verbose
def command(as_json: bool, quiet: bool, **request: Any) -> int:
    r"""Run explainers and metrics over a data set.

    Results go to stdout as a table and to a run directory as tidy rows. The same command again continues where it
    was interrupted; finished work is not done twice.

    \b
    camdbench run --explainers opticam,gradcam --metrics ad,ag
    camdbench run --explainers 'opticam(iterations=50, objective="diff"),hirescam,fakecam' --split conflict
    camdbench run --dataset folder --data-root DIR --models resnet50 --weights FILE --limit 1000
    """
    from camdbench.cli.progress import Bar
    from camdbench.runner.run import run

    with Bar(quiet=quiet) as progress:
        rows = run(progress=progress, **request)
    return show_run(rows, as_json=as_json, quiet=quiet)
