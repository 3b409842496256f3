"""Which objects and backgrounds stand in for those of an image: stratified draws from a pool of the split `shifted`.

In `shifted` object and background are independent, so that a pair of draws follows the law of the data. Each block of as many draws as
there are classes has every shape and every background once: the sampling error of a score that is additive in both is 0.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from functools import lru_cache
from typing import NamedTuple

import numpy as np
import torch

from camdbench.core.errors import UsageError
from camdbench.datasets.shortcuts.dataset import Shortcuts
from camdbench.functional.seeding import generator_for

POOL = 256  # images of `shifted`
_PURPOSE = "audit"


class Reference(NamedTuple):
    """Indices in the pool of the images that give the object and the background."""

    objects: int
    backgrounds: int


@lru_cache(maxsize=8)  # its labels are kept with it
def pool_of(data: Shortcuts) -> Shortcuts:
    """The images that objects and backgrounds are drawn from, of the size, classes and seed of the data; labels are the backgrounds."""
    return replace(data, split="shifted", count=POOL, label="background")


def check_draws(draws: int, classes: int) -> None:
    """Check that draws can be stratified.

    Raises:
        UsageError: the number of draws is not a positive multiple of the number of classes.
    """
    if draws < 1 or draws % classes:
        near = max(classes, round(draws / classes) * classes)
        raise UsageError(
            f"draws = {draws}: each of the {classes} classes is drawn equally often; use a multiple of {classes}, such as {near}"
        )


def draw_references(data: Shortcuts, image_id: str, draws: int, seed: int = 0) -> list[Reference]:
    """The references of an image; they depend on (seed, image id) alone, and not on any network.

    Blocks are interleaved in pairs: draws at even and at odd places are stratified each, if their number is a multiple of twice the
    number of classes. More draws extend fewer. The image itself is not drawn.

    Args:
        data: data set of the image.
        image_id: id of the image.
        draws: number of references K.
        seed: seed of the draws.

    Raises:
        UsageError: the number of draws is not a positive multiple of the number of classes.
    """
    check_draws(draws, data.n_classes)
    pool, random = pool_of(data), generator_for(seed, image_id, _PURPOSE)
    usable = [index for index in range(POOL) if pool.ids[index] != image_id]
    blocks = draws // data.n_classes
    shapes = _by_class([(index, pool.shapes[index]) for index in usable], data.n_classes, random)
    textures = _by_class([(index, pool.labels[index]) for index in usable], data.n_classes, random)
    pairs = [_block(shapes, textures, block, random) for block in range(blocks)]
    return [pair for first in range(0, blocks, 2) for pair in _interleaved(pairs[first : first + 2])]


def reference_classes(data: Shortcuts, indices: Sequence[int], draws: int, seed: int = 0) -> np.ndarray:
    """Strata of the draws: shape and texture of each reference of each image, for standard errors.

    Args:
        data: the data set.
        indices: numbers of the N images.
        draws: number of references K.
        seed: seed of the draws.

    Returns:
        (N, K, 2) class indices of the object and of the background.

    Raises:
        UsageError: the number of draws is not a positive multiple of the number of classes.
    """
    pool, found = pool_of(data), list[list[tuple[int, int]]]()
    for index in indices:
        drawn = draw_references(data, data.ids[index], draws, seed)
        found.append([(pool.shapes[one.objects], pool.labels[one.backgrounds]) for one in drawn])
    return np.array(found, dtype=np.int64).reshape(len(found), draws, 2)


def _by_class(images: Sequence[tuple[int, int]], classes: int, random: torch.Generator) -> list[list[int]]:
    """Indices of the images of each class, in random order."""
    found = list[list[int]]()
    for label in range(classes):
        own = [index for index, of in images if of == label]
        found.append([own[place] for place in torch.randperm(len(own), generator=random).tolist()])
    return found


def _block(shapes: Sequence[list[int]], textures: Sequence[list[int]], block: int, random: torch.Generator) -> list[Reference]:
    """One object of each shape, each with a background of another texture, in random order and pairs."""
    classes = len(shapes)
    first, second = (torch.randperm(classes, generator=random).tolist() for _ in range(2))
    return [
        Reference(shapes[a][block % len(shapes[a])], textures[b][block % len(textures[b])])  # a class is drawn again once all were
        for a, b in zip(first, second, strict=True)
    ]


def _interleaved(blocks: Sequence[list[Reference]]) -> list[Reference]:
    return [pair for pairs in zip(*blocks, strict=True) for pair in pairs]
