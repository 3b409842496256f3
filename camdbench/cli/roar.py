"""`camdbench roar`: remove and retrain, keep and retrain."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import click

from camdbench.cli import shared_options
from camdbench.cli.console import echo
from camdbench.cli.names import complete_path, complete_specs

if TYPE_CHECKING:
    from camdbench.trainer.roar import RoarProgress

_CAPTION = """\
Accuracy in %, mean over seeds; masks: one seed.
base:  whole images
roar:  without the most relevant pixels; lower is better
kar:   without the least relevant pixels; higher is better
masks: a network trained on the masks of roar alone"""


@click.command("roar", short_help="Retrain without the most, or least, relevant pixels (ROAR, KAR); print accuracies.")
@click.option(
    "--recipe",
    required=True,
    metavar="FILE",
    shell_complete=complete_path("FILE"),
    help="YAML recipe without initial weights, such as benchmarks/shortcuts/roar.yaml.",
)
@click.option(
    "--explainers",
    default="gradcam,random,edges",
    show_default=True,
    metavar="SPECS",
    shell_complete=complete_specs("explainers"),
    help="Explainers that rank the pixels, and controls.",
)
@click.option("--shares", default="10,30,50,70,90", show_default=True, metavar="LIST", help="Percentages of the pixels that are replaced.")
@click.option(
    "--seeds", default=5, show_default=True, type=click.IntRange(min=1), help="Trainings of each kind, from the recipe's seed on."
)
@click.option("--mode", type=click.Choice(["roar", "kar", "both"]), default="both", show_default=True, help="Pixels that are replaced.")
@click.option(
    "--fill",
    type=click.Choice(["mean", "noisy linear"]),
    default="mean",
    show_default=True,
    help="What replaces a pixel: the mean colour of the training images, or noisy linear imputation.",
)
@click.option(
    "--elements",
    type=click.Choice(["pixels", "values"]),
    default="pixels",
    show_default=True,
    help="What is ranked and replaced: pixels in all channels, or each value of a channel alone, as in the released code.",
)
@click.option("--target", default="predicted", show_default=True, help="Rule of the explained class: predicted, label, ….")
@click.option("--out", default="roar", show_default=True, metavar="DIR", help="Output folder: maps, trainings and roar.csv.")
@click.option("--data-root", metavar="DIR", help="Directory of a data set that is read from disk.")
@click.option("--workers", default=0, show_default=True, type=click.IntRange(min=0), help="Processes that load images.")
@click.option("--dry-run", is_flag=True, help="Print the number of trainings and of epochs; train nothing.")
@shared_options.plugin
@shared_options.device
@shared_options.as_json
@shared_options.quiet
@shared_options.verbose
def command(recipe: str, shares: str, mode: str, out: str, dry_run: bool, as_json: bool, quiet: bool, **how: Any) -> None:
    r"""Train networks on images without their most relevant pixels (ROAR), or least relevant (KAR), and print their accuracies.

    A repeated command goes on where it was interrupted.

    \b
    camdbench roar --recipe benchmarks/shortcuts/roar.yaml --shares 50,90 --seeds 2
    camdbench roar --recipe mine.yaml --data-root DIR --explainers gradcam,opticam,random,edges --dry-run
    """
    from camdbench.trainer.roar import plan_roar, roar

    how |= {"shares": _percentages(shares), "modes": ("roar", "kar") if mode == "both" else (mode,)}
    if dry_run:
        asked = ("explainers", "shares", "seeds", "modes", "fill", "elements", "target", "data_root")
        plan = plan_roar(recipe, **{name: how[name] for name in asked})
        count = len(list(plan.trainings()))
        echo(f"{count} trainings of {plan.recipe.epochs} epochs: {count * plan.recipe.epochs} epochs")
        return

    def report(now: RoarProgress) -> None:
        about = now.training
        if not quiet:
            echo(f"{now.number}/{now.total}: {about.mode} {about.explainer} {about.share:g} % seed {about.seed}", err=True)

    rows = roar(recipe, out=out, progress=report, **how)
    if as_json:
        shared_options.print_json(rows)
    else:
        _show(rows)


def _percentages(text: str) -> tuple[float, ...]:
    from camdbench.core.errors import UsageError

    try:
        return tuple(map(float, text.split(",")))
    except ValueError:
        raise UsageError(f"--shares {text}: expected percentages between commas, such as 10,50,90") from None


def _show(rows: list[dict[str, Any]]) -> None:
    from statistics import fmean

    from rich import box
    from rich.console import Console
    from rich.table import Table
    from rich.text import Text

    split = rows[0]["split"]
    shares = sorted({row["share"] for row in rows if row["mode"] != "base"})
    table = Table(box=box.SIMPLE_HEAD, title=Text(f"accuracy on {split}"))
    for name in ("mode", "explainer", *(f"{share:g} %" for share in shares)):
        table.add_column(name, justify="left" if name in ("mode", "explainer") else "right", no_wrap=True)
    own = [row for row in rows if row["split"] == split]
    for mode, explainer in dict.fromkeys((row["mode"], row["explainer"]) for row in sorted(own, key=lambda row: _ORDER[row["mode"]])):
        found = [row for row in own if (row["mode"], row["explainer"]) == (mode, explainer)]
        values = [[row["accuracy"] for row in found if mode == "base" or row["share"] == share] for share in shares]
        table.add_row(mode, explainer, *(f"{fmean(own):.1f}" for own in values))
    Console().print(table)
    echo(_CAPTION)


_ORDER = {"base": 0, "roar": 1, "kar": 2, "masks": 3}
