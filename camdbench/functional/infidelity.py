"""Infidelity: random squares, and the mean squared error of predicted score changes."""

from __future__ import annotations

import torch
from torch import Tensor


def squares(generator: torch.Generator, count: int, sides: tuple[int, ...], size: tuple[int, int]) -> Tensor:
    """Random squares (N, 3) int64 inside an image of (H, W): top, left, side; `sides` are used in turn.

    A side is at most the shorter side of the image.
    """
    side = torch.tensor([min(sides[index % len(sides)], *size) for index in range(count)])
    places = torch.rand(count, 2, generator=generator, dtype=torch.float64)
    corners = (places * (torch.tensor(size) - side[:, None] + 1)).long()  # uniform over all positions
    return torch.cat([corners, side[:, None]], 1)


def inside(squares: Tensor, size: tuple[int, int]) -> Tensor:
    """Pixels inside each of the squares (N, 3), (N, H, W) bool.

    >>> inside(torch.tensor([[1, 0, 2]]), (3, 3)).int().tolist()
    [[[0, 0, 0], [1, 1, 0], [1, 1, 0]]]
    """
    top, left, side = squares.unbind(1)
    rows, columns = (torch.arange(length, device=squares.device) for length in size)
    down, right = rows - top[:, None], columns - left[:, None]
    there = [(distance >= 0) & (distance < side[:, None]) for distance in (down, right)]
    return there[0][:, :, None] & there[1][:, None, :]


def infidelity(predicted: Tensor, changes: Tensor, *, scaled: bool = True) -> Tensor:
    """Infidelity: mean of (beta predicted - changes)^2 over samples (B, N) -> (B,), with the optimal beta or beta = 1.

    Yeh et al. 2019, definition 2.1; beta = E[changes predicted] / E[predicted^2] as in the authors' code; NaN if all
    predictions are 0.

    >>> infidelity(torch.tensor([[1.0, 2.0]]), torch.tensor([[3.0, 6.0]])).item()
    0.0
    >>> infidelity(torch.tensor([[1.0, 2.0]]), torch.tensor([[3.0, 6.0]]), scaled=False).item()
    10.0
    """
    if scaled:
        predicted = predicted / predicted.abs().amax(1, keepdim=True)  # cancels in beta predicted; avoids overflow of squares
        predicted = predicted * ((changes * predicted).mean(1, keepdim=True) / predicted.square().mean(1, keepdim=True))
    return (predicted - changes).square().mean(1)
