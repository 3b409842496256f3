"""`camdbench train`: train a classifier."""

from __future__ import annotations

import os
from typing import TYPE_CHECKING

import click

from camdbench.cli import shared_options
from camdbench.cli.console import echo
from camdbench.cli.names import complete_path, complete_specs

if TYPE_CHECKING:
    from camdbench.trainer.run_state import Epoch


@click.command("train", short_help="Train a classifier from a recipe.")
@click.option(
    "--recipe",
    required=True,
    metavar="FILE",
    shell_complete=complete_path("FILE"),
    help="YAML recipe, such as benchmarks/shortcuts/ce.yaml.",
)
@click.option(
    "--loss",
    metavar="SPEC",
    shell_complete=complete_specs("losses"),
    help="Override the recipe's loss: a registered loss, or [NAME=]FILE.py:NAME(option=value).",
)
@click.option("--out", default="checkpoints", show_default=True, metavar="DIR", help="Output folder: weights, provenance and log.")
@click.option("--epochs", type=click.IntRange(min=1), help="Override the recipe's number of epochs.")
@click.option("--seed", type=click.IntRange(min=0), help="Override the recipe's seed.")
@click.option("--data-root", metavar="DIR", help="Directory of a data set that is read from disk.")
@click.option("--workers", type=click.IntRange(min=0), help="Processes that load images.  [default: by the number of images and cores]")
@click.option(
    "--preview-images",
    default=4,
    show_default=True,
    type=click.IntRange(min=0),
    help="Validation images whose saliency maps are drawn after every epoch; 0: none.",
)
@click.option("--tensorboard", metavar="DIR", help="Also write a TensorBoard log with previews to this folder.")
@shared_options.plugin
@shared_options.device
@shared_options.quiet
@shared_options.verbose
def command(
    recipe: str,
    loss: str | None,
    out: str,
    epochs: int | None,
    seed: int | None,
    data_root: str | None,
    workers: int | None,
    preview_images: int,
    tensorboard: str | None,
    device: str,
    quiet: bool,
) -> None:
    r"""Train a classifier from a recipe. The checkpoint can be used as a model by every other command.

    \b
    camdbench train --recipe benchmarks/shortcuts/ce.yaml --out checkpoints
    camdbench run --models checkpoints/shortcuts-ce.safetensors
    """
    from camdbench.cli.epoch_progress import EpochBar
    from camdbench.reporting.preview_files import PreviewWriter
    from camdbench.trainer.tensorboard_log import TensorBoardLog
    from camdbench.trainer.train import train

    board = TensorBoardLog(tensorboard) if tensorboard is not None else None
    first = os.environ.get("RANK", "0") == "0"  # only the first process prints
    with EpochBar(quiet=quiet or not first) as bar:

        def report(epoch: Epoch) -> None:
            if board is not None:
                board.line(epoch)
            bar.line(epoch)

        path = train(
            recipe,
            out=out,
            loss=loss,
            seed=seed,
            device=device,
            epochs=epochs,
            data_root=data_root,
            workers=workers,
            progress=report,
            on_step=bar.tick,
            preview_images=preview_images,
            on_preview=PreviewWriter(out, board.image if board is not None else None).add,
        )
    if first:
        echo(path)
