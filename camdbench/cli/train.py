"""`camdbench train`: make a model."""

from __future__ import annotations

import click

from camdbench.cli import options


@click.command("train", short_help="Train a classifier by a recipe.")
@click.option("--recipe", required=True, metavar="FILE", help="YAML recipe, such as benchmarks/shortcuts/ce.yaml.")
@click.option("--out", default="checkpoints", show_default=True, metavar="DIR", help="Folder for weights, provenance and log.")
@click.option("--epochs", type=click.IntRange(min=1), help="Another number of epochs than the recipe's.")
@click.option("--seed", type=click.IntRange(min=0), help="Another seed than the recipe's.")
@click.option("--data-root", metavar="DIR", help="Where a data set that is read from disk lies.")
@click.option("--workers", type=click.IntRange(min=0), help="Processes that read images.  [default: by the number of images and cores]")
@click.option("--tensorboard", metavar="DIR", help="Write the log for TensorBoard too.")
@options.plugin
@options.device
@options.quiet
@options.verbose
def command(
    recipe: str,
    out: str,
    epochs: int | None,
    seed: int | None,
    data_root: str | None,
    workers: int | None,
    tensorboard: str | None,
    device: str,
    quiet: bool,
) -> None:
    r"""Train a classifier by a recipe and write a checkpoint that every command takes as a model.

    \b
    camdbench train --recipe benchmarks/shortcuts/ce.yaml --out checkpoints
    camdbench run --models checkpoints/shortcuts-ce.safetensors
    """
    from camdbench.trainer.run_state import Epoch
    from camdbench.trainer.train import train

    draw = None
    if tensorboard is not None:
        from camdbench.trainer.board import board

        draw = board(tensorboard)

    def say(epoch: Epoch) -> None:
        if draw is not None:
            draw(epoch)
        if not quiet:
            parts = (f"{name} {value:.4g}" if isinstance(value, float) else f"{name} {value}" for name, value in epoch.flat().items())
            click.echo("  ".join(parts), err=True)

    click.echo(train(recipe, out=out, seed=seed, device=device, epochs=epochs, data_root=data_root, workers=workers, progress=say))
