"""Infidelity's arithmetic: squares at random places, and how far a map is from telling what they change."""

from __future__ import annotations

import torch
from torch import Tensor


def squares(generator: torch.Generator, count: int, sides: tuple[int, ...], size: tuple[int, int]) -> Tensor:
    """Squares (N, 3) int64 that lie in an image of (H, W): top, left and side; the sides take turns.

    A side longer than the image is as long as the shorter of the image's.
    """
    side = torch.tensor([min(sides[index % len(sides)], *size) for index in range(count)])
    places = torch.rand(count, 2, generator=generator, dtype=torch.float64)
    corners = (places * (torch.tensor(size) - side[:, None] + 1)).long()  # every place that the square fits in is as likely
    return torch.cat([corners, side[:, None]], 1)


def inside(squares: Tensor, size: tuple[int, int]) -> Tensor:
    """Which pixels lie in each of the squares (N, 3), (N, H, W) bool.

    >>> inside(torch.tensor([[1, 0, 2]]), (3, 3)).int().tolist()
    [[[0, 0, 0], [1, 1, 0], [1, 1, 0]]]
    """
    top, left, side = squares.unbind(1)
    rows, columns = (torch.arange(length, device=squares.device) for length in size)
    down, right = rows - top[:, None], columns - left[:, None]
    there = [(distance >= 0) & (distance < side[:, None]) for distance in (down, right)]
    return there[0][:, :, None] & there[1][:, None, :]


def infidelity(told: Tensor, changes: Tensor, *, scaled: bool = True) -> Tensor:
    """The mean of (beta told - changes)^2 over samples (B, N), (B,), with the beta that makes it smallest, or with 1.

    Yeh et al. 2019, eq. 1, and section 4.3 for beta = E[changes told] / E[told^2]; NaN where nothing is told.

    >>> infidelity(torch.tensor([[1.0, 2.0]]), torch.tensor([[3.0, 6.0]])).item()
    0.0
    >>> infidelity(torch.tensor([[1.0, 2.0]]), torch.tensor([[3.0, 6.0]]), scaled=False).item()
    10.0
    """
    if scaled:
        told = told / told.abs().amax(1, keepdim=True)  # does not move beta told, and keeps squares in range
        told = told * ((changes * told).mean(1, keepdim=True) / told.square().mean(1, keepdim=True))
    return (told - changes).square().mean(1)
