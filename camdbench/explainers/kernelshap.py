"""KernelSHAP: Shapley values of segments from a weighted regression."""

from __future__ import annotations

import itertools
from typing import Literal

import torch
from pydantic import PositiveInt
from torch import Tensor

from camdbench.core.cost import Cost, Repeat
from camdbench.core.registries import explainer
from camdbench.explainers.common.masked_scoring import fill_image
from camdbench.explainers.common.segments import scores_without, segment
from camdbench.explainers.common.trace import Trace


@explainer(
    "kernelshap",
    paper="Lundberg & Lee 2017, arXiv:1705.07874, theorem 2",
    cost=Cost(forward=3, repeats=(Repeat("samples", forward=1),), note="fewer samples if there are no more coalitions"),
    stochastic=True,
)
def kernelshap(
    trace: Trace,
    *,
    samples: PositiveInt = 1000,
    segments: Literal["quickshift", "grid"] = "quickshift",
    cells: PositiveInt = 8,
    fill: Literal["mean", "black"] = "mean",
    score: Literal["probability", "logit"] = "logit",
) -> Tensor:
    r"""KernelSHAP: Shapley values of image segments by weighted regression on random coalitions.

    .. math:: \phi_i = \sum_{S \not\ni i} \frac{|S|!\,(K - |S| - 1)!}{K!}\,(y(S \cup i) - y(S))

    The values sum over the K segments to y(x) - y(fill): the constraints of the empty and the full coalition are exact, because
    the Shapley kernel is infinite there (theorem 2). Coalition sizes are drawn in proportion to the kernel, coalitions of
    one size uniformly, each with its complement. If there are at most `samples` coalitions, all are used, and the values
    are exact.

    Returns:
        (B, H, W), signed: a segment's value on each of its pixels.
    """
    found = segment(trace, segments, cells)
    drawn = [_coalitions(count, samples, trace.random(index, "kernelshap")) for index, count in enumerate(found.counts)]
    ends = [torch.stack([torch.zeros(count), torch.ones(count)]).double() for count in found.counts]
    kept = [torch.cat([end, own]) for end, (own, _) in zip(ends, drawn, strict=True)]
    scores = scores_without(trace, found, kept, fill_image(trace, fill), score)
    return found.spread([_values(own, row, weights) for own, row, (_, weights) in zip(kept, scores, drawn, strict=True)])


def _coalitions(players: int, samples: int, generator: torch.Generator) -> tuple[Tensor, Tensor]:
    """Coalitions (N, K), neither empty nor whole, and their weights (N,) in the regression."""
    if players == 1:
        return torch.zeros(0, 1).double(), torch.zeros(0).double()
    sizes = torch.arange(1, players).double()
    kernel = (players - 1) / (sizes * (players - sizes))  # of all coalitions of a size together
    if players < 60 and 2**players - 2 <= samples:
        every = torch.tensor(list(itertools.product((0.0, 1.0), repeat=players))[1:-1]).double()
        size = every.sum(1)
        number = (torch.lgamma(torch.tensor(players + 1.0)) - torch.lgamma(size + 1) - torch.lgamma(players - size + 1)).exp()
        return every, kernel[size.long() - 1] / number
    size = torch.multinomial(kernel, -(-samples // 2), replacement=True, generator=generator) + 1
    ranks = torch.rand(len(size), players, generator=generator).argsort(1).argsort(1)
    drawn = (ranks < size[:, None]).double()
    return torch.stack([drawn, 1 - drawn], 1).flatten(0, 1)[:samples], torch.ones(samples).double()


def _values(kept: Tensor, scores: Tensor, weights: Tensor) -> Tensor:
    """Shapley values (K,) from the scores of the empty, the whole and other coalitions (2 + N, K)."""
    base, gained = scores[0], scores[1] - scores[0]
    coalitions = kept[2:]
    last = coalitions[:, -1:]  # takes what the others leave, so that the sum is exact
    root = weights.sqrt()[:, None]
    outputs = (scores[2:] - base)[:, None] - gained * last
    others = torch.linalg.lstsq(root * (coalitions[:, :-1] - last), root * outputs, driver="gelsd").solution[:, 0]
    return torch.cat([others, (gained - others.sum())[None]])
