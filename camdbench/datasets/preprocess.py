"""From a picture to a tensor in [0, 1]: decoding and the named preprocessing protocols."""

from __future__ import annotations

import warnings
from pathlib import Path
from typing import Literal

import numpy as np
import torch
from PIL import Image, ImageOps, UnidentifiedImageError
from torch import Tensor

from camdbench.core.errors import SampleError

Preprocess = Literal["resize256_crop224", "resize224_distort"]


def read_picture(path: Path) -> Image.Image:
    """Decode a picture, upright by its EXIF tag, as RGB.

    Raises:
        SampleError: the file is damaged, no picture, or a decompression bomb.
    """
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("error", Image.DecompressionBombWarning)
            with Image.open(path) as picture:
                return _eight_bits(ImageOps.exif_transpose(picture)).convert("RGB")
    except (Image.DecompressionBombError, Image.DecompressionBombWarning):
        raise SampleError(f"{path.name}: more pixels than a picture should have (decompression bomb)") from None
    except (UnidentifiedImageError, OSError, SyntaxError, ValueError) as error:
        raise SampleError(f"{path.name}: cannot be decoded ({error})") from None


def _eight_bits(picture: Image.Image) -> Image.Image:
    """Greys of 16 bits scaled to 8, where Pillow would clip them to white."""
    if picture.mode in ("I", "F"):
        raise ValueError(f"pixels of mode {picture.mode} have no known range")
    if not picture.mode.startswith("I;16"):
        return picture
    return Image.fromarray((np.asarray(picture) / 257).round().astype(np.uint8))


def prepare(picture: Image.Image, how: Preprocess, size: int) -> Tensor:
    """An RGB picture as (3, size, size) float32 in [0, 1].

    - `resize256_crop224`: the short side to round(size * 256 / 224), bilinear, then the centre `size` x `size`.
    - `resize224_distort`: to `size` x `size`, bilinear, the aspect not kept.
    """
    if how == "resize224_distort":
        picture = picture.resize((size, size), Image.Resampling.BILINEAR)
    else:
        short = round(size * 256 / 224)
        scale = short / min(picture.size)
        width, height = (max(short, int(side * scale)) for side in picture.size)
        picture = picture.resize((width, height), Image.Resampling.BILINEAR)
        left, top = round((width - size) / 2), round((height - size) / 2)
        picture = picture.crop((left, top, left + size, top + size))
    return torch.from_numpy(np.asarray(picture, dtype=np.uint8).copy()).permute(2, 0, 1).float().div(255)
