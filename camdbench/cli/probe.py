"""`camdbench probe`: train and score a segmentation head on the features of a classifier."""

from __future__ import annotations

import math
from typing import TYPE_CHECKING

import click

from camdbench.cli import shared_options
from camdbench.cli.console import echo

if TYPE_CHECKING:
    from camdbench.trainer.probe import ProbeResult

_COLUMNS = ("split", "images", "mIoU ↑ %", "pixels ↑ %", "majority %")
_CAPTION = "mIoU [95 % interval]; pixel accuracy; mIoU of predicting the most frequent class everywhere"


@click.command("probe", short_help="Train a segmentation head on a classifier's features; print its mIoU.")
@click.option("--recipe", required=True, metavar="FILE", help="YAML recipe, such as benchmarks/shortcuts/probe.yaml.")
@click.option(
    "--out", default="probes", show_default=True, metavar="DIR", help="Output folder: weights, provenance, log and confusion matrix."
)
@click.option("--model", metavar="NAME", help="Override the recipe's model: a name, a checkpoint, or FILE.py:FUNCTION(option=value).")
@click.option("--epochs", type=click.IntRange(min=1), help="Override the recipe's number of epochs.")
@click.option("--seed", type=click.IntRange(min=0), help="Override the recipe's seed.")
@click.option("--data-root", metavar="DIR", help="Directory of a data set that is read from disk.")
@shared_options.plugin
@shared_options.device
@shared_options.as_json
@shared_options.quiet
@shared_options.verbose
def command(
    recipe: str,
    out: str,
    model: str | None,
    epochs: int | None,
    seed: int | None,
    data_root: str | None,
    device: str,
    as_json: bool,
    quiet: bool,
) -> None:
    r"""Train a segmentation head on the features of a classifier, frozen or fine-tuned, and print its mean IoU.

    \b
    camdbench probe --recipe benchmarks/shortcuts/probe.yaml
    camdbench probe --recipe mine.yaml --data-root DIR --seed 1
    """
    from camdbench.cli.epoch_progress import format_numbers
    from camdbench.trainer.probe import probe
    from camdbench.trainer.run_state import Epoch

    def report(line: Epoch) -> None:
        if not quiet:
            echo(format_numbers(line.flat()), err=True)

    done = probe(recipe, out=out, model=model, seed=seed, device=device, epochs=epochs, data_root=data_root, progress=report)
    if as_json:
        shared_options.print_json(_records(done))
    else:
        _show(done)
    if not quiet:
        echo(f"weights: {done.path}", err=True)


def _records(done: ProbeResult) -> list[dict[str, object]]:
    """Return one record per split; a missing number is None."""
    recipe = done.recipe
    about = {"probe": recipe.name, "model": recipe.model, "backbone": recipe.backbone, "dataset": recipe.data.dataset}
    numbers = ("miou", "low", "high", "accuracy", "majority")
    found = list[dict[str, object]]()
    for split, score in done.scores.items():
        measured = {name: value if math.isfinite(value := getattr(score, name)) else None for name in numbers}
        found.append({**about, "split": split, "images": score.count, **measured})
    return found


def _show(done: ProbeResult) -> None:
    from rich import box
    from rich.console import Console
    from rich.table import Table
    from rich.text import Text

    model = done.recipe.model.rpartition("/")[2].removesuffix(".safetensors")
    table = Table(
        box=box.SIMPLE_HEAD, title=Text(f"{model} · {done.recipe.data.dataset} · backbone {done.recipe.backbone}"), caption=_CAPTION
    )
    for name in _COLUMNS:
        table.add_column(name, justify="left" if name == "split" else "right", no_wrap=True)
    for split, score in done.scores.items():
        numbers = (f"{score.miou:.1f} [{score.low:.1f}, {score.high:.1f}]", f"{score.accuracy:.1f}", f"{score.majority:.1f}")
        table.add_row(split, str(score.count), *map(Text, numbers))
    Console().print(table)
