"""One picture of a user's as a Pillow image of 8 bits, or as a tensor if it has been through a transform."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import torch
from PIL import Image
from torch import Tensor

from camdbench.core.errors import SampleError, UsageError
from camdbench.datasets.containers import to_images
from camdbench.datasets.preprocess import read_picture, to_rgb
from camdbench.datasets.transforms import Annotations, SpatialTransform, TransformedSample


def open_picture(given: Any) -> Image.Image | Tensor:
    """An RGB image of 8 bits from a path, a Pillow image or bytes; a float32 tensor (3, H, W) in [0, 1] from floats.

    Files are rotated by their EXIF tag; Pillow images are taken as they are.

    Raises:
        SampleError: the file cannot be decoded.
        UsageError: no picture of three channels, or values outside [0, 1].
    """
    if isinstance(given, str | Path):
        return read_picture(Path(given))
    if isinstance(given, Image.Image):
        try:
            return to_rgb(given)
        except (OSError, ValueError) as error:
            raise UsageError(f"cannot be decoded ({error})") from None
    images = to_images(given).detach().as_subclass(Tensor).cpu()
    if len(images) != 1:
        raise UsageError(f"{len(images)} images in one item; give one picture (3, H, W) or (H, W, 3) per item")
    if getattr(given, "dtype", None) in (torch.uint8, np.uint8):
        return Image.fromarray((images[0] * 255).round().to(torch.uint8).permute(1, 2, 0).contiguous().numpy())
    low, high = float(images.min()), float(images.max())
    if not (low >= 0 and high <= 1):  # also refuses NaN
        fix = "take Normalize out of the data set's transform; camdbench normalises by mean and std itself"
        raise UsageError(f"has values {low:.3g}..{high:.3g}: {'divide by 255' if low >= 0 and high > 2 else fix}")
    with torch.inference_mode(mode=False):
        return images[0].clone().float()


def fit(picture: Image.Image | Tensor, known: Annotations, geometry: SpatialTransform | None, size: int) -> TransformedSample:
    """A preprocessed picture with its annotations.

    Args:
        picture: the picture, as `open_picture` returns it.
        known: its annotations.
        geometry: preprocessing protocol; None: tensors are kept, pictures are resized and cropped by `resize256_crop224`.
        size: side of the input for that default, in pixels.

    Raises:
        SampleError: a mask has another size than the picture.
        UsageError: a tensor is to be resized.
    """
    if not isinstance(picture, Tensor):
        return (geometry or SpatialTransform(size=size)).fit(picture, known)
    if geometry is not None and geometry.how != "keep":
        raise UsageError(f"preprocess={geometry.how!r}: floats have been preprocessed before; omit preprocess, or give bytes")
    blank = Image.new("RGB", (picture.shape[2], picture.shape[1]))  # boxes are clipped as those of any picture
    return SpatialTransform("keep").fit(blank, known)._replace(image=picture)


def naming(name: str, error: UsageError | SampleError) -> UsageError:
    """The error with the name of its image."""
    return UsageError(f"image {name!r}{' ' if str(error).startswith('has ') else ': '}{error}")
