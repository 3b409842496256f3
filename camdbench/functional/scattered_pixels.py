"""Images from some of their pixels: linear interpolation between scattered pixels, and the size of an image as a file."""

from __future__ import annotations

from io import BytesIO

import numpy as np
import torch
from torch import Tensor

from camdbench.core.option_types import Interpolation
from camdbench.functional.imputation import impute


def eight_bits(images: Tensor) -> Tensor:
    """Images in [0, 1] rounded to multiples of 1/255."""
    return (images * 255).round().clamp(0, 255) / 255


def recovered(images: Tensor, known: Tensor, interpolation: Interpolation) -> Tensor:
    """Images (N, 3, H, W) in [0, 1] at 8 bits, with unknown pixels from the known ones.

    Args:
        images: (N, 3, H, W) in [0, 1].
        known: (N, H, W) bool, the four corners included.
        interpolation: `linear` in the triangles of Delaunay's triangulation of the known pixels, or `neighbours`, as `impute`.
    """
    images = eight_bits(images)
    if interpolation == "neighbours":
        return eight_bits(torch.where(known[:, None], images, impute(images, known)))
    filled = [_linear(image, mask) for image, mask in zip(images.cpu().numpy(), known.cpu().numpy(), strict=True)]
    return eight_bits(torch.from_numpy(np.stack(filled)).to(images))


def _linear(image: np.ndarray, known: np.ndarray) -> np.ndarray:
    from scipy.interpolate import LinearNDInterpolator

    found, unknown = image.copy(), ~known
    if unknown.any():
        levels = np.rint(255 * image[:, known].T.astype(np.float64))
        between = LinearNDInterpolator(np.argwhere(known), levels)(np.argwhere(unknown)).T
        found[:, unknown] = np.rint(between.round(6)) / 255  # halves, frequent between two pixels, do not depend on rounding errors
    return found


def webp_bytes(image: Tensor) -> int:
    """Number of bytes of an image (3, H, W) in [0, 1] as a lossless WebP file of quality 100; it depends on the version of libwebp.

    >>> webp_bytes(torch.zeros(3, 64, 64)) < 100 < webp_bytes(torch.rand(3, 64, 64))
    True
    """
    from PIL import Image

    file = BytesIO()
    pixels = (image.permute(1, 2, 0) * 255).round().to("cpu", torch.uint8).numpy()
    Image.fromarray(pixels).save(file, format="WEBP", lossless=True, quality=100)
    return file.tell()
