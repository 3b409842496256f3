"""`camdbench data`: whether a data set is there in full, and masks for it."""

from __future__ import annotations

from dataclasses import asdict
from pathlib import Path
from typing import TYPE_CHECKING

import click

from camdbench.cli import options

if TYPE_CHECKING:
    from camdbench.datasets.verify import Verification

NOT_SOUND = 1
_SHOWN = 5  # lines of each kind of trouble


@click.group("data", short_help="Look whether a data set is there in full.")
def command() -> None:
    """Data sets on disk (see: camdbench list datasets)."""


@command.command("verify", short_help="Look whether a data set has the layout, is complete and can be read.")
@click.argument("name")
@click.option("--data-root", metavar="DIR", help="Where the data set lies.")
@click.option("--split", help="Split of the data set.  [default: the one that a run takes]")
@click.option("--check", default=100, show_default=True, type=click.IntRange(min=0), help="Number of images to decode; 0 for none.")
@click.option("--all", "everything", is_flag=True, help="Decode every image.")
@click.option("--download", is_flag=True, help="Let torchvision fetch the data set first.")
@options.plugin
@options.as_json
@options.verbose
def verify_(name: str, data_root: str | None, split: str | None, check: int, everything: bool, download: bool, as_json: bool) -> int:
    r"""Look whether the data set NAME has the right layout, count it, and decode some of its images.

    Exit codes: 0 all that was looked at is sound, 1 files are missing or cannot be used, 2 the layout is another one.
    Fewer images than the publications count are said, and are no failure.

    \b
    camdbench data verify pets --data-root DIR
    camdbench data verify 'voc2012(labels="multi")' --data-root DIR --split train --all
    """
    from camdbench.datasets.download import fetch
    from camdbench.datasets.opening import checked_dataset
    from camdbench.datasets.verify import verify

    spec, chosen = checked_dataset(name, split, data_root)
    root = None if data_root is None else Path(data_root)
    if download and root is not None:
        fetch(spec.name, chosen, root)
    found = verify(spec, chosen, root, check=None if everything else check)
    if as_json:
        told = asdict(found) | {"complete": found.complete, "sound": found.sound}
        options.print_json([told | {"unreadable": [item._asdict() for item in found.unreadable]}])
    else:
        _print(found, spec.name)
    return 0 if found.sound else NOT_SOUND


def _print(found: Verification, name: str) -> None:
    from camdbench.core.catalogue import datasets

    facts = datasets.get(name).facts
    counted = "" if found.expected is None else (", as published" if found.complete else f" of {found.expected:,} published: not complete")
    lines = [
        ("data set", f"{found.dataset}, split {found.split}"),
        ("images", f"{found.images:,}{counted}" + (f"; {found.unlabelled:,} without a label" if found.unlabelled else "")),
        ("classes", f"{found.shown:,} of {found.classes:,} have images"),
        ("annotations", ", ".join(found.annotations) or "none"),
        ("files", f"{len(found.missing):,} missing" if found.missing else "all there"),
        ("decoded", f"{found.checked:,}, of which {len(found.unreadable):,} cannot be used"),
        *([("boxes", f"{found.boxless:,} images have none left, {found.boxes_lost:,} boxes lost")] if "boxes" in found.annotations else []),
        *([("masks", f"{found.empty_masks:,} empty")] if "masks" in found.annotations else []),
        ("fingerprint", found.fingerprint),
        ("licence", facts.licence),
        ("source", facts.source),
    ]
    for label, text in lines:
        if text:
            click.echo(f"{label:<13}{text}")
    for image in found.missing[:_SHOWN]:
        click.echo(f"missing: {image}", err=True)
    for item in found.unreadable[:_SHOWN]:
        click.echo(f"cannot be used: {item.image}: {item.reason}", err=True)
    if not found.sound and facts.source:
        click.echo(f"get what is missing from {facts.source} (see docs/datasets/{name}.md)", err=True)
