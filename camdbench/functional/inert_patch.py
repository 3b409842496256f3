"""Inert patches: pixels of a region that differ strongly from the image's and hardly change the logits (Yang and Kim 2019, section 4.3)."""

from __future__ import annotations

from collections.abc import Callable

import torch
from torch import Tensor

from camdbench.functional.descent import Adam

_RATE = 0.01  # of Adam, on pixels in [0, 1]
_WEIGHT = 0.05  # of the norm of the patch


def inert_patch(network: Callable[[Tensor], Tensor], images: Tensor, start: Tensor, region: Tensor, steps: int) -> Tensor:
    """Images with a patch d in a region, found by `steps` steps of Adam on ||f(x + d) - f(x)|| - 0.05 ||d||; pixels stay in [0, 1].

    Args:
        network: logits (N, C) of images (N, 3, H, W) in the dtype of `images`; called with and without gradients.
        images: (B, 3, H, W) in [0, 1], x.
        start: (B, 3, H, W) in [0, 1], of which the region is the first x + d.
        region: (B, H, W) bool; outside of it the images stay as they are.
        steps: number of steps; 0: the start.

    Returns:
        (B, 3, H, W) in [0, 1].
    """
    inside = region[:, None].expand_as(images)
    with torch.no_grad():
        wanted = network(images)
    descent = Adam(torch.where(inside, start, images), _RATE)
    for _ in range(steps):
        with torch.enable_grad():
            found = descent.values.detach().requires_grad_()
            change = (network(found) - wanted).norm(dim=1) - _WEIGHT * (found - images).flatten(1).norm(dim=1)
            (gradient,) = torch.autograd.grad(change.sum(), found)
        descent.step(torch.where(inside, gradient, 0))
        descent.values.clamp_(0, 1)
    return torch.where(inside, descent.values, images)
