"""The thousand classes of ImageNet (ILSVRC 2012) in the order that every network's logits have."""

from __future__ import annotations

import csv
from functools import cache
from pathlib import Path
from typing import NamedTuple


class ImageNetClass(NamedTuple):
    """One class.

    Attributes:
        wnid: its WordNet identifier, which is also the name of its folder.
        name: its name, as torchvision's weights state it.
    """

    wnid: str
    name: str


@cache
def imagenet_classes() -> tuple[ImageNetClass, ...]:
    """All classes in the network's order, which is the alphabetical order of the WordNet identifiers.

    >>> imagenet_classes()[1]
    ImageNetClass(wnid='n01443537', name='goldfish')
    """
    with Path(__file__).with_name("imagenet.csv").open(encoding="utf-8", newline="") as file:
        return tuple(ImageNetClass(row["wnid"], row["name"]) for row in csv.DictReader(file))


@cache
def imagenet_positions() -> dict[str, int]:
    """The position of each WordNet identifier among the logits.

    >>> imagenet_positions()["n01443537"]
    1
    """
    return {item.wnid: index for index, item in enumerate(imagenet_classes())}
