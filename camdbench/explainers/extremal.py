"""Extremal perturbations: optimal smooth masks of fixed areas."""

from __future__ import annotations

from typing import Literal, NamedTuple

import torch
from pydantic import NonNegativeFloat, PositiveFloat, PositiveInt
from torch import Tensor

from camdbench.core.cost import Cost, Repeat
from camdbench.core.errors import UsageError
from camdbench.core.registries import explainer
from camdbench.explainers.common.masked_scoring import chunks
from camdbench.explainers.common.trace import Trace
from camdbench.functional.smooth_masks import area_error, blur, blur_by_mask, enlarge, pyramid

_SHARE = 8  # of the bound on pixels: what the network keeps for the way back takes several times the room
_AREA_WEIGHT, _GROWTH = 300.0, 1.0035  # of the area constraint, and of its weight from step to step
_RATE, _MOMENTUM = 0.01, 0.9


class _Search(NamedTuple):
    """Options of the optimisation of `extremal`."""

    variant: Literal["preserve", "delete", "dual"]
    reward: Literal["simple", "contrastive"]
    max_iter: int
    step: int
    sigma: float
    jitter: bool


@explainer(
    "extremal",
    paper="Fong, Patrick & Vedaldi 2019, arXiv:1910.08485, eq. 2-7, section 4.1",
    cost=Cost(
        forward=1,
        repeats=(
            Repeat(("areas", "max_iter"), forward=1, backward=1),
            Repeat(("areas", "max_iter"), forward=1, backward=1, when=("variant", "dual")),
        ),
    ),
    needs=("gradients",),
    aliases=("extremal_perturbation",),
)
def extremal(
    trace: Trace,
    *,
    areas: tuple[float, ...] = (0.025, 0.05, 0.1, 0.2),
    variant: Literal["preserve", "delete", "dual"] = "preserve",
    reward: Literal["simple", "contrastive"] = "simple",
    max_iter: PositiveInt = 800,
    step: PositiveInt = 7,
    sigma: PositiveFloat = 21.0,
    blur_sigma: PositiveFloat = 20.0,
    smooth: NonNegativeFloat = 0.09,
    jitter: bool = True,
) -> Tensor:
    r"""Extremal perturbations: smooth masks of fixed areas that maximise the class score, summed.

    .. math:: \sum_a \arg\max_{m: |m| = a} y(m \otimes x)

    For each area a, a mask m that covers the fraction a of the image maximises a reward; y is the logit:

    - `preserve`: y(m x), the image blurred where m is not one;
    - `delete`: -y((1 - m) x), the image blurred where m is one;
    - `dual`: y(m x) - y((1 - m) x).

    `reward="contrastive"` replaces y by the logit minus the largest other logit. The masks are grids with a node for every
    `step` pixels, enlarged by a smooth maximum of width `sigma`. The area penalty is 300 * 1.0035^t times the squared
    distance of the sorted mask from zeros and ones. Gradient descent (rate 0.01, momentum and dampening 0.9) takes
    `max_iter` steps from a grid of ones. Blurs reach `blur_sigma` pixels in eight levels. Lengths are in pixels, for
    images of 224 pixels. `jitter` mirrors the images at every other step. The masks of all areas are summed and blurred by
    `smooth` times the shorter side, as for the paper's pointing game.

    Returns:
        (B, H, W), non-negative.
    """
    if not areas or not all(0 < area < 1 for area in areas):
        raise UsageError(f"extremal(areas={areas}): expected shares of the image, more than 0 and less than 1")
    search = _Search(variant, reward, max_iter, step, sigma, jitter)
    total = trace.images.new_zeros(len(trace.images), *trace.size)
    for chunk in chunks(trace, len(areas), _SHARE):
        total += _masks(trace, total.new_tensor(areas[chunk]), search, blur_sigma).sum(1)
    return blur(total, smooth * min(trace.size))


def _masks(trace: Trace, areas: Tensor, search: _Search, blur_sigma: float) -> Tensor:
    """Optimised masks (B, A, H, W) of A areas, all at once."""
    count, size = len(areas), trace.size
    blurred = pyramid(trace.images, blur_sigma).repeat_interleave(count, 0)  # (B A, 8, 3, H, W)
    targets, wanted = trace.targets.repeat_interleave(count), areas.repeat(len(trace.images))
    grids = areas.new_ones(len(targets), *(-(-side // search.step) for side in size)).requires_grad_()
    descent = torch.optim.SGD([grids], lr=_RATE, momentum=_MOMENTUM, dampening=_MOMENTUM)
    for iteration in range(search.max_iter):
        with torch.enable_grad():
            masks = enlarge(grids, size, search.step, search.sigma)
            reward = _reward(trace, blurred, masks, targets, search, mirrored=search.jitter and iteration % 2 == 0)
            loss = _AREA_WEIGHT * _GROWTH**iteration * area_error(masks, wanted) - reward
            grids.grad = torch.autograd.grad(loss.sum(), grids)[0]
        descent.step()
        with torch.no_grad():
            grids.clamp_(0, 1)
    return enlarge(grids.detach(), size, search.step, search.sigma).unflatten(0, (-1, count))


def _reward(trace: Trace, blurred: Tensor, masks: Tensor, targets: Tensor, search: _Search, *, mirrored: bool) -> Tensor:
    """The reward (N,) of each mask (N, H, W)."""
    shown = {"preserve": [masks], "delete": [1 - masks], "dual": [masks, 1 - masks]}[search.variant]
    images = torch.cat([blur_by_mask(blurred, mask) for mask in shown])
    logits = trace.score(images.flip(3) if mirrored else images)
    index = targets.repeat(len(shown))[:, None]
    values = logits.gather(1, index).squeeze(1)
    if search.reward == "contrastive":
        values = values - logits.scatter(1, index, -torch.inf).amax(1)
    if search.variant == "dual":
        kept, left = values.chunk(2)
        return kept - left
    return values if search.variant == "preserve" else -values
