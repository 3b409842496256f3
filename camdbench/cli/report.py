"""`camdbench report`: the report of a run as one page."""

from __future__ import annotations

from pathlib import Path
from typing import Literal

import click

from camdbench.cli import shared_options
from camdbench.cli.names import complete_path
from camdbench.cli.output import show_report


def _images(ctx: click.Context, parameter: click.Parameter, value: str) -> int | Literal["all"]:
    """Parse --images: a number, or `all`."""
    if value == "all":
        return "all"
    return int(click.types.convert_type(click.IntRange(min=0))(value, parameter, ctx))


@click.command("report", short_help="Write a page that shows a run: tables, charts, images with their maps.")
@click.argument("runs", metavar="RUN...", nargs=-1, required=True, shell_complete=complete_path("RUN"))
@click.option(
    "--out",
    metavar="PATH",
    shell_complete=complete_path("FILE"),
    help="The page; with --images all, its folder.  [default: RUN/report.html; RUN/report]",
)
@click.option(
    "--images",
    metavar="N|all",
    default="256",
    show_default=True,
    callback=_images,
    help="Images that are shown; of more, some are chosen. `all` writes a folder in which pictures are files.",
)
@click.option(
    "--image-ids",
    metavar="FILE",
    shell_complete=complete_path("FILE"),
    help="File with ids of images that are shown in any case, one per line.",
)
@click.option("--data-root", metavar="DIR", shell_complete=complete_path("DIR"), help="Directory of the data set, if it has moved.")
@click.option(
    "--show-images/--no-images",
    "pictures",
    default=None,
    help="Show inputs and maps, or their values alone.  [default: show them, unless the data set should not be copied]",
)
@click.option("--open", "opens", is_flag=True, help="Open the page in a browser.")
@shared_options.verbose
def command(
    runs: tuple[str, ...],
    out: str | None,
    images: int | Literal["all"],
    image_ids: str | None,
    data_root: str | None,
    pictures: bool | None,
    opens: bool,
) -> None:
    r"""Write a page that shows a run, in one file that needs no network: tables, charts, images with the maps of every explainer.

    Runs whose different cells can be pooled are shown as one, two others side by side. Maps are shown if the run stored them, as it does
    by default.

    \b
    camdbench run --explainers opticam,gradcam --metrics ad,ag
    camdbench report runs/shortcuts-val-1a2b3c4d --open
    camdbench report runs/mine runs/theirs
    """
    from camdbench.core.files import read_text

    text = "" if image_ids is None else read_text(Path(image_ids), fix="give a file with one id per line")
    listed = tuple(line.strip() for line in text.splitlines() if line.strip())
    page = show_report(*runs, out=out, images=images, image_ids=listed, data_root=data_root, pictures=pictures)
    click.echo(page)
    if opens:
        click.launch(str(page.resolve()))
