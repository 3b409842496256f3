"""Conversion of what users hold images, maps, masks and boxes in: tensors, arrays, lists of them, Pillow images, pandas columns."""

from __future__ import annotations

from typing import Any

import numpy as np
import torch
from torch import Tensor

from camdbench.core.errors import UsageError
from camdbench.functional.float_precision import is_real


def to_images(given: Any) -> Tensor:
    """Images (N, 3, H, W) as floats; one image is a batch of one, and bytes are divided by 255.

    Channels come first, or last if the first are not three.

    Raises:
        UsageError: no images of three channels, or integers other than bytes.
    """
    images = to_tensor(given, "images")
    shape = tuple(images.shape)
    images = images.unsqueeze(0) if images.ndim == 3 else images
    if images.ndim == 4 and images.shape[1] != 3 and images.shape[3] == 3:
        images = images.permute(0, 3, 1, 2).contiguous()  # in the usual memory layout, so that no value depends on the container
    if images.ndim != 4 or images.shape[1] != 3 or not images.numel():
        raise UsageError(f"images have shape {shape}; expected (N, 3, H, W) or (N, H, W, 3)")
    if images.dtype == torch.uint8:
        return images.float() / 255
    if not images.is_floating_point():
        raise UsageError(f"images are {images.dtype}; expected floats in [0, 1], or bytes (uint8)")
    return images


def to_planes(given: Any, count: int, name: str) -> Tensor:
    """One map or mask (h, w) per image as (count, h, w), from (N, h, w), (N, 1, h, w), (N, h, w, 1), or (h, w) for a single image.

    Raises:
        UsageError: another shape or number.
    """
    planes = to_tensor(given, name)
    shape = tuple(planes.shape)
    if planes.ndim == 2 and count == 1:
        planes = planes.unsqueeze(0)
    for channel in (1, 3):
        if planes.ndim == 4 and planes.shape[channel] == 1:
            planes = planes.squeeze(channel)
    if planes.ndim != 3 or len(planes) != count or not planes.numel():
        raise UsageError(f"{name} of shape {shape}: {count} images; expected ({count}, h, w)")
    return planes


def to_tensor(given: Any, name: str) -> Tensor:
    """A dense tensor of real numbers from a tensor, an array, a Pillow image, a column of a table, or a sequence of these.

    Args:
        given: the container.
        name: what it holds, for error messages.

    Raises:
        UsageError: it holds something else, or parts of different shapes.
    """
    try:
        found = _convert(given)
    except (TypeError, ValueError, RuntimeError) as error:
        raise UsageError(f"{name} = {type(given).__name__}: {error}; expected a tensor, an array, or a list of equal sizes") from None
    if not is_real(found):
        raise UsageError(f"{name} are {found.dtype}, {found.layout}, on {found.device.type}; expected a dense tensor of real numbers")
    return found


def _convert(given: Any) -> Tensor:
    if isinstance(given, Tensor):
        return given
    if type(given).__module__.startswith("PIL."):
        given = np.asarray(given if given.mode in ("1", "L", "I", "F") else given.convert("RGB"))
    elif hasattr(given, "to_numpy"):  # pandas, polars
        given = given.to_numpy()
    if isinstance(given, list | tuple) or (isinstance(given, np.ndarray) and given.dtype == object):
        return _join(list(given))
    array = np.asarray(given)
    if array.dtype.kind not in "biufc":
        raise TypeError(f"holds {type(given).__name__}")
    return torch.from_numpy(np.ascontiguousarray(array, dtype=array.dtype.newbyteorder("=")).copy())


def _join(parts: list[Any]) -> Tensor:
    """Stack the parts of a sequence; a sequence of numbers is one array."""
    if parts and all(isinstance(part, int | float | np.number | np.bool_) for part in parts):
        return torch.from_numpy(np.asarray(parts))
    tensors = [_convert(part) for part in parts]
    if len({tensor.shape for tensor in tensors}) > 1:
        raise ValueError(f"sizes {', '.join(map(str, sorted({tuple(tensor.shape) for tensor in tensors})))}")
    return torch.stack(tensors)
