"""LIME: regression of the class score on the presence of image segments."""

from __future__ import annotations

from typing import Literal

import torch
from pydantic import PositiveInt
from torch import Tensor

from camdbench.core.cost import Cost, Repeat
from camdbench.core.difference import Difference
from camdbench.core.registries import explainer
from camdbench.explainers.common.masked_scoring import fill_image
from camdbench.explainers.common.segments import scores_without, segment
from camdbench.explainers.common.trace import Trace


@explainer(
    "lime",
    paper="Ribeiro et al. 2016, arXiv:1602.04938, eq. 1-2, section 3.4",
    cost=Cost(forward=1, repeats=(Repeat("samples", forward=1),)),
    stochastic=True,
    differs=(
        Difference(
            "Captum",
            "replaces segments by zero, measures distances by pixels and fits a lasso (compat=captum); 25 samples by default",
            "another method of this name",
        ),
    ),
    values="(-inf, inf)",
)
def lime(
    trace: Trace,
    *,
    samples: PositiveInt = 1000,
    segments: Literal["quickshift", "grid"] = "quickshift",
    cells: PositiveInt = 8,
    compat: Literal["paper", "captum"] = "paper",
) -> Tensor:
    r"""LIME: coefficients of a linear model fitted to class scores with random image segments removed.

    .. math:: \arg\min_c \sum_i w_i (y_i - b - z_i^\top c)^2 + \lambda \|c\|^2

    z_i marks the segments of sample i, w_i is its weight. Each segment is removed with probability 1/2. Segments come from
    quickshift or from a grid of `cells` x `cells`.

    - `compat="paper"`, as in the authors' package: a removed segment shows its mean colour; the first sample is the full
      image; a sample at cosine distance d from it, counted in segments, has weight sqrt(exp(-d^2 / 0.25^2));
      probabilities; ridge regression with a penalty of 1 and an intercept.
    - `captum`, on the same segments: the network's mean colour; d from the pixels of the normalised image, weight
      exp(-d^2 / 2); logits; lasso with a penalty of 0.01. Captum's default is 25 samples.

    Returns:
        (B, H, W), signed: a segment's coefficient on each of its pixels.
    """
    found = segment(trace, segments, cells)
    kept = [torch.rand(samples, count, generator=trace.random(index, "lime")).lt(0.5).double() for index, count in enumerate(found.counts)]
    if compat == "captum":
        scores = scores_without(trace, found, kept, fill_image(trace, "mean"), "logit")
        energies = found.totals(((trace.images - trace.classifier.mean) / trace.classifier.std).square()).sum(1).cpu().double()  # (B, K)
        weights = [(-(_distance(own, energy[: own.shape[1]]) ** 2) / 2).exp() for own, energy in zip(kept, energies, strict=True)]
        return found.spread([lasso(*row, penalty=0.01) for row in zip(kept, scores, weights, strict=True)])
    for own in kept:
        own[0] = 1
    scores = scores_without(trace, found, kept, found.means(trace.images), "probability")
    weights = [(-(_distance(own, torch.ones(own.shape[1]).double()) ** 2) / 0.25**2).exp().sqrt() for own in kept]
    return found.spread([ridge(*row, penalty=1.0) for row in zip(kept, scores, weights, strict=True)])


def _distance(kept: Tensor, energies: Tensor) -> Tensor:
    """Cosine distances (N,) to the whole of samples (N, K) whose parts have squared lengths (K,)."""
    return 1 - (kept @ energies / energies.sum().clamp_min(torch.finfo(energies.dtype).tiny)).sqrt()


def ridge(inputs: Tensor, outputs: Tensor, weights: Tensor, *, penalty: float) -> Tensor:
    """Coefficients (K,) that minimise sum_i w_i (y_i - b - x_i' c)^2 + penalty |c|^2, b free; inputs (N, K)."""
    gram, correlation = _weighted_moments(inputs, outputs, weights)
    return torch.linalg.solve(gram + penalty * torch.eye(len(gram), dtype=gram.dtype), correlation)


def lasso(inputs: Tensor, outputs: Tensor, weights: Tensor, *, penalty: float, sweeps: int = 1000) -> Tensor:
    """Coefficients (K,) that minimise sum_i w_i (y_i - b - x_i' c)^2 / (2 sum_i w_i) + penalty |c|_1, by coordinate descent."""
    gram, correlation = (part / weights.sum() for part in _weighted_moments(inputs, outputs, weights))
    found = torch.zeros_like(correlation)
    for _ in range(sweeps):
        before = found.clone()
        for index in range(len(found)):
            if gram[index, index] > 0:
                rest = correlation[index] - gram[index] @ found + gram[index, index] * found[index]
                found[index] = rest.sign() * (rest.abs() - penalty).clamp_min(0) / gram[index, index]
        if bool((found - before).abs().max() <= 1e-9 * found.abs().max()):
            break
    return found


def _weighted_moments(inputs: Tensor, outputs: Tensor, weights: Tensor) -> tuple[Tensor, Tensor]:
    """X' W X (K, K) and X' W y (K,) about the weighted means."""
    share = weights / weights.sum()
    inputs, outputs = inputs - share @ inputs, outputs - share @ outputs
    weighted = inputs * weights[:, None]
    return weighted.T @ inputs, weighted.T @ outputs
