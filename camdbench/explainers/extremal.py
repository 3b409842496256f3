"""Extremal perturbations: optimal smooth masks of fixed areas."""

from __future__ import annotations

from typing import Literal, NamedTuple

import torch
from pydantic import NonNegativeFloat, PositiveFloat, PositiveInt
from torch import Tensor

from camdbench.core.cost import Cost, Repeat
from camdbench.core.difference import Difference
from camdbench.core.errors import NotApplicable, UsageError
from camdbench.core.registries import explainer
from camdbench.explainers.common.masked_scoring import chunks
from camdbench.explainers.common.trace import Trace
from camdbench.functional.descent import Sgd
from camdbench.functional.smooth_masks import area_error, blur, blur_by_mask, enlarge, enlarge_with_margin, pyramid

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
    torchray: bool


@explainer(
    "extremal",
    paper="Fong, Patrick & Vedaldi 2019, arXiv:1910.08485, eq. 2-7, section 4.1",
    cost=Cost(
        forward=1,
        repeats=(
            Repeat(("areas", "max_iter"), forward=1, backward=1),
            Repeat(("areas", "max_iter"), forward=1, backward=1, when=("variant", "dual")),
            Repeat((), forward=1, when=("search_dtype", "float64")),
        ),
    ),
    needs=("gradients",),
    aliases=("extremal_perturbation",),
    differs=(
        Difference(
            "TorchRay (the authors' library)",
            "holds the area on a mask with a margin, 260 x 260 for 224 x 224 pixels (compat=torchray)",
            "up to 1.35 times the area on the image: mean 0.138 at area 0.1 on a photograph, here 0.106",
        ),
        Difference(
            "TorchRay (the authors' library)",
            "places nodes at the corners of cells, cuts the kernel at its value 0.25, blurs into a border of the mean colour, ranks equal "
            "pixels in their order (compat=torchray)",
            "masks shifted by 3 pixels; rounding selects regions",
        ),
        Difference("TorchRay (the authors' library)", "searches in float32", 'amplifies rounding: as search_dtype="network"'),
    ),
    unstable=("search_dtype", "network"),
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
    compat: Literal["paper", "torchray"] = "paper",
    search_dtype: Literal["float64", "network"] = "float64",
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

    `compat="torchray"` is the authors' library, whose masks differ. Its masks reach beyond the image by a margin of `sigma`
    pixels, and the area holds for the mask with its margin; on 224 pixels it may be 1.35 times as large. Nodes lie at the corners of
    cells, those beyond the grid are zero, and the kernel is cut at 1 + ceil(sigma / step) nodes. Blurs are surrounded by the
    network's mean colour. Equal values of a mask are ranked in the order of their pixels. The last step is not shown.

    `search_dtype="float64"` searches on a copy of the network in float64, for one more forward pass. In float32 (`network`)
    the search amplifies rounding, and single maps depend on batch size and processor. TorchRay searches in float32.

    Returns:
        (B, H, W), non-negative; in the dtype of the search.

    Raises:
        NotApplicable: the network cannot be copied or does not compute in float64; or a contrastive reward of another objective.
    """
    if not areas or not all(0 < area < 1 for area in areas):
        raise UsageError(f"extremal(areas={areas}): expected shares of the image, more than 0 and less than 1")
    if reward == "contrastive" and not trace.objective.is_logit:
        raise NotApplicable(f"extremal(reward='contrastive') contrasts logits, not {trace.objective.name}; use reward='simple'")
    search = _Search(variant, reward, max_iter, step, sigma, jitter, compat == "torchray")
    if search_dtype == "network":
        return _sum_of_masks(trace, areas, search, blur_sigma, smooth)
    with trace.in_float64() as exact:
        return _sum_of_masks(exact, areas, search, blur_sigma, smooth).to(trace.images.device)


def _sum_of_masks(trace: Trace, areas: tuple[float, ...], search: _Search, blur_sigma: float, smooth: float) -> Tensor:
    """The masks of all areas, summed and blurred, (B, H, W)."""
    total = trace.images.new_zeros(len(trace.images), *trace.size)
    for chunk in chunks(trace, len(areas), gradients=True):
        total += _masks(trace, torch.tensor(areas[chunk], dtype=torch.float64), search, blur_sigma).sum(1)
    return blur(total, smooth * min(trace.size), zero_padding=search.torchray)


def _masks(trace: Trace, areas: Tensor, search: _Search, blur_sigma: float) -> Tensor:
    """Optimised masks (B, A, H, W) of A areas, all at once."""
    count, size = len(areas), trace.size
    blurred = _blurred(trace, blur_sigma, search).repeat_interleave(count, 0)  # (B A, 8, 3, H, W)
    wanted = areas.repeat(len(trace.images))
    rows = torch.arange(len(trace.images), device=trace.images.device).repeat_interleave(count)
    grids = trace.images.new_ones(len(rows), *(-(-side // search.step) for side in size)).requires_grad_()
    descent = Sgd(grids, _RATE, momentum=_MOMENTUM, dampening=_MOMENTUM)
    masks = grids
    for iteration in range(search.max_iter):
        with torch.enable_grad():
            masks, whole = _enlarged(grids, size, search)
            reward = _reward(trace, blurred, masks, rows, search, mirrored=search.jitter and iteration % 2 == 0)
            loss = _AREA_WEIGHT * _GROWTH**iteration * area_error(whole, wanted, share_ties=not search.torchray) - reward
            (gradient,) = torch.autograd.grad(loss.sum(), grids)
        descent.step(gradient)
        with torch.no_grad():
            grids.clamp_(0, 1)
    if not search.torchray:  # which returns the mask before the last step
        masks = enlarge(grids, size, search.step, search.sigma)
    return masks.detach().unflatten(0, (-1, count))


def _blurred(trace: Trace, sigma: float, search: _Search) -> Tensor:
    """Blur pyramid (B, 8, 3, H, W); TorchRay's surrounds the normalised image with zeros, the network's mean colour."""
    if not search.torchray:
        return pyramid(trace.images, sigma)
    mean = trace.classifier.mean
    return pyramid(trace.images - mean, sigma, zero_padding=True) + mean


def _enlarged(grids: Tensor, size: tuple[int, int], search: _Search) -> tuple[Tensor, Tensor]:
    """Masks (N, H, W), and those whose area counts: the same, or TorchRay's with their margin."""
    if not search.torchray:
        masks = enlarge(grids, size, search.step, search.sigma)
        return masks, masks
    whole, margin = enlarge_with_margin(grids, search.step, search.sigma), round(search.sigma)
    masks = whole[:, margin : margin + size[0], margin : margin + size[1]]
    if masks.shape[1:] != size:
        raise UsageError(
            f"extremal(step={search.step}, sigma={search.sigma}): masks of TorchRay do not cover the image; use sigma={2 * search.step}"
        )
    return masks, whole


def _reward(trace: Trace, blurred: Tensor, masks: Tensor, rows: Tensor, search: _Search, *, mirrored: bool) -> Tensor:
    """The reward (N,) of each mask (N, H, W)."""
    shown = {"preserve": [masks], "delete": [1 - masks], "dual": [masks, 1 - masks]}[search.variant]
    images = torch.cat([blur_by_mask(blurred, mask, flat_top=search.torchray) for mask in shown])
    logits = trace.score(images.flip(3) if mirrored else images)
    rows = rows.repeat(len(shown))
    values = trace.explained(logits, rows)
    if search.reward == "contrastive":
        values = values - logits.scatter(1, trace.targets[rows][:, None], -torch.inf).amax(1)
    if search.variant == "dual":
        kept, left = values.chunk(2)
        return kept - left
    return values if search.variant == "preserve" else -values
