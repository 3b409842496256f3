"""`camdbench data`: verification of data sets on disk, mask generation, and packing of runs."""

from __future__ import annotations

from dataclasses import asdict
from pathlib import Path
from typing import TYPE_CHECKING

import click

from camdbench.cli import shared_options
from camdbench.cli.console import echo

if TYPE_CHECKING:
    from camdbench.datasets.verify import Verification

PROBLEMS = 1
_SHOWN = 5  # lines printed of each kind of problem


@click.group("data", short_help="Verify a data set; make masks from its boxes; pack the files of a run.")
def command() -> None:
    """Data sets on disk (see: camdbench list datasets), and the files of runs."""


@command.command("verify", short_help="Check layout, completeness and readability of a data set.")
@click.argument("name")
@click.option("--data-root", metavar="DIR", help="Directory of the data set.")
@click.option("--split", help="Split of the data set.  [default: that of camdbench run]")
@click.option("--check", default=100, show_default=True, type=click.IntRange(min=0), help="Number of images to decode; 0 for none.")
@click.option("--all", "everything", is_flag=True, help="Decode every image.")
@click.option("--download", is_flag=True, help="Allow torchvision to download the data set first.")
@shared_options.plugin
@shared_options.as_json
@shared_options.verbose
def verify_(name: str, data_root: str | None, split: str | None, check: int, everything: bool, download: bool, as_json: bool) -> int:
    r"""Check the folder layout of the data set NAME, count images and classes, and decode some of the images.

    NAME may also be a table of yours or a reference: photos.csv(size=64), FILE.py:NAME.

    Exit codes: 0 no problem found, 1 files are missing or unreadable, 2 wrong layout. Fewer images than published are reported
    but do not count as a problem.

    \b
    camdbench data verify pets --data-root DIR
    camdbench data verify 'voc2012(labels="multi")' --data-root DIR --split train --all
    """
    from camdbench.core.registries import innermost
    from camdbench.datasets.download import fetch
    from camdbench.datasets.given_data import data_of_command
    from camdbench.datasets.open_dataset import check_dataset, is_own_data
    from camdbench.datasets.verify import verify, verify_opened
    from camdbench.models.zoo import load_classifier

    count = None if everything else check
    if is_own_data(name):
        data, annotations = data_of_command(name, data_root=data_root, split=split, download=download)
        return _report(verify_opened(data, name, "all", annotations, check=count), "", as_json=as_json)
    spec, chosen = check_dataset(name, split, data_root)
    root = None if data_root is None else Path(data_root)
    files = innermost(spec).name
    if download and root is not None:
        fetch(files, chosen, root)
    return _report(verify(spec, chosen, root, check=count, load=load_classifier), files, as_json=as_json)


def _report(found: Verification, name: str, *, as_json: bool) -> int:
    """Print a result; `name` is that of a registered data set."""
    if as_json:
        record = asdict(found) | {"complete": found.complete, "sound": found.sound}
        shared_options.print_json([record | {"unreadable": [{"image": item.id, "reason": item.reason} for item in found.unreadable]}])
    else:
        _print(found, name)
    return 0 if found.sound else PROBLEMS


@command.command("make-masks", short_help="Make object masks from the boxes of a data set.")
@click.argument("name")
@click.option("--data-root", metavar="DIR", help="Directory of the data set; required, but not for a table or reference.")
@click.option("--split", help="Split of the data set.  [default: that of camdbench run]")
@click.option(
    "--method", type=click.Choice(["sam"]), default="sam", show_default=True, help="sam: Segment Anything, prompted with the boxes."
)
@click.option("--weights", required=True, metavar="DIR", help="Folder with the weights, such as a copy of facebook/sam-vit-base.")
@click.option("--out", required=True, metavar="DIR", help="Folder for the masks, one ID.png per image.")
@shared_options.device
@shared_options.plugin
@shared_options.verbose
def masks_(name: str, data_root: str | None, split: str | None, method: str, weights: str, out: str, device: str) -> int:
    r"""Make an object mask for each image of the data set NAME from its boxes; the same command again resumes.

    Then load the masks with the data set's option masks="DIR". Exit code 1 if some images have no mask.

    \b
    camdbench data make-masks cub200 --data-root DIR --method sam --weights sam-vit-base --out DIR/sam
    camdbench run --dataset 'cub200(masks="DIR/sam")' --data-root DIR
    """
    from camdbench.core.errors import UsageError
    from camdbench.datasets.given_data import data_of_command
    from camdbench.datasets.mask_generation import make_masks
    from camdbench.datasets.on_disk import OnDisk
    from camdbench.datasets.open_dataset import available_annotations, check_dataset, is_own_data, open_dataset
    from camdbench.datasets.segment_anything import SegmentAnything
    from camdbench.models.devices import pick_device

    del method  # the only one
    if is_own_data(name):
        data, annotations = data_of_command(name, data_root=data_root, split=split)
        _check_boxes(name, annotations)
        if outside := next((own for own in data.ids if Path(own).is_absolute() or ".." in Path(own).parts), None):
            raise UsageError(f"data set {name}: image {outside}: its mask would be outside {out}; write paths below the table's folder")
    else:
        spec, chosen = check_dataset(name, split, data_root)
        _check_boxes(spec.name, available_annotations(spec, chosen, data_root))
        data = open_dataset(spec, chosen, data_root)
    if not isinstance(data, OnDisk):
        raise UsageError(f"data set {name}: not read from files, so it cannot load masks; choose a data set on disk")
    found = make_masks(data, Path(out), SegmentAnything(Path(weights), pick_device(device)))
    echo(f"{found.made:,} masks made, {found.kept:,} existed, {len(found.failed):,} images without a mask: {out}")
    for image, reason in found.failed[:_SHOWN]:
        echo(f"no mask: {image}: {reason}", err=True)
    return PROBLEMS if found.failed else 0


@command.command("compact", short_help="Pack the part files of a run.")
@click.argument("run")
@shared_options.verbose
def compact_(run: str) -> int:
    r"""Join the part files of the run directory RUN into a few larger ones, which tables read several times faster.

    A large run packs its files itself when nothing is missing. Other sessions may write to the run or pack it at the same time.

    \b
    camdbench data compact runs/mine
    """
    from camdbench.runner.packs import compact
    from camdbench.tables.load import load_run

    load_run(run)  # refuses other folders
    done = compact(Path(run))
    click.echo(f"{done.parts:,} parts packed into {done.packs:,} files, {done.removed:,} files removed: {run}")
    return 0


def _check_boxes(name: str, annotations: tuple[str, ...]) -> None:
    from camdbench.core.errors import UsageError

    if "boxes" not in annotations:
        raise UsageError(f"data set {name}: no boxes, which masks are made from; add box annotations or choose another data set")


def _print(found: Verification, name: str) -> None:
    from camdbench.core.registries import datasets

    licence, source = (datasets.get(name).facts.licence, datasets.get(name).facts.source) if name else ("", "")
    counted = "" if found.expected is None else (", as published" if found.complete else f" of {found.expected:,} published: not complete")
    lines = [
        ("data set", f"{found.dataset}, split {found.split}"),
        ("images", f"{found.images:,}{counted}" + (f"; {found.unlabelled:,} without a label" if found.unlabelled else "")),
        ("classes", f"{found.shown:,} of {found.classes:,} have images"),
        ("annotations", ", ".join(found.annotations) or "none"),
        ("files", f"{len(found.missing):,} missing" if found.missing else "none missing"),
        ("decoded", f"{found.checked:,}, {len(found.unreadable):,} unreadable"),
        *(
            [("boxes", f"{found.boxless:,} images without boxes, {found.boxes_dropped:,} boxes dropped")]
            if "boxes" in found.annotations
            else []
        ),
        *([("masks", f"{found.empty_masks:,} empty")] if "masks" in found.annotations else []),
        ("fingerprint", found.fingerprint),
        ("licence", licence),
        ("source", source),
    ]
    for label, text in lines:
        if text:
            echo(f"{label:<13}{text}")
    for image in found.missing[:_SHOWN]:
        echo(f"missing: {image}", err=True)
    for item in found.unreadable[:_SHOWN]:
        echo(f"unreadable: {item.id}: {item.reason}", err=True)
    if not found.sound and source:
        echo(f"download the missing files from {source} (see docs/datasets/{name}.md)", err=True)
