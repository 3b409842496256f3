"""Random numbers of each image, and the size of the noise of its noisy copies."""

from __future__ import annotations

from collections.abc import Callable, Sequence

import torch
from torch import Tensor

from camdbench.explainers.common.trace import Trace


def drawing(trace: Trace, purpose: str, draw: Callable[..., Tensor], shape: Sequence[int]) -> Callable[[int], Tensor]:
    """A function that draws the next n samples of each image, (B, n, *shape), one call per sample.

    So the numbers depend neither on the batch nor on how many samples are drawn at a time.
    """
    generators = [trace.random(index, purpose) for index in range(len(trace.images))]

    def more(count: int) -> Tensor:
        rows = [torch.stack([draw(shape, generator=generator) for _ in range(count)]) for generator in generators]
        return torch.stack(rows).to(trace.images.device)

    return more


def noise_width(images: Tensor, level: float) -> Tensor:
    """Standard deviation (B, 1, 1, 1) of noise: `level` times each image's range of values (Smilkov et al. 2017)."""
    low, high = (bound(images, (1, 2, 3), keepdim=True) for bound in (torch.amin, torch.amax))
    return level * (high - low)
