"""Decoding of image files."""

from __future__ import annotations

import warnings
from collections.abc import Callable
from pathlib import Path
from typing import TypeVar

import numpy as np
from PIL import Image, ImageOps
from torch import Tensor

from camdbench.core.errors import SampleError
from camdbench.core.files import check_regular
from camdbench.datasets.transforms import Annotations, SpatialTransform

FORMATS = ("AVIF", "BMP", "GIF", "JPEG", "JPEG2000", "PNG", "PPM", "TIFF", "WEBP")  # Pillow has others, of which EPS starts a program
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
        return to_rgb(picture)

    return decode_file(path, decode)


def decode_file(path: Path, decode: Callable[[Image.Image], T]) -> T:
    """What `decode` makes of an opened image file.

    Raises:
        SampleError: the file is missing, damaged, not an image, or a decompression bomb.
    """
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore", UserWarning)  # Pillow warns of unusual metadata; wrong pixels raise
            warnings.simplefilter("error", Image.DecompressionBombWarning)
            check_regular(path)
            with Image.open(path, formats=FORMATS) as picture:
                return decode(picture)
    except (Image.DecompressionBombError, Image.DecompressionBombWarning):
        raise SampleError(f"{path.name}: too many pixels (decompression bomb)") from None
    except Exception as error:  # decoders raise many types on damaged files
        raise SampleError(f"{path.name}: cannot be decoded ({' '.join(str(error).split()) or type(error).__name__})") from None


def to_rgb(picture: Image.Image) -> Image.Image:
    """A Pillow image as RGB with 8 bits.

    Raises:
        ValueError: its numbers have no known range.
    """
    picture = _eight_bits(picture)
    picture.load()
    return picture if picture.mode == "RGB" else picture.convert("RGB")  # convert would copy an RGB image


def _eight_bits(picture: Image.Image) -> Image.Image:
    """Grey values of 16 bits scaled to 8; Pillow would clip them to white."""
    if picture.mode in ("I", "F"):
        raise ValueError(f"pixels of mode {picture.mode} have no known range")
    if not picture.mode.startswith("I;16"):
        return picture
    return Image.fromarray((np.asarray(picture) / 257).round().astype(np.uint8))


def prepare(picture: Image.Image, how: str, size: int) -> Tensor:
    """An RGB image as (3, h, w) float32 in [0, 1], by a protocol of `SpatialTransform`."""
    return SpatialTransform(how, size).fit(picture, Annotations()).image
