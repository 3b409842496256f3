"""How many images pass through a network at a time: one rule, by device, for every loop over altered images."""

from __future__ import annotations

import math
from collections.abc import Callable

import torch
from torch import Tensor

CPU_PIXELS = (
    2**19
)  # 10 images of 224 x 224: a layer of 64 channels at half the side fits the cache, and 32 MiB of it are no new mapping in glibc
OTHER_PIXELS = 2**22  # of a device that does not state its free memory
CUDA_PIXELS = 2**25  # 668 images of 224 x 224, beyond which a pass gains nothing
_BYTES = 2**10  # that a network holds for each pixel in a pass in float32 without gradients; VGG, the largest, takes 600
_KEPT = 8  # times as much with what is kept for the way back
_NUMBERS = 16  # in an activation, for each pixel: 64 channels at half the side


def images_per_pass(device: torch.device, pixels: int, *, dtype: torch.dtype = torch.float32, gradients: bool = False) -> int:
    """Number of images of `pixels` pixels that pass at a time, at least 1.

    A CPU is fastest where a layer fits its cache. A GPU takes what half of its free memory holds, in powers of 2, so that the batch
    shape, which values depend on by rounding, is the same from one run to the next.

    Args:
        device: device of the network.
        pixels: height times width of an image.
        dtype: dtype of the images; float64 counts twice.
        gradients: whether activations are kept for a backward pass, which takes more memory.

    >>> [images_per_pass(torch.device("cpu"), side * side) for side in (32, 224, 1024)]
    [512, 10, 1]
    """
    return max(1, _pixels(device, gradients=gradients) * 4 // max(4, dtype.itemsize) // pixels)


def copies_per_pass(device: torch.device, numbers: int) -> int:
    """Number of copies of an activation of `numbers` elements that pass through the rest of a network at a time, at least 1."""
    return images_per_pass(device, math.ceil(numbers / _NUMBERS))


def _pixels(device: torch.device, *, gradients: bool) -> int:
    if device.type == "cpu":
        return CPU_PIXELS
    if device.type != "cuda":
        return OTHER_PIXELS // (_KEPT if gradients else 1)
    cached = torch.cuda.memory_reserved(device) - torch.cuda.memory_allocated(device)  # free, though the driver does not know
    room = (torch.cuda.mem_get_info(device)[0] + cached) // 2 // _BYTES
    return min(CUDA_PIXELS, 2 ** max(0, room.bit_length() - 1)) // (_KEPT if gradients else 1)


def in_halves(score: Callable[[Tensor], Tensor], images: Tensor) -> Tensor:
    """Logits (N, C) of images (N, 3, H, W), of halves of them where the device's memory does not hold the whole.

    Raises:
        torch.OutOfMemoryError: one image is too much, or gradients are kept, for which halves take as much.
    """
    try:
        return score(images)
    except torch.OutOfMemoryError:
        if len(images) == 1 or torch.is_grad_enabled():
            raise
    return torch.cat([in_halves(score, half) for half in images.chunk(2)])
