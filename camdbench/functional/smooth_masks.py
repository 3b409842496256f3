"""Smooth masks, and images blurred per pixel by a mask (extremal perturbations)."""

from __future__ import annotations

import math
from collections.abc import Iterator
from typing import Any, cast

import torch
import torch.nn.functional as F
from torch import Tensor
from torch.utils.checkpoint import checkpoint

_SHARPNESS = 20  # inverse temperature of the smooth maximum
_NEGLIGIBLE = 1e-3  # kernel values below are cut off
_COLUMNS = 256  # cells of a block of nodes
_EQUAL = 1e-6  # difference of sorted neighbours within rounding


def blur(images: Tensor, sigma: float, *, zero_padding: bool = False) -> Tensor:
    """Gaussian blur of images (…, H, W) with standard deviation `sigma` in pixels, renormalised at the edges.

    `zero_padding` surrounds the images with zeros instead, and cuts the kernel at 4 sigma, as TorchRay does.
    """
    if sigma == 0:
        return images
    rows, columns = (_gaussian(side, sigma, images, zero_padding) for side in images.shape[-2:])
    return rows @ images @ columns.T


def _gaussian(side: int, sigma: float, like: Tensor, zero_padding: bool) -> Tensor:
    places = torch.arange(side, device=like.device, dtype=like.dtype)
    apart = places[:, None] - places
    weights = torch.exp(-(apart**2) / (2 * sigma**2))
    if not zero_padding:
        return weights / weights.sum(1, keepdim=True)
    reach = math.ceil(4 * sigma)
    whole = torch.arange(-reach, reach + 1, device=like.device, dtype=like.dtype)
    return torch.where(apart.abs() <= reach, weights, 0) / torch.exp(-(whole**2) / (2 * sigma**2)).sum()


def blur_window(maps: Tensor, side: int, sigma: float) -> Tensor:
    """Gaussian blur of maps (B, H, W) by a kernel of `side` x `side` pixels; the borders are mirrored, without the outermost pixel."""
    from torchvision.transforms.functional import gaussian_blur

    return gaussian_blur(maps, [min(side, 2 * length - 1) for length in reversed(maps.shape[-2:])], [sigma, sigma])


def pyramid(images: Tensor, sigma: float, levels: int = 8, *, zero_padding: bool = False) -> Tensor:
    """Blur pyramid of images (N, C, H, W) with sigma, …, 0 in equal steps: (N, levels, C, H, W)."""
    return torch.stack([blur(images, sigma * (1 - level / (levels - 1)), zero_padding=zero_padding) for level in range(levels)], 1)


def blur_by_mask(blurred: Tensor, masks: Tensor, *, flat_top: bool = False) -> Tensor:
    """Interpolate between the levels of a pyramid (N, L, C, H, W) per pixel by masks (N, H, W) in [0, 1]: (N, C, H, W).

    Mask value 0 is the first level, 1 the last. At a level, the derivative by the mask is the one towards the next level, at 1
    the one from the level below, or 0 with `flat_top`, as in TorchRay. Where a mask is NaN, the image is.
    """
    top = blurred.shape[1] - 1
    places = masks * top
    lower = places.detach().floor().long().clamp(0, top if flat_top else top - 1)
    below, above = (_level(blurred, level.clamp(max=top)) for level in (lower, lower + 1))
    return below + (places - lower)[:, None] * (above - below)


def _level(blurred: Tensor, levels: Tensor) -> Tensor:
    """Pixels (N, C, H, W) of the levels (N, H, W) of a pyramid (N, L, C, H, W)."""
    return blurred.gather(1, levels[:, None, None].expand(-1, -1, *blurred.shape[2:3], -1, -1)).squeeze(1)


def enlarge(grids: Tensor, size: tuple[int, int], step: int, sigma: float) -> Tensor:
    """Smooth masks (N, H, W) from grids (N, h, w) with one node per `step` pixels (Fong et al. 2019, section 3.2).

    m(u) = smax_v k(|u - v|) g(v) over nodes v, with k(d) = exp(-2 max(0, d / sigma - 1/2)^2) and smax the mean weighted by
    exp(20 f). Nodes on the edge are replicated outside; with zero padding the edge of a grid of ones would be highest, and
    a search that ranks pixels would keep the edge first in every image.
    """
    radius = math.ceil((0.5 + math.sqrt(-math.log(_NEGLIGIBLE) / 2)) * sigma / step)
    around = torch.arange(-radius, radius + 1, device=grids.device, dtype=grids.dtype) * step
    inside = torch.arange(step, device=grids.device, dtype=grids.dtype) - (step - 1) / 2
    apart = (inside[:, None] - around).square()  # (step, 2 r + 1), squared, on one axis
    distance = (apart[:, None, :, None] + apart[None, :, None, :]).sqrt().flatten(2).flatten(0, 1)  # (step^2, (2 r + 1)^2)
    kernel = torch.exp(-2 * (distance / sigma - 0.5).clamp_min(0).square())
    padded = F.pad(grids[:, None], (radius,) * 4, mode="replicate")
    nodes = F.unfold(padded, 2 * radius + 1)  # (N, (2 r + 1)^2, h w)
    highest = cast("Tensor", _SmoothMaximum.apply(nodes.transpose(0, 1).flatten(1), kernel))  # (step^2, N h w)
    cells = highest.unflatten(1, grids.shape).transpose(0, 1)
    return F.pixel_shuffle(cells, step)[:, 0, : size[0], : size[1]]


def enlarge_with_margin(grids: Tensor, step: int, sigma: float) -> Tensor:
    """TorchRay's smooth masks (N, H', W') of grids (N, h, w): they reach beyond the image by a margin of `sigma` pixels.

    Node (i, j) lies at pixel (step i, step j) of the image, the grid is surrounded by zeros, and a pixel sees 1 + ceil(sigma /
    step) nodes on each side. The image begins at pixel round(sigma) of a mask; a side of 224 pixels has 260 with step 7 and
    sigma 21. Sums run over nodes at full size, as in TorchRay: it ranks equal pixels in their order, so rounding matters.
    """
    padding, radius = 1 + math.ceil(2 * sigma / step), 1 + math.ceil(sigma / step)
    around = torch.arange(2 * radius + 1, device=grids.device, dtype=grids.dtype) - padding
    inside = torch.arange(step, device=grids.device, dtype=grids.dtype) - sigma
    apart = (inside - around[:, None] * step).square()  # (2 r + 1, step), squared, on one axis
    distance = (apart[:, None, :, None] + apart[None, :, None, :]).sqrt().flatten(0, 1)  # ((2 r + 1)^2, step, step)
    kernel = torch.exp(-2 * (distance / sigma - 0.5).clamp_min(0).square())
    cells = [side + 2 * padding - 2 * radius for side in grids.shape[1:]]
    kernel = kernel.repeat(1, *cells)[:, : step * (cells[0] - 1) + 1, : step * (cells[1] - 1) + 1]
    padded = F.pad(grids[:, None], (padding,) * 4)
    return torch.cat([checkpoint(_highest, grid[None], kernel, cells, step, use_reentrant=False) for grid in padded])


def _highest(padded: Tensor, kernel: Tensor, cells: list[int], step: int) -> Tensor:
    """smax_v k(p, v) g(v) (1, H', W') of one padded grid (1, 1, h, w) and a kernel (V, H', W')."""
    nodes = F.unfold(padded, math.isqrt(len(kernel))).unflatten(2, cells)
    large = nodes.repeat_interleave(step, 2).repeat_interleave(step, 3)[:, :, : kernel.shape[1], : kernel.shape[2]]
    products = kernel * large
    return (products * (_SHARPNESS * products).softmax(1)).sum(1)


class _SmoothMaximum(torch.autograd.Function):
    """smax_v k(p, v) g(v) for every pixel p of a cell, (P, C), of nodes g (V, C) in [0, 1] around C cells and a kernel k (P, V).

    Computed pixel by pixel in both directions: all P x V x C products at once would need a thousand times the memory of the masks.
    """

    @staticmethod
    def forward(ctx: Any, nodes: Tensor, kernel: Tensor) -> Tensor:
        highest = nodes.new_empty(len(kernel), nodes.shape[1])
        totals = torch.empty_like(highest)
        for around, high, total in _blocks(nodes, highest, totals):
            scaled, shares = _SHARPNESS * around, torch.empty_like(around)
            for pixel, weights in enumerate(kernel):
                torch.mul(scaled, weights[:, None], out=shares).exp_()  # at most e^20: no overflow
                total[pixel] = shares.sum(0)
                high[pixel] = weights @ shares.mul_(around)
        highest /= totals
        ctx.save_for_backward(nodes, kernel, highest, totals)
        return highest

    @staticmethod
    def backward(ctx: Any, *grad_outputs: Tensor) -> tuple[Tensor, None]:
        """Derivative by g(v): k(v) w(v) (1 + 20 (k(v) g(v) - smax)) with softmax weights w."""
        nodes, kernel, highest, totals = ctx.saved_tensors
        gradient, found = grad_outputs[0] / totals, torch.zeros_like(nodes)
        for around, sums, slopes, offsets in _blocks(nodes, found, gradient, gradient * (1 - _SHARPNESS * highest)):
            scaled, products, shares = _SHARPNESS * around, torch.empty_like(around), torch.empty_like(around)
            for pixel, weights in enumerate(kernel[..., None]):
                torch.mul(scaled, weights, out=products)
                torch.exp(products, out=shares)
                sums.addcmul_(products.mul_(slopes[pixel]).add_(offsets[pixel]).mul_(shares), weights)
        return found, None


def _blocks(nodes: Tensor, *others: Tensor) -> Iterator[tuple[Tensor, ...]]:
    """Columns of nodes, as copies, and of other tensors, so few that a processor's cache holds them; a GPU takes all at once."""
    count = nodes.shape[1] if nodes.is_cuda else _COLUMNS
    for around, *rest in zip(*(tensor.split(count, 1) for tensor in (nodes, *others)), strict=True):
        yield around.contiguous(), *rest


def area_error(masks: Tensor, areas: Tensor, *, share_ties: bool = True) -> Tensor:
    """Mean squared difference of the sorted values of masks (N, H, W) from zeros, then ones on an area fraction (N,): (N,).

    Fong et al. 2019, eq. 4. Equal values share the mean of their ideal values; otherwise the order of a sort would select
    the region on a grid of ones. TorchRay has it so: `share_ties=False`, which also rounds the number of zeros down.

    >>> area_error(torch.tensor([[[1.0, 0.0], [0.0, 0.0]]]), torch.tensor([0.25])).item()
    0.0
    """
    ordered = masks.flatten(1).sort(1).values
    count = ordered.shape[1]
    zeros = count * (1 - areas)
    zeros = (zeros.round() if share_ties else zeros.floor()).to(masks)[:, None]
    ideal = (torch.arange(count, device=masks.device) >= zeros).to(masks.dtype)
    if share_ties:
        ideal = _average_ties(ideal, ordered.detach())
    return (ordered - ideal).square().mean(1)


def _average_ties(ideal: Tensor, ordered: Tensor) -> Tensor:
    """Ideal values (N, P), averaged over sorted values that are equal up to rounding."""
    groups = F.pad((ordered.diff(dim=1) > _EQUAL).long(), (1, 0)).cumsum(1)  # (N, P) group index
    sums, sizes = (torch.zeros_like(ideal).scatter_add(1, groups, values) for values in (ideal, torch.ones_like(ideal)))
    return (sums / sizes.clamp_min(1)).gather(1, groups)
