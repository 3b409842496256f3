"""Checks of what is stated of a network: normalisation and input size."""

from __future__ import annotations

import math
from collections.abc import Sequence

import torch
from torch import Tensor, nn

from camdbench.core.errors import UsageError

_LARGEST = 1.5  # mean or std of colours in [0, 1]; that of timm is 1


def per_channel(value: float | Sequence[float], what: str) -> Tensor:
    """Mean or standard deviation (1, 3, 1, 1) on the scale of [0, 1], from one number or one per channel.

    >>> per_channel(0.5, "mean").flatten().tolist()
    [0.5, 0.5, 0.5]

    Raises:
        UsageError: another count, not finite, or on the scale of 0 to 255.
    """
    values = [float(value)] * 3 if isinstance(value, int | float) else [float(item) for item in value]
    if len(values) != 3 or not all(map(math.isfinite, values)):
        raise UsageError(f"{what}={value!r}: expected one number or three")
    if max(map(abs, values)) > _LARGEST:
        unit = ", ".join(f"{item / 255:.3f}" for item in values)
        raise UsageError(f"{what}={value!r}: on the scale of 0 to 255, but images are in [0, 1]; divide by 255: {unit}")
    return torch.tensor(values).reshape(1, 3, 1, 1)


def check_input_size(network: nn.Module, given: int | None) -> int:
    """Side of the images in pixels: as given, or as stated by a vision transformer of torchvision or timm, which takes no other.

    Raises:
        UsageError: the two contradict each other.
    """
    embedding = getattr(network, "patch_embed", None)
    sides = getattr(embedding, "img_size", None) if getattr(embedding, "strict_img_size", False) else getattr(network, "image_size", None)
    stated = sides[0] if isinstance(sides, tuple) and len(set(sides)) == 1 else sides
    if not isinstance(stated, int):
        return 224 if given is None else given
    if given not in (None, stated):
        raise UsageError(f"input_size = {given}: {type(network).__name__} takes images of {stated} x {stated} pixels; omit input_size")
    return stated
