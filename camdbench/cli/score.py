"""`camdbench score`: score saved saliency maps."""

from __future__ import annotations

from typing import Any

import click

from camdbench.cli import shared_options
from camdbench.cli.config_options import config_options
from camdbench.cli.names import complete_path
from camdbench.cli.output import show_run
from camdbench.runner.config import SCORE_OPTIONS, RunConfig


@click.command("score", short_help="Score saved saliency maps with further metrics.")
@click.argument("saliency", shell_complete=complete_path("FILE"))
@click.option("--explainer-name", help="With a file: explainer name in the rows.  [default: the file's name]")
@click.option(
    "--normalisation",
    type=click.Choice(["none", "range", "max", "sigmoid"]),
    default="range",
    show_default=True,
    help="With a file: normalisation of the maps to [0, 1].",
)
@config_options(RunConfig, only=SCORE_OPTIONS, unset=True)
@shared_options.plugin
@shared_options.as_json
@shared_options.quiet
@shared_options.verbose
def command(as_json: bool, quiet: bool, **flags: Any) -> int:
    r"""Score the saved saliency maps of a run, or of a file of another tool, without running an explainer.

    SALIENCY is a run directory made with --save-maps raw, or whose maps are small; or a .npy array (N, h, w) in the order of the data
    set's images; or a .npz or .h5 file with such an array, or with one array (h, w) per image id.

    \b
    camdbench run --explainers opticam,gradcam --save-maps raw --out runs/mine
    camdbench score runs/mine --metrics insertion,deletion
    camdbench score theirs.npy --dataset shortcuts --models shortcuts-ce --metrics all
    """
    from camdbench.runner.run import complete
    from camdbench.runner.score import scoring

    return show_run(complete(None, *scoring(**flags), not quiet), as_json=as_json, quiet=quiet)
