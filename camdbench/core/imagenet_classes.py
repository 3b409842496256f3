"""The 1,000 classes of ImageNet (ILSVRC 2012) in the order of the logits."""

from __future__ import annotations

import csv
from functools import cache
from pathlib import Path
from typing import NamedTuple


class ImageNetClass(NamedTuple):
    """An ImageNet class.

    Attributes:
        wnid: WordNet identifier, the name of the class folder.
        name: short name from torchvision's weights.
    """

    wnid: str
    name: str


@cache
def imagenet_classes() -> tuple[ImageNetClass, ...]:
    """All classes in the order of the logits (alphabetical by WordNet identifier).

    >>> imagenet_classes()[1]
    ImageNetClass(wnid='n01443537', name='goldfish')
    """
    with Path(__file__).with_name("imagenet.csv").open(encoding="utf-8", newline="") as file:
        return tuple(ImageNetClass(row["wnid"], row["name"]) for row in csv.DictReader(file))


@cache
def imagenet_positions() -> dict[str, int]:
    """Logit index of each WordNet identifier.

    >>> imagenet_positions()["n01443537"]
    1
    """
    return {item.wnid: index for index, item in enumerate(imagenet_classes())}
