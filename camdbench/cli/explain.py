"""`camdbench explain`: saliency maps of single images."""

from __future__ import annotations

from dataclasses import asdict
from pathlib import Path
from typing import Any

import click

from camdbench.cli import shared_options
from camdbench.cli.console import echo
from camdbench.cli.names import complete_path, complete_specs
from camdbench.cli.output import FINISHED_WITH_FAILURES
from camdbench.core.objective_names import OBJECTIVE_HELP


@click.command("explain", short_help="Explain single images: overlays as PNG, maps as NPZ, a page.")
@click.argument("images", nargs=-1, required=True, shell_complete=complete_path("FILE"))
@click.option(
    "--model",
    default="shortcuts-ce",
    show_default=True,
    help="Model name, checkpoint, or [NAME=]FILE.py:FUNCTION(option=value).",
    shell_complete=complete_specs("models"),
)
@click.option(
    "-e",
    "--explainers",
    default="gradcam,opticam",
    show_default=True,
    help="Explainer specs, comma-separated; all; [NAME=]FILE.py:FUNCTION.",
    shell_complete=complete_specs("explainers"),
)
@click.option(
    "--target",
    default="predicted",
    show_default=True,
    help="Class to explain: predicted, runner_up, least_likely, a class index or a class name.",
)
@click.option(
    "--objective",
    default="logit",
    show_default=True,
    help=OBJECTIVE_HELP,
)
@click.option(
    "-m",
    "--metrics",
    default="ad,ag,ai",
    show_default=True,
    help="Metric specs, comma-separated, whose values are printed; [NAME=]FILE.py:FUNCTION.",
    shell_complete=complete_specs("metrics"),
)
@click.option(
    "--preprocess",
    help="Preprocessing: resize256_crop224, resize224_distort or fit(short=256, crop=224, resample=bicubic).  [default: the model's "
    "own, else resize256_crop224]",
)
@click.option("--size", type=click.IntRange(min=1), help="Side length of the preprocessed image in pixels.  [default: the model's own]")
@click.option("--out", default="explanations", show_default=True, metavar="DIR", help="Output folder.")
@click.option(
    "--colours", default="viridis", show_default=True, metavar="NAME", help="Colour map of matplotlib: viridis, cividis, turbo, magma, …."
)
@click.option(
    "--max-side",
    "longest",
    type=click.IntRange(min=1),
    default=2048,
    show_default=True,
    metavar="PIXELS",
    help="Long side of an overlay; larger pictures are reduced.",
)
@shared_options.model_options
@shared_options.plugin
@shared_options.device
@shared_options.seed
@shared_options.precision
@shared_options.optimize
@shared_options.as_json
@shared_options.verbose
def command(images: tuple[str, ...], model: str, out: str, as_json: bool, **given: Any) -> int:
    r"""Explain IMAGES: image files, or images bundled with scikit-image such as chelsea, coffee or rocket.

    Writes overlays at the resolution of the pictures to OUT/NAME-EXPLAINER.png, all of them to the sheet OUT/gallery.png and the
    page OUT/report.html, and saliency maps to OUT/NAME.npz.

    \b
    camdbench explain chelsea --explainers gradcam,opticam
    camdbench explain cat.jpg dog.jpg --model resnet50 --weights resnet50.pth --target runner_up
    camdbench explain chelsea --explainers gradcam,rise --objective 'margin(second)'
    """
    from camdbench.models.optimised import optimised
    from camdbench.models.zoo import load_classifier
    from camdbench.reporting.explained_images import explain_images

    keys = ("weights", "prompts", "mean", "std", "layer", "output", "batch_mates", "download", "device", "precision")
    made = {key: given.pop(key) for key in keys}
    classifier = optimised(load_classifier(model, **made), given.pop("optimize"))
    if classifier.optimisation is not None:
        echo(f"{classifier.name}: optimize = {classifier.optimize}: {classifier.optimisation.effect}", err=True)
    found = explain_images(classifier, images, out=Path(out), log=lambda line: echo(line, err=True), **given)
    if as_json:
        shared_options.print_json([asdict(item) for item in found.items])
    else:
        for item in found.items:
            echo(f"{item.image}  {item.explainer}  {item.title}  {item.caption}  {item.overlay}")
    echo(f"passes that checked the network beforehand: {classifier.check_passes}", err=True)
    for name, reason in found.damaged.items():
        echo(f"error: {name}: {reason}", err=True)
    for name, reason in found.refused.items():
        echo(f"not_applicable: {name}: {reason}", err=True)
    echo(f"open {found.page.resolve().as_uri()}", err=True)
    return FINISHED_WITH_FAILURES if found.damaged else 0
