"""Opti-CAM: channel weights optimised for the class logit of the masked image."""

from __future__ import annotations

from typing import Literal

import torch
from pydantic import NonNegativeInt, PositiveFloat
from torch import Tensor

from camdbench.core.cost import Cost, Repeat
from camdbench.core.difference import Difference
from camdbench.core.registries import explainer
from camdbench.explainers.common.trace import Trace
from camdbench.functional.normalise import Normalisation, normalise, upsample

_NO_CHANGE = 1e-10  # of an image's loss between two iterations: the paper's rule to stop (appendix A)

Objective = Literal["mask", "diff", "iomask", "iodiff"]
Start = Literal["mean", "random", "gradcam"]


@explainer(
    "opticam",
    paper="Zhang et al. 2024, arXiv:2301.07002, eq. 8-11, 16-19, appendices A and F.2",
    cost=Cost(
        forward=1,
        repeats=(
            Repeat("iterations", forward=1, backward=1),
            Repeat("iterations", forward=1, backward=1, when=("objective", "iomask", "iodiff")),
            Repeat("best", forward=1),
            Repeat("best", forward=1, when=("objective", "iomask", "iodiff")),
            Repeat((), tail_backward=1, when=("start", "gradcam")),
        ),
    ),
    needs=("layer", "gradients"),
    stochastic=True,
    differs=(
        Difference("released code", "stops a whole batch on its summed loss", "a map depends on its batch"),
        Difference("released code", "starts at u = 0.5", "none: softmax(u) is uniform there too"),
    ),
    values="(-inf, inf)",
)
def opticam(
    trace: Trace,
    *,
    iterations: NonNegativeInt = 100,
    lr: PositiveFloat = 0.1,
    objective: Literal["mask", "diff", "iomask", "iodiff"] = "mask",
    normalisation: Literal["range", "max", "sigmoid"] = "range",
    start: Literal["mean", "random", "gradcam"] = "mean",
    best: bool = False,
    layer: str | None = None,
) -> Tensor:
    r"""Opti-CAM: convex combination of channels, optimised per image for the masked image's class logit.

    .. math:: S(u) = \sum_k \mathrm{softmax}(u)_k A_k

    The mask is n(up(S)) (eq. 9). Adam maximises over u the logit of the image times its
    mask (`mask`, eq. 10), or, with x the image and s the mask:

    - `diff`: -|y(x) - y(x s)|
    - `iomask`: y(x s) - y(x (1 - s))
    - `iodiff`: -|y(x) - y(x s)| + |y(x) - y(x (1 - s))|

    `start` initialises u: `mean` of the channels (u = 0), `random` (standard normal, from seed and image), or `gradcam`
    (softmax(u) proportional to the rectified weights of Grad-CAM). `best` returns the iterate with the highest objective
    instead of the last, for one more forward pass. An image whose loss changes by less than 1e-10 stops. No image depends
    on the others of its batch.

    Returns:
        (B, h, w), non-negative if the activations are.
    """
    seen = trace.at(layer)
    activations = seen.activations
    search = _Search(seen, objective, normalisation)
    weights = _start(seen, start).requires_grad_()  # (B, K)
    found = weights.detach().clone()
    highest = torch.full_like(weights[:, 0], -torch.inf)
    previous = torch.full_like(highest, torch.inf)
    adam = torch.optim.Adam([weights], lr=lr)
    active = torch.arange(len(weights), device=weights.device)
    for _ in range(iterations):
        with torch.enable_grad():
            values = search.objective(weights[active], activations[active], active)  # (active,)
            (gradient,) = torch.autograd.grad(-values.sum(), weights)
        values = values.detach()
        if best:
            _keep_best(found, highest, weights, values, active)
        changed = (values - previous[active]).abs() >= _NO_CHANGE
        previous[active] = values
        if not best:
            found[active[~changed]] = weights.detach()[active[~changed]]
        active = active[changed]
        if not len(active):
            break
        weights.grad = gradient  # rows of images that are done may drift: `found` already holds theirs
        adam.step()
    if best and len(active) and iterations:
        with torch.no_grad():
            _keep_best(found, highest, weights, search.objective(weights[active], activations[active], active), active)
    elif not best:
        found[active] = weights.detach()[active]
    return combine(found, activations)


def combine(weights: Tensor, activations: Tensor) -> Tensor:
    """S(x; u) (B, h, w) from u (B, K) and A (B, K, h, w) (eq. 8)."""
    return torch.einsum("bk,bkhw->bhw", weights.softmax(1), activations)


class _Search:
    """Objective of each image as a function of its channel weights."""

    def __init__(self, trace: Trace, objective: Objective, normalisation: Normalisation) -> None:
        self.trace, self.kind = trace, objective
        self.normalisation: Normalisation = normalisation
        self.images, self.targets, self.clean = trace.images, trace.targets, trace.target_logits

    def objective(self, weights: Tensor, activations: Tensor, index: Tensor) -> Tensor:
        """Value to maximise, (N,), for the images at `index`."""
        masks = normalise(upsample(combine(weights, activations), self.trace.size), self.normalisation).unsqueeze(1)
        images, targets, clean = self.images[index], self.targets[index], self.clean[index]
        if self.kind in ("mask", "diff"):
            inside = self._score(images * masks, targets)
            return inside if self.kind == "mask" else -(clean - inside).abs()
        both = self._score(torch.cat([images * masks, images * (1 - masks)]), targets.repeat(2))
        inside, outside = both.chunk(2)
        if self.kind == "iomask":
            return inside - outside
        return (clean - outside).abs() - (clean - inside).abs()

    def _score(self, images: Tensor, targets: Tensor) -> Tensor:
        return self.trace.score(images).gather(1, targets[:, None]).squeeze(1)


def _start(trace: Trace, start: Start) -> Tensor:
    """U (B, K) before the first step."""
    shape = trace.activations.shape[:2]
    if start == "random":
        rows = [torch.randn(shape[1], generator=trace.random(index, "opticam")) for index in range(shape[0])]
        return torch.stack(rows).to(trace.images.device)
    if start == "gradcam":
        importance = trace.gradients.mean((2, 3)).relu()
        share = importance / importance.sum(1, keepdim=True).clamp_min(torch.finfo(importance.dtype).tiny)
        return (share + 1 / (100 * shape[1])).log()  # a floor of 1 % of the mean share keeps every channel reachable
    return torch.zeros(shape, device=trace.images.device)


def _keep_best(found: Tensor, highest: Tensor, weights: Tensor, values: Tensor, active: Tensor) -> None:
    better = values > highest[active]
    highest[active[better]] = values[better]
    found[active[better]] = weights.detach()[active[better]]
