"""Generation of mask files from images and their boxes."""

from __future__ import annotations

import io
from collections.abc import Callable
from pathlib import Path
from typing import NamedTuple

import numpy as np
from PIL import Image
from torch import Tensor

from camdbench.core.errors import SampleError, UsageError
from camdbench.core.written_files import write_whole
from camdbench.datasets.masks import mask_file
from camdbench.datasets.on_disk import OnDisk, is_file
from camdbench.datasets.preprocess import read_picture
from camdbench.datasets.samples import object_pixels

Segment = Callable[[Image.Image, Tensor], Tensor]  # an RGB picture and its boxes (N, 4) -> (H, W) bool


class GeneratedMasks(NamedTuple):
    """Result of `make_masks`.

    Attributes:
        made: number of masks written.
        kept: number of masks that existed.
        failed: images without a mask, each with the reason.
    """

    made: int
    kept: int
    failed: tuple[tuple[str, str], ...]


def make_masks(data: OnDisk, folder: Path, segment: Segment) -> GeneratedMasks:
    """Write ID.png, 255 on the object and 0 elsewhere, for each image without one; an interrupted call can be repeated.

    The option `masks="FOLDER"` of a data set reads these files.

    Raises:
        UsageError: the data set has no boxes.
        UnwritableFile: a mask cannot be written; those that exist are kept.
    """
    made, kept, failed = 0, 0, list[tuple[str, str]]()
    for index, item in enumerate(data.items):
        file = mask_file(folder, item.id)
        if is_file(file):
            kept += 1
            continue
        try:
            picture, boxes = read_picture(item.file, upright=data.upright), data.annotate(index).boxes
        except SampleError as error:
            failed.append((item.id, str(error)))
            continue
        if boxes is None:
            raise UsageError("the data set has no boxes, which masks are made from; use a data set with boxes")
        if not len(boxes):
            failed.append((item.id, "it has no box"))
            continue
        _write(file, segment(picture, boxes))
        made += 1
    return GeneratedMasks(made, kept, tuple(failed))


def _write(file: Path, mask: Tensor) -> None:
    picture = Image.fromarray(np.where(object_pixels(mask.cpu()).numpy(), 255, 0).astype(np.uint8))
    content = io.BytesIO()
    picture.save(content, "PNG")
    write_whole(file, content.getbuffer(), resumes=True)
