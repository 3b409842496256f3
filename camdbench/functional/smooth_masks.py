"""Masks that are smooth by construction, and images blurred as much as a mask says."""

from __future__ import annotations

import math
from typing import Any, cast

import torch
import torch.nn.functional as F
from torch import Tensor

_SHARPNESS = 20  # of the smooth maximum, the inverse of its temperature
_NEGLIGIBLE = 1e-3  # of the kernel
_EQUAL = 1e-6  # difference of neighbours in a sorted mask that rounding may make


def blur(images: Tensor, sigma: float) -> Tensor:
    """Images (…, H, W) under a Gaussian of standard deviation `sigma` in pixels, renormalised at the edges."""
    if sigma == 0:
        return images
    rows, columns = (_gaussian(side, sigma, images) for side in images.shape[-2:])
    return rows @ images @ columns.T


def _gaussian(side: int, sigma: float, like: Tensor) -> Tensor:
    places = torch.arange(side, device=like.device, dtype=like.dtype)
    weights = torch.exp(-((places[:, None] - places) ** 2) / (2 * sigma**2))
    return weights / weights.sum(1, keepdim=True)


def pyramid(images: Tensor, sigma: float, levels: int = 8) -> Tensor:
    """Images (N, C, H, W) blurred by sigma, …, 0 in equal steps: (N, levels, C, H, W)."""
    return torch.stack([blur(images, sigma * (1 - level / (levels - 1))) for level in range(levels)], 1)


def perturbed(blurred: Tensor, masks: Tensor) -> Tensor:
    """Each pixel from the level of its pyramid (N, L, C, H, W) that masks (N, H, W) in [0, 1] point to: (N, C, H, W).

    0 is the first level and 1 the last; between two levels it is interpolated.
    """
    levels = torch.arange(blurred.shape[1], device=masks.device, dtype=masks.dtype)
    places = masks[:, None] * (len(levels) - 1)
    weights = (1 - (places - levels[:, None, None]).abs()).clamp_min(0)  # (N, L, H, W)
    return torch.einsum("nlhw,nlchw->nchw", weights, blurred)


def enlarged(grids: Tensor, size: tuple[int, int], step: int, sigma: float) -> Tensor:
    """Grids (N, h, w) as smooth masks (N, H, W), one node for every `step` pixels (Fong et al. 2019, section 3.2).

    m(u) = smax_v k(|u - v|) g(v) over nodes v, where k(d) = exp(-2 max(0, d / sigma - 1/2)^2) and smax is the mean
    weighted by exp(20 f): a node spreads as a disc of about half of sigma whose edge has one slope. Nodes on the edge
    are repeated outside of it; with nothing there, a grid of ones would be highest along the edge, and a search that
    ranks pixels would begin by keeping the edge, whatever the image.
    """
    radius = math.ceil((0.5 + math.sqrt(-math.log(_NEGLIGIBLE) / 2)) * sigma / step)
    around = torch.arange(-radius, radius + 1, device=grids.device, dtype=grids.dtype) * step
    inside = torch.arange(step, device=grids.device, dtype=grids.dtype) - (step - 1) / 2
    apart = (inside[:, None] - around).square()  # (step, 2 r + 1), squared, on one axis
    distance = (apart[:, None, :, None] + apart[None, :, None, :]).sqrt().flatten(2).flatten(0, 1)  # (step^2, (2 r + 1)^2)
    kernel = torch.exp(-2 * (distance / sigma - 0.5).clamp_min(0).square())
    padded = F.pad(grids[:, None], (radius,) * 4, mode="replicate")
    nodes = F.unfold(padded, 2 * radius + 1)  # (N, (2 r + 1)^2, h w)
    highest = cast("Tensor", _SmoothMaximum.apply(nodes, kernel))  # (N, step^2, h w)
    return F.pixel_shuffle(highest.unflatten(2, grids.shape[1:]), step)[:, 0, : size[0], : size[1]]


class _SmoothMaximum(torch.autograd.Function):
    """smax_v k(p, v) g(v) for every pixel p of a cell, (N, P, L), of nodes g (N, V, L) in [0, 1] and a kernel k (P, V).

    One pixel at a time, and once more on the way back: all N x P x V x L products at once would take a thousand times the room of
    the masks, and the time that it takes to write them.
    """

    @staticmethod
    def forward(ctx: Any, nodes: Tensor, kernel: Tensor) -> Tensor:
        highest = nodes.new_empty(len(nodes), len(kernel), nodes.shape[2])
        totals, spread, shares = torch.empty_like(highest), torch.empty_like(nodes), torch.empty_like(nodes)
        for pixel, weights in enumerate(kernel[..., None]):
            torch.mul(nodes, weights, out=spread)
            torch.mul(spread, _SHARPNESS, out=shares).exp_()  # at most e^20: nothing overflows
            torch.sum(shares, 1, out=totals[:, pixel])
            torch.sum(spread.mul_(shares), 1, out=highest[:, pixel])
        highest /= totals
        ctx.save_for_backward(nodes, kernel, highest, totals)
        return highest

    @staticmethod
    def backward(ctx: Any, *grad_outputs: Tensor) -> tuple[Tensor, None]:
        """By g(v) it is k(v) w(v) (1 + 20 (k(v) g(v) - smax)), where w are the shares, which add up to 1."""
        nodes, kernel, highest, totals = ctx.saved_tensors
        found, spread, shares = torch.zeros_like(nodes), torch.empty_like(nodes), torch.empty_like(nodes)
        gradient, offset = grad_outputs[0] / totals, 1 - _SHARPNESS * highest
        for pixel, weights in enumerate(kernel[..., None]):
            torch.mul(nodes, _SHARPNESS * weights, out=spread)
            torch.exp(spread, out=shares)
            spread.add_(offset[:, pixel, None]).mul_(shares).mul_(gradient[:, pixel, None])
            found.addcmul_(spread, weights)
        return found, None


def area_error(masks: Tensor, areas: Tensor) -> Tensor:
    """How far masks (N, H, W) are from being ones on a share (N,) of the image and zeros elsewhere, (N,).

    The mean squared difference of the sorted values from zeros and then ones (Fong et al. 2019, eq. 4). Equal values
    share what is wanted of them: a sort has to put them in some order, and from a grid of ones, where all are equal,
    that order would choose the region, whatever the image.

    >>> area_error(torch.tensor([[[1.0, 0.0], [0.0, 0.0]]]), torch.tensor([0.25])).item()
    0.0
    """
    ordered = masks.flatten(1).sort(1).values
    count = ordered.shape[1]
    zeros = (count * (1 - areas)).round()[:, None]
    wanted = (torch.arange(count, device=masks.device) >= zeros).to(masks.dtype)
    return (ordered - _shared(wanted, ordered.detach())).square().mean(1)


def _shared(wanted: Tensor, ordered: Tensor) -> Tensor:
    """What is wanted of sorted values (N, P), the mean of it wherever values are equal up to rounding."""
    groups = F.pad((ordered.diff(dim=1) > _EQUAL).long(), (1, 0)).cumsum(1)  # (N, P) number of the group of equals
    sums, sizes = (torch.zeros_like(wanted).scatter_add(1, groups, values) for values in (wanted, torch.ones_like(wanted)))
    return (sums / sizes.clamp_min(1)).gather(1, groups)
