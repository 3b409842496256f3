"""Noisy linear imputation (ROAD): missing pixels as weighted means of their neighbours, by batched conjugate gradients."""

from __future__ import annotations

import torch
import torch.nn.functional as F
from torch import Tensor

_CHECK_INTERVAL = 8  # iterations between convergence checks, which synchronise the device


def impute(images: Tensor, known: Tensor, *, tolerance: float = 1e-5, rounds: int = 2000) -> Tensor:
    """Images (N, 3, H, W) with unknown pixels set to the weighted mean of their neighbours (Rong et al. 2022, noisy linear imputation).

    Direct neighbours weigh 1/6, diagonal ones 1/12, renormalised at the border. This is a sparse, symmetric, positive
    definite system A = D - M K M per image: K is a 3 x 3 convolution, M selects the unknown pixels, D sums the weights
    inside the image. Conjugate gradients, preconditioned by D, solve all images and channels at once; a converged system
    is frozen, which makes its solution independent of the batch.

    Args:
        images: (N, 3, H, W).
        known: (N, H, W) bool; at least one pixel per image.
        tolerance: residual relative to the right-hand side at which a system has converged.
        rounds: maximum number of iterations.
    """
    missing = (~known).unsqueeze(1).to(images.dtype)
    weights = _neighbours(torch.ones_like(missing[:1]))  # (1, 1, H, W)
    start = _block_means(images, known)
    right = missing * _neighbours(images * (1 - missing))
    found = start * missing
    rest = missing * (right - weights * found + _neighbours(found))
    scaled = rest / weights
    direction, product = scaled, _dot(rest, scaled)
    least = (tolerance * _dot(right, right).sqrt()).clamp_min(torch.finfo(images.dtype).tiny)
    for count in range(rounds):
        open_ = _dot(rest, rest).sqrt() > least  # (N, 3, 1, 1)
        if count % _CHECK_INTERVAL == 0 and not bool(open_.any()):
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
    """Weighted sum of the eight neighbours in (N, C, H, W), zero padding.

    The weights are products of 1, 2, 1 along rows and columns over 12, without the centre. Sums of shifted images are
    eight times as fast as a convolution on a CPU.
    """
    padded = F.pad(values, (1, 1, 1, 1))
    rows = padded[..., :-2] + 2 * padded[..., 1:-1] + padded[..., 2:]
    return (rows[..., :-2, :] + 2 * rows[..., 1:-1, :] + rows[..., 2:, :] - 4 * values) / 12


def _dot(first: Tensor, second: Tensor) -> Tensor:
    return (first * second).sum((2, 3), keepdim=True)


def _block_means(images: Tensor, known: Tensor) -> Tensor:
    """Initial guess: mean of the known pixels in the smallest block (side a power of 2) that contains any.

    Conjugate gradients alone converge slowly in wide holes.
    """
    guess, weight = images * known.unsqueeze(1), known.unsqueeze(1).to(images.dtype)
    total, empty, scale = guess, weight == 0, 1
    rows, columns = (torch.arange(side, device=images.device) for side in images.shape[-2:])
    while max(total.shape[-2:]) > 1:
        total, weight, scale = _block_sums(total), _block_sums(weight), 2 * scale
        block = (slice(None), slice(None), (rows // scale)[:, None], columns // scale)
        guess = torch.where(empty & (weight > 0)[block], (total / weight.clamp_min(torch.finfo(weight.dtype).tiny))[block], guess)
        empty = empty & ~(weight > 0)[block]
    return guess


def _block_sums(values: Tensor) -> Tensor:
    """Sums over blocks of 2 x 2 pixels, zero padding."""
    height, width = values.shape[-2:]
    return 4 * F.avg_pool2d(F.pad(values, (0, width % 2, 0, height % 2)), 2)
