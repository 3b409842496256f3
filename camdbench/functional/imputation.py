"""Noisy linear imputation: missing pixels as the mean of their neighbours, solved for whole batches on the device."""

from __future__ import annotations

import torch
import torch.nn.functional as F
from torch import Tensor

_LOOK = 8  # rounds between two looks at whether all systems are solved, each of which waits for the device


def impute(images: Tensor, known: Tensor, *, tolerance: float = 1e-5, rounds: int = 2000) -> Tensor:
    """Images (N, 3, H, W) in which every unknown pixel is the weighted mean of its neighbours (Rong et al. 2022, section 4.2).

    Neighbours side by side weigh 1/6, diagonal ones 1/12; outside of the image there are none, and the weights of the
    others are scaled up. That is a sparse linear system with a symmetric, positive definite matrix A = D - M K M for
    each image, where K is a 3 x 3 convolution, M picks the unknown pixels and D sums the weights that lie inside. It is
    solved by conjugate gradients, preconditioned by D, for all images and channels at once; a system that is solved
    stands still, so that its solution does not depend on the others.

    Args:
        images: (N, 3, H, W).
        known: (N, H, W) bool; at least one pixel of each image.
        tolerance: the residual, relative to the right-hand side, at which a system is solved.
        rounds: after so many, what is reached is returned.
    """
    missing = (~known).unsqueeze(1).to(images.dtype)
    weights = _neighbours(torch.ones_like(missing[:1]))  # (1, 1, H, W)
    start = _spread(images, known)
    right = missing * _neighbours(images * (1 - missing))
    found = start * missing
    rest = missing * (right - weights * found + _neighbours(found))
    scaled = rest / weights
    direction, product = scaled, _dot(rest, scaled)
    least = (tolerance * _dot(right, right).sqrt()).clamp_min(torch.finfo(images.dtype).tiny)
    for count in range(rounds):
        open_ = _dot(rest, rest).sqrt() > least  # (N, 3, 1, 1)
        if count % _LOOK == 0 and not bool(open_.any()):
            break
        along = missing * (weights * direction - _neighbours(direction))
        length = torch.where(open_, product / _dot(direction, along), 0)
        found = found + length * direction
        rest = rest - length * along
        scaled = rest / weights
        following = _dot(rest, scaled)
        direction = torch.where(open_, scaled + following / product * direction, direction)
        product = torch.where(open_, following, product)
    return torch.where(known.unsqueeze(1), images, found)


def _neighbours(values: Tensor) -> Tensor:
    """The weighted sum of the eight neighbours of each place of (N, C, H, W), zero outside.

    The weights are the products of 1, 2, 1 along rows and columns over 12, without the centre's: a few sums of shifted
    images, which on a processor are eight times as fast as a convolution.
    """
    padded = F.pad(values, (1, 1, 1, 1))
    rows = padded[..., :-2] + 2 * padded[..., 1:-1] + padded[..., 2:]
    return (rows[..., :-2, :] + 2 * rows[..., 1:-1, :] + rows[..., 2:, :] - 4 * values) / 12


def _dot(first: Tensor, second: Tensor) -> Tensor:
    return (first * second).sum((2, 3), keepdim=True)


def _spread(images: Tensor, known: Tensor) -> Tensor:
    """A guess at the unknown pixels: the mean of the known ones in the smallest square block that has any.

    Conjugate gradients are slow where a hole is wide; blocks that double in size make the guess right there.
    """
    guess, weight = images * known.unsqueeze(1), known.unsqueeze(1).to(images.dtype)
    total, empty, scale = guess, weight == 0, 1
    rows, columns = (torch.arange(side, device=images.device) for side in images.shape[-2:])
    while max(total.shape[-2:]) > 1:
        total, weight, scale = _halved(total), _halved(weight), 2 * scale
        block = (slice(None), slice(None), (rows // scale)[:, None], columns // scale)
        guess = torch.where(empty & (weight > 0)[block], (total / weight.clamp_min(torch.finfo(weight.dtype).tiny))[block], guess)
        empty = empty & ~(weight > 0)[block]
    return guess


def _halved(values: Tensor) -> Tensor:
    """Sums over blocks of 2 x 2 places, those at the edges over what is there."""
    height, width = values.shape[-2:]
    return 4 * F.avg_pool2d(F.pad(values, (0, width % 2, 0, height % 2)), 2)
