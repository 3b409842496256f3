"""Core-focused losses: class maps in closed form, their contrasts, and their energy on the core region.

With global average pooling and a linear layer, logits = mean(A) W' + b, the map of class c is
CAM_c = sum_k W_ck A_k / (h w); it sums to the logit of c minus b_c.
"""

from __future__ import annotations

from collections.abc import Callable

import torch
import torch.nn.functional as F
from torch import Tensor
from torch.utils.checkpoint import checkpoint


def class_maps(activations: Tensor, weights: Tensor) -> Tensor:
    """CAM (B, C, h, w) from A (B, K, h, w) and W (C, K)."""
    return torch.einsum("ck,bkhw->bchw", weights, activations) / activations[0, 0].numel()


def contrasts(activations: Tensor, weights: Tensor, targets: Tensor, classes: Tensor | None = None) -> Tensor:
    """ContrastiveCAM CC_(t,c) = CAM_t - CAM_c (B, C, h, w) of targets t (B,) (definition 3.3); exactly 0 for c = t.

    `classes`: indices of the classes c; default: all.
    """
    others = torch.arange(len(weights), device=weights.device) if classes is None else classes
    own = torch.einsum("bk,bkhw->bhw", weights[targets], activations) / activations[0, 0].numel()
    found = own[:, None] - class_maps(activations, weights[others])
    return found.masked_fill((others == targets[:, None])[:, :, None, None], 0)


def on_grid(masks: Tensor, size: tuple[int, int]) -> Tensor:
    """Masks (B, …, H, W) sampled at the cell centres of a grid, (B, …, h, w) float (`nearest-exact`)."""
    flat = masks.reshape(-1, 1, *masks.shape[-2:]).float()
    return F.interpolate(flat, size=size, mode="nearest-exact").reshape(*masks.shape[:-2], *size)


def core_of(masks: Tensor, size: tuple[int, int]) -> tuple[Tensor, Tensor]:
    """Core H (B, h, w) of masks (B, H, W), and which masks are empty on the grid (B,); for these H is 1 everywhere."""
    grid = on_grid(masks, size)
    empty = grid.flatten(1).amax(1) == 0
    return torch.where(empty[:, None, None], 1, grid), empty


def core_focused_logits(activations: Tensor, weights: Tensor, core: Tensor, targets: Tensor, *, chunk: int = 128) -> Tensor:
    """Exponents of core-focused cross-entropy, a_c = -sum H CC_(t,c) + sum (1 - H) |CC_(t,c)|, (B, C).

    a_t = 0; the loss log sum_c exp a_c (Eq. 15) is the cross-entropy of `a` against t. With H = 1 everywhere a_c is
    logit_c - logit_t without biases.

    Args:
        activations: A (B, K, h, w).
        weights: W (C, K).
        core: H (B, h, w) in [0, 1].
        targets: t (B,).
        chunk: classes per chunk; with several chunks the backward pass recomputes the maps.
    """

    def exponents(classes: Tensor, activations: Tensor, weights: Tensor) -> Tensor:
        maps = contrasts(activations, weights, targets, classes)
        return ((1 - core[:, None]) * maps.abs() - core[:, None] * maps).sum((2, 3))

    return _over_classes(exponents, activations, weights, chunk)


def mixed_exponents(activations: Tensor, weights: Tensor, owners: Tensor, targets: Tensor) -> Tensor:
    """Exponents (B, C) of core-focused cross-entropy on images with objects of several classes (Eq. 73).

    a_i = sum_p ( -[H_p = t] CC_(t,i) + [H_p = none] |CC_(t,i)| + [H_p = i] CC_(t,i) ). Cells on objects of third classes
    do not contribute.

    Args:
        activations: A (B, K, h, w).
        weights: W (C, K).
        owners: H (B, h, w), class of the object in each cell, -1 for background.
        targets: t (B,).
    """
    maps = contrasts(activations, weights, targets)
    classes = torch.arange(len(weights), device=owners.device)
    own, none = (owners == targets[:, None, None])[:, None], (owners == -1)[:, None]
    theirs = owners[:, None] == classes[:, None, None]  # (B, C, h, w)
    return (maps * (theirs.to(maps.dtype) - own.to(maps.dtype)) + maps.abs() * none).sum((2, 3))


def core_divergence(
    activations: Tensor, weights: Tensor, core: Tensor, targets: Tensor, *, sharpness: float, scale: float, chunk: int = 128
) -> Tensor:
    """Mean over classes c != t of KL(softmax(l2 H) || softmax(l3 CC_(t,c))), (B,) (Eq. 18 without lambda_1)."""

    def divergences(classes: Tensor, activations: Tensor, weights: Tensor) -> Tensor:
        return divergence(contrasts(activations, weights, targets, classes), core[:, None], sharpness=sharpness, scale=scale)

    found = _over_classes(divergences, activations, weights, chunk)
    others = 1 - F.one_hot(targets, len(weights)).to(found.dtype)
    return (found * others).sum(1) / (len(weights) - 1)


def divergence(maps: Tensor, core: Tensor, *, sharpness: float, scale: float) -> Tensor:
    """KL(softmax(sharpness H) || softmax(scale M)) over the grid, H and M (…, h, w) -> (…,) >= 0.

    Computed from log-softmax, which keeps values and gradients finite when a softmax underflows.
    """
    target = (sharpness * core).flatten(-2).log_softmax(-1).expand(*maps.shape[:-2], -1)
    found = (scale * maps).flatten(-2).log_softmax(-1)
    return (target.exp() * (target - found)).sum(-1)


def core_focused_binary_logits(maps: Tensor, core: Tensor, logits: Tensor, labels: Tensor) -> Tensor:
    """Logits (B, C) of core-focused binary cross-entropy (Eq. 71).

    For a present class sum H CAM - sum (1 - H) |CAM| plus its bias, for an absent class its logit.

    Args:
        maps: CAM (B, C, h, w).
        core: H (B, C, h, w), or (B, 1, h, w) for one mask for all present classes.
        logits: (B, C).
        labels: (B, C), 1 for present classes.
    """
    bias = logits - maps.sum((2, 3))
    focused = (core * maps).sum((2, 3)) - ((1 - core) * maps.abs()).sum((2, 3)) + bias
    return labels * focused + (1 - labels) * logits


def _over_classes(compute: Callable[[Tensor, Tensor, Tensor], Tensor], activations: Tensor, weights: Tensor, chunk: int) -> Tensor:
    """Compute (B, C) from A and W in chunks of classes."""
    parts = torch.arange(len(weights), device=weights.device).split(chunk)
    if len(parts) == 1:
        return compute(parts[0], activations, weights)
    return torch.cat([checkpoint(compute, part, activations, weights, use_reentrant=False) for part in parts], 1)
