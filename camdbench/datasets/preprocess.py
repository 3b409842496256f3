"""From a file to an RGB picture, whatever it holds, or a reason why not."""

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
    """Decode a picture as RGB, by default turned upright as its EXIF tag says.

    Greyscale, palettes and CMYK are converted, 16 bits scaled to 8, transparency is dropped; an animation gives its first frame.

    Raises:
        SampleError: the file is damaged, no picture, or a decompression bomb.
    """

    def decode(picture: Image.Image) -> Image.Image:
        if upright:
            ImageOps.exif_transpose(picture, in_place=True)
        picture = _eight_bits(picture)
        picture.load()
        return picture if picture.mode == "RGB" else picture.convert("RGB")  # neither of the two copies a photograph needlessly

    return _decoded(path, decode)


def read_values(path: Path) -> NDArray[Any]:
    """The values (H, W) of a picture that is no photograph but a mask: a palette's indices, greys, or the first of several channels.

    Raises:
        SampleError: the file is not there, damaged, no picture, or a decompression bomb.
    """
    values = _decoded(path, np.asarray)
    return values if values.ndim == 2 else values[..., 0]


def _decoded(path: Path, decode: Callable[[Image.Image], T]) -> T:
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore", UserWarning)  # Pillow's remarks on odd metadata; the pixels are right or an error
            warnings.simplefilter("error", Image.DecompressionBombWarning)
            with Image.open(path) as picture:
                return decode(picture)
    except (Image.DecompressionBombError, Image.DecompressionBombWarning):
        raise SampleError(f"{path.name}: more pixels than a picture should have (decompression bomb)") from None
    except Exception as error:  # damaged files fail in as many ways as there are formats
        raise SampleError(f"{path.name}: cannot be decoded ({error})") from None


def _eight_bits(picture: Image.Image) -> Image.Image:
    """Greys of 16 bits scaled to 8, where Pillow would clip them to white."""
    if picture.mode in ("I", "F"):
        raise ValueError(f"pixels of mode {picture.mode} have no known range")
    if not picture.mode.startswith("I;16"):
        return picture
    return Image.fromarray((np.asarray(picture) / 257).round().astype(np.uint8))


def prepare(picture: Image.Image, how: Preprocess, size: int) -> Tensor:
    """An RGB picture as (3, h, w) float32 in [0, 1], by a named protocol (see `Geometry`)."""
    return SpatialTransform(how, size).fit(picture, Annotations()).image
