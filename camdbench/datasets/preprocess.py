"""Decoding of image files and masks."""

from __future__ import annotations

import warnings
from collections.abc import Callable
from pathlib import Path
from typing import Any, TypeVar

import numpy as np
from numpy.typing import NDArray
from PIL import Image, ImageOps
from torch import Tensor

from camdbench.core.errors import SampleError
from camdbench.datasets.transforms import Annotations, Preprocess, SpatialTransform

T = TypeVar("T")


def read_picture(path: Path, *, upright: bool = True) -> Image.Image:
    """Decode an image file as RGB, by default rotated by its EXIF tag.

    Greyscale, palettes and CMYK are converted, 16 bits are scaled to 8, transparency is dropped; animations yield the first frame.

    Raises:
        SampleError: the file is damaged, not an image, or a decompression bomb.
    """

    def decode(picture: Image.Image) -> Image.Image:
        if upright:
            ImageOps.exif_transpose(picture, in_place=True)
        picture = _eight_bits(picture)
        picture.load()
        return picture if picture.mode == "RGB" else picture.convert("RGB")  # convert would copy an RGB image

    return _decode(path, decode)


def read_values(path: Path) -> NDArray[Any]:
    """Values (H, W) of a mask file: palette indices, grey values, or the first of several channels.

    Raises:
        SampleError: the file is missing, damaged, not an image, or a decompression bomb.
    """
    values = _decode(path, np.asarray)
    return values if values.ndim == 2 else values[..., 0]


def _decode(path: Path, decode: Callable[[Image.Image], T]) -> T:
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore", UserWarning)  # Pillow warns of unusual metadata; wrong pixels raise
            warnings.simplefilter("error", Image.DecompressionBombWarning)
            with Image.open(path) as picture:
                return decode(picture)
    except (Image.DecompressionBombError, Image.DecompressionBombWarning):
        raise SampleError(f"{path.name}: too many pixels (decompression bomb)") from None
    except Exception as error:  # decoders raise many types on damaged files
        raise SampleError(f"{path.name}: cannot be decoded ({error})") from None


def _eight_bits(picture: Image.Image) -> Image.Image:
    """Grey values of 16 bits scaled to 8; Pillow would clip them to white."""
    if picture.mode in ("I", "F"):
        raise ValueError(f"pixels of mode {picture.mode} have no known range")
    if not picture.mode.startswith("I;16"):
        return picture
    return Image.fromarray((np.asarray(picture) / 257).round().astype(np.uint8))


def prepare(picture: Image.Image, how: Preprocess, size: int) -> Tensor:
    """An RGB image as (3, h, w) float32 in [0, 1], by a protocol of `SpatialTransform`."""
    return SpatialTransform(how, size).fit(picture, Annotations()).image
