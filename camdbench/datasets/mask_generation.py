"""Masks made by a program from pictures and their boxes, one file for each image."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import NamedTuple

import numpy as np
from PIL import Image
from torch import Tensor

from camdbench.core.errors import SampleError, UsageError
from camdbench.core.files import replacing
from camdbench.datasets.masks import mask_file
from camdbench.datasets.on_disk import OnDisk
from camdbench.datasets.preprocess import read_picture

Segment = Callable[[Image.Image, Tensor], Tensor]  # an RGB picture and its boxes (N, 4) -> (H, W) bool


class GeneratedMasks(NamedTuple):
    """What became of the images.

    Attributes:
        made: how many masks were written.
        kept: how many were there already.
        failed: images without a mask, each with the reason.
    """

    made: int
    kept: int
    failed: tuple[tuple[str, str], ...]


def make_masks(data: OnDisk, folder: Path, segment: Segment) -> GeneratedMasks:
    """Write ID.png for each image that has none yet: 255 on the object, 0 elsewhere, of the picture's size.

    The same call again continues. `masks="FOLDER"` of the data set then reads them.

    Raises:
        UsageError: the first picture that can be read has no boxes, because the data set has none.
    """
    made, kept, failed = 0, 0, list[tuple[str, str]]()
    for index, item in enumerate(data.items):
        file = mask_file(folder, item.id)
        if file.is_file():
            kept += 1
            continue
        try:
            picture, boxes = read_picture(item.file, upright=data.upright), data.annotate(index).boxes
        except SampleError as error:
            failed.append((item.id, str(error)))
            continue
        if boxes is None:
            raise UsageError("the data set has no boxes, which say where the objects are; masks cannot be made")
        if not len(boxes):
            failed.append((item.id, "no box says where its object is"))
            continue
        _write(file, segment(picture, boxes))
        made += 1
    return GeneratedMasks(made, kept, tuple(failed))


def _write(file: Path, mask: Tensor) -> None:
    picture = Image.fromarray(np.where(mask.cpu().numpy(), 255, 0).astype(np.uint8))
    with replacing(file) as temporary:
        picture.save(temporary, "PNG")
