"""Opti-CAM: channel weights optimised for the class logit of the masked image."""

from __future__ import annotations

from copy import copy
from typing import Literal, NamedTuple

import torch
from pydantic import NonNegativeInt, PositiveFloat
from torch import Tensor

from camdbench.core.cost import Cost, Repeat
from camdbench.core.difference import Difference
from camdbench.core.errors import NotApplicable
from camdbench.core.registries import explainer
from camdbench.explainers.common.trace import Trace
from camdbench.functional.descent import Adam
from camdbench.functional.normalise import Normalisation, normalise, upsample

_NO_CHANGE = 1e-10  # of an image's objective between two iterations: the paper's rule to stop (appendix A)

Objective = Literal["mask", "diff", "iomask", "iodiff"]
Start = Literal["mean", "random", "gradcam"]
Stop = Literal["paper", "release"]


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
            Repeat((), forward=1, when=("search_dtype", "float64")),
        ),
    ),
    needs=("layer", "gradients"),
    stochastic=True,
    differs=(
        Difference(
            "released code",
            "stops where the loss, compared at every tenth of the iterations, has risen; no rule of 1e-10",
            'reproduced per image by stop="release"',
        ),
        Difference("released code", "compares the loss summed over the batch", "a map depends on its batch"),
        Difference("released code", "searches in float32", 'chaotic: as search_dtype="network"'),
        Difference("released code", "rectifies the activations", "none where they are non-negative"),
        Difference("released code", "starts at u = 0.5", "none: softmax(u) is uniform there too"),
    ),
    values="(-inf, inf)",
    unstable=("search_dtype", "network"),
)
def opticam(
    trace: Trace,
    *,
    iterations: NonNegativeInt = 100,
    lr: PositiveFloat = 0.1,
    objective: Literal["mask", "diff", "iomask", "iodiff"] = "mask",
    normalisation: Literal["range", "max", "sigmoid"] = "range",
    start: Literal["mean", "random", "gradcam"] = "mean",
    stop: Literal["paper", "release"] = "paper",
    best: bool = False,
    search_dtype: Literal["float64", "network"] = "float64",
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
    instead of the last, for one more forward pass. No image depends on the others of its batch.

    `stop` ends the search of an image early: `paper` if the objective changes by less than 1e-10 between two iterations,
    `release` if it is lower than at the last comparison, made at every (iterations // 10)-th iteration.

    `search_dtype="float64"` searches on a copy of the network in float64, for one more forward pass. In float32 (`network`)
    the search amplifies rounding, and single maps depend on batch size, threads and processor.

    Returns:
        (B, h, w), non-negative if the activations are; in the dtype of the search.

    Raises:
        NotApplicable: the network cannot be copied or does not compute in float64; or its dtype, in which to search, has 16 bits.
    """
    seen = trace.at(layer)
    options = _Options(iterations, lr, objective, normalisation, start, stop, best)
    if search_dtype == "network":
        _refuse_half_precision(trace.classifier.dtype)
        return _search(seen, options)
    with seen.in_float64() as exact:
        return _search(exact, options).to(trace.images.device)


def _refuse_half_precision(dtype: torch.dtype) -> None:
    """Adam's epsilon is zero in float16, and bfloat16 has no 0.999: steps are NaN or of a wrong length."""
    if torch.finfo(dtype).bits < 32:
        name = str(dtype).removeprefix("torch.")
        raise NotApplicable(f"opticam(search_dtype='network'): the network is in {name}, too coarse for Adam; use search_dtype='float64'")


class _Options(NamedTuple):
    """Options of the search."""

    iterations: int
    lr: float
    objective: Objective
    normalisation: Normalisation
    start: Start
    stop: Stop
    best: bool


def _search(trace: Trace, options: _Options) -> Tensor:
    """Maps (B, h, w) of the weights found by Adam, in the dtype of the trace; images that stop leave the search."""
    weights = _start(trace, options.start).requires_grad_()  # (B, K)
    found = weights.detach().clone()
    active = torch.arange(len(weights), device=weights.device)
    target = _Target(trace, options.objective, options.normalisation)
    adam, best = Adam(weights, options.lr), _Best(found) if options.best else None
    previous = torch.full_like(found[:, 0], -torch.inf)
    for step in range(options.iterations):
        with torch.enable_grad():
            values = target.objective(adam.values)  # (active,)
            (gradient,) = torch.autograd.grad(-values.sum(), adam.values)
        values = values.detach()
        if best is not None:
            best.keep(adam.values, values, active)
        if options.stop == "paper" or not step % max(options.iterations // 10, 1):
            stopped, previous = _stopped(values, previous, options.stop), values
            if stopped.any():
                found[active[stopped]] = adam.values.detach()[stopped]
                staying = ~stopped
                active, previous, gradient, target = active[staying], previous[staying], gradient[staying], target.of(staying)
                adam.keep(staying)
                if not len(active):
                    break
        adam.step(gradient)
    if best is not None and len(active) and options.iterations:
        with torch.no_grad():
            best.keep(adam.values, target.objective(adam.values), active)
    found[active] = adam.values.detach()
    return combine(found if best is None else best.weights, trace.activations)


def _stopped(values: Tensor, previous: Tensor, stop: Stop) -> Tensor:
    """Whether each image stops, (N,) bool, by its objective now and at the last comparison."""
    return values < previous if stop == "release" else ~((values - previous).abs() >= _NO_CHANGE)  # NaN stops too


def combine(weights: Tensor, activations: Tensor) -> Tensor:
    """S(x; u) (B, h, w) from u (B, K) and A (B, K, h, w) (eq. 8)."""
    return torch.einsum("bk,bkhw->bhw", weights.softmax(1), activations)


class _Target:
    """Objective of each image as a function of its channel weights."""

    def __init__(self, trace: Trace, objective: Objective, normalisation: Normalisation) -> None:
        self.trace, self.kind = trace, objective
        self.normalisation: Normalisation = normalisation
        self.images, self.activations, self.clean = trace.images, trace.activations, trace.explained_scores
        self.rows = torch.arange(len(trace.images), device=trace.images.device)

    def of(self, chosen: Tensor) -> _Target:
        """The objective of the chosen images, (N,) bool."""
        part = copy(self)
        for name in ("images", "activations", "rows", "clean"):
            setattr(part, name, getattr(self, name)[chosen])
        return part

    def objective(self, weights: Tensor) -> Tensor:
        """Value to maximise, (N,), of channel weights (N, K)."""
        masks = normalise(upsample(combine(weights, self.activations), self.trace.size), self.normalisation).unsqueeze(1)
        images, rows, clean = self.images, self.rows, self.clean
        if self.kind in ("mask", "diff"):
            inside = self._score(images * masks, rows)
            return inside if self.kind == "mask" else -(clean - inside).abs()
        both = self._score(torch.cat([images * masks, images * (1 - masks)]), rows.repeat(2))
        inside, outside = both.chunk(2)
        if self.kind == "iomask":
            return inside - outside
        return (clean - outside).abs() - (clean - inside).abs()

    def _score(self, images: Tensor, rows: Tensor) -> Tensor:
        return self.trace.explained(self.trace.score(images), rows)


class _Best:
    """Weights (B, K) with the highest objective so far."""

    def __init__(self, start: Tensor) -> None:
        self.weights, self.highest = start.clone(), torch.full_like(start[:, 0], -torch.inf)

    def keep(self, weights: Tensor, values: Tensor, active: Tensor) -> None:
        """Keep the weights (N, K) of the active images whose objective (N,) is higher than before."""
        better = values > self.highest[active]
        self.highest[active[better]] = values[better]
        self.weights[active[better]] = weights.detach()[better]


def _start(trace: Trace, start: Start) -> Tensor:
    """U (B, K) before the first step."""
    like = trace.activations.mean((2, 3)).detach()  # dtype and device of the search
    if start == "random":
        rows = [torch.randn(like.shape[1], generator=trace.random(index, "opticam")) for index in range(len(like))]
        return torch.stack(rows).to(like)
    if start == "gradcam":
        importance = trace.gradients.mean((2, 3)).relu()
        share = importance / importance.sum(1, keepdim=True).clamp_min(torch.finfo(importance.dtype).tiny)
        return (share + 1 / (100 * like.shape[1])).log()  # a floor of 1 % of the mean share keeps every channel reachable
    return torch.zeros_like(like)
