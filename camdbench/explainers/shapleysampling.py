"""Shapley values of segments by sampled permutations."""

from __future__ import annotations

import itertools
from typing import Literal

import torch
from pydantic import PositiveInt
from torch import Tensor

from camdbench.core.cost import Cost, Repeat
from camdbench.core.difference import Difference
from camdbench.core.registries import explainer
from camdbench.explainers.common.masked_scoring import explained_scores, fill_image
from camdbench.explainers.common.segments import scores_of_rows, segment
from camdbench.explainers.common.trace import Trace


@explainer(
    "shapleysampling",
    paper="Castro et al. 2009, doi 10.1016/j.cor.2008.04.004, algorithm ApproShapley; pairs: Mitchell et al. 2022, arXiv:2104.12199",
    cost=Cost(
        forward=2,
        repeats=(Repeat(("samples", "per further feature"), forward=1),),
        note="all coalitions if they are no more passes",
    ),
    stochastic=True,
    aliases=("shapleyvaluesampling",),
    differs=(
        Difference("Captum", "draws permutations independently, from the global generator", "about twice the variance at equal passes"),
    ),
    values="(-inf, inf)",
)
def shapleysampling(
    trace: Trace,
    *,
    samples: PositiveInt = 24,
    segments: Literal["quickshift", "grid"] = "quickshift",
    cells: PositiveInt = 8,
    fill: Literal["mean", "black"] = "mean",
    score: Literal["probability", "logit"] = "logit",
    spread: Literal["value", "density"] = "value",
) -> Tensor:
    r"""Shapley sampling: mean gain of the class score when a segment joins, in random orders.

    .. math:: \phi_i = \frac{1}{n} \sum_\pi \big(y(P_i^\pi \cup i) - y(P_i^\pi)\big)

    P_i are the segments before i in the permutation; the others show the fill. Of two successive permutations the second is the
    first in reverse (antithetic). Each permutation's gains sum to y(x) - y(fill), so the values do for any number of samples. If
    all coalitions take no more passes than the permutations, they are used, and the values are exact. Segments, fill and score
    are those of `kernelshap`, `spread` is that of `featureablation`.

    Returns:
        (B, H, W), signed.
    """
    found = segment(trace, segments, cells)
    whole = explained_scores(trace, trace.logits, None, score).detach().cpu().double()
    games = [_game(count, samples, trace.random(index, "shapleysampling")) for index, count in enumerate(found.counts)]
    scores = scores_of_rows(trace, found, [kept for kept, _ in games], fill_image(trace, fill), score)
    values = [torch.cat([row, all_[None]]) @ weights for row, all_, (_, weights) in zip(scores, whole, games, strict=True)]
    return found.spread(values, spread)


def _game(players: int, samples: int, generator: torch.Generator) -> tuple[Tensor, Tensor]:
    """Coalitions (N, K) to score, the empty one first, and the weights (N + 1, K) by which scores give values, the whole image's last."""
    if players < 60 and 2**players - 2 <= samples * (players - 1):
        return _exact(players)
    return _sampled([*_orders(players, samples, generator)])


def _orders(players: int, samples: int, generator: torch.Generator) -> list[Tensor]:
    """Permutations, each drawn one followed by its reverse."""
    drawn = [torch.randperm(players, generator=generator) for _ in range(-(-samples // 2))]
    return [order for own in drawn for order in (own, own.flip(0))][:samples]


def _sampled(orders: list[Tensor]) -> tuple[Tensor, Tensor]:
    players = len(orders[0])
    inner, weights = [], torch.zeros(len(orders) * (players - 1) + 2, players).double()
    for number, order in enumerate(orders):
        ranks = order.argsort()
        inner.append((ranks < torch.arange(1, players)[:, None]).double())  # (K - 1, K), growing
        rows = torch.cat([torch.tensor([0]), 1 + number * (players - 1) + torch.arange(players - 1), torch.tensor([len(weights) - 1])])
        weights[rows[1:], order] += 1 / len(orders)
        weights[rows[:-1], order] -= 1 / len(orders)
    return torch.cat([torch.zeros(1, players).double(), *inner]), weights


def _exact(players: int) -> tuple[Tensor, Tensor]:
    """Every coalition and Shapley's weights: |S|! (K - |S| - 1)! / K! of each gain."""
    every = torch.tensor(list(itertools.product((0.0, 1.0), repeat=players))).double()
    sizes, total = every.sum(1, keepdim=True), torch.tensor(float(players)).double()
    joined = (torch.lgamma(sizes.clamp_min(1)) + torch.lgamma(total - sizes + 1) - torch.lgamma(total + 1)).exp()
    apart = (torch.lgamma(sizes + 1) + torch.lgamma((total - sizes).clamp_min(1)) - torch.lgamma(total + 1)).exp()
    return every[:-1], torch.where(every > 0, joined, -apart)
