"""Values of masks as object and background: one rule for files, arrays and tensors.

Any value but zero is object, in any colour channel. Where a file allows two readings that differ, it is refused.
"""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from PIL import Image
from torch import Tensor

from camdbench.datasets.preprocess import decode_file
from camdbench.datasets.samples import object_pixels

_NUMBERS = ("1", "L", "I", "F")  # modes of one channel, and those of 16 bits


def read_mask(path: Path, above: int = 0) -> Tensor:
    """Object (H, W) bool of a mask file: pixels that are not zero, or above a threshold, in any colour.

    Raises:
        SampleError: the file is missing, damaged or not an image, has values that are not finite, or can be read in two ways: a
            palette whose index 0 is not black, or black pixels beside transparent ones.
    """
    return decode_file(path, lambda picture: torch.from_numpy(_object(picture, above)))


def read_values(path: Path) -> NDArray[Any]:
    """Values (H, W) of a file of numbers, such as a class map: palette indices or grey values.

    Raises:
        SampleError: the file is missing, damaged or not an image, or has colours.
    """

    def decode(picture: Image.Image) -> NDArray[Any]:
        values = np.asarray(picture)
        if values.ndim == 2:
            return values
        colours = values[..., :-1] if picture.mode in ("LA", "RGBA", "PA") else values
        if (colours != colours[..., :1]).any():
            raise ValueError(f"it has colours ({picture.mode}), where one number per pixel is expected; save it as grey or with a palette")
        return colours[..., 0]

    return decode_file(path, decode)


def _object(picture: Image.Image, above: int) -> NDArray[np.bool_]:
    """Pixels (H, W) of the object."""
    if picture.mode in _NUMBERS or picture.mode.startswith("I;16"):
        values = np.asarray(picture)
        return object_pixels(torch.from_numpy(values.astype(np.float64 if values.dtype.kind == "f" else np.int64)), above).numpy()
    if any("16" in str(tile[3]) for tile in getattr(picture, "tile", ())):
        raise ValueError("it has 16 bits per colour, which are read as 8; save it as grey or with 8 bits")
    if picture.mode not in ("P", "PA"):
        return _coloured(picture, above)
    indices, coloured = np.asarray(picture)[..., 0] if picture.mode == "PA" else np.asarray(picture), _coloured(picture, 0)
    if ((indices != 0) != coloured).any():
        raise ValueError("its palette has another index than 0 for black; save it as grey, 0 for the background")
    return indices > above


def _coloured(picture: Image.Image, above: int) -> NDArray[np.bool_]:
    """Visible pixels with a colour above black."""
    clear = picture.mode in ("LA", "La", "RGBA", "RGBa", "PA") or "transparency" in picture.info
    values = np.asarray(picture.convert("RGBA" if clear else "RGB"))
    painted = np.asarray((values[..., :3] > above).any(axis=2))
    if not clear:
        return painted
    visible = values[..., 3] > 0
    if (visible != visible.flat[0]).any() and (visible & ~painted).any():
        raise ValueError("it has black pixels beside transparent ones, either of which may be the background; save it without transparency")
    if not visible.any() and painted.any():
        raise ValueError("it is transparent everywhere; save it without transparency")
    return painted & visible
