"""Sobol attribution: total Sobol indices of image cells."""

from __future__ import annotations

from typing import Literal

import torch
from pydantic import PositiveInt
from torch import Tensor

from camdbench.core.cost import Cost, Repeat
from camdbench.core.registries import explainer
from camdbench.explainers.common.masked_scoring import fill_image, scores_under
from camdbench.explainers.common.trace import Trace
from camdbench.functional.cell_grid import cells as cells_of
from camdbench.functional.seeding import generator_for


@explainer(
    "sobol",
    paper="Fel et al. 2021, arXiv:2111.04138, definition of the total Sobol index",
    cost=Cost(forward=1, repeats=(Repeat("designs", forward=1), Repeat(("designs", "cells", "cells"), forward=1))),
    stochastic=True,
)
def sobol(
    trace: Trace,
    *,
    cells: PositiveInt = 8,
    designs: PositiveInt = 32,
    fill: Literal["mean", "black"] = "mean",
    score: Literal["probability", "logit"] = "logit",
) -> Tensor:
    r"""Sobol attribution: total Sobol index of each grid cell for the class score.

    .. math:: S_i = \mathrm{E}[\mathrm{Var}(y \mid m_{\setminus i})] / \mathrm{Var}(y)

    Cell i shows x m_i + fill (1 - m_i), m uniform. Jansen's
    estimator: mean over designs of (y(A) - y(A with i from B))^2 / (2 Var(y(A))), which takes designs * (cells^2 + 1) passes.
    A and B are the halves of one Sobol sequence, the same for all images. The seed scrambles it; otherwise two of its
    coordinates may agree on few points, which would set an index to zero.

    Returns:
        (B, h, w) with h = w = `cells`, non-negative.
    """
    labels = cells_of(trace.size, cells, trace.images.device)
    design = _sobol_design(trace, cells**2, designs)  # (N (d + 1), d)
    scores = scores_under(trace, len(design), lambda part: design[part][:, labels], fill_image(trace, fill), score)
    base, replaced = scores[:, :designs], scores[:, designs:].unflatten(1, (-1, designs))  # (B, N), (B, d, N)
    variance = base.var(1, correction=0)[:, None]
    indices = (base[:, None] - replaced).square().mean(2) / (2 * torch.where(variance > 0, variance, torch.inf))
    return indices.unflatten(1, (cells, cells))


def _sobol_design(trace: Trace, dimensions: int, designs: int) -> Tensor:
    """A (N, d), then A with each of its columns in turn taken from B."""
    seed = generator_for(trace.seed, "", "sobol").initial_seed()
    points = torch.quasirandom.SobolEngine(2 * dimensions, scramble=True, seed=seed).draw(designs)
    first, second = points.chunk(2, 1)
    swapped = first.repeat(dimensions, 1, 1)  # (d, N, d)
    for index in range(dimensions):
        swapped[index, :, index] = second[:, index]
    return torch.cat([first, swapped.flatten(0, 1)]).to(trace.images.device)
