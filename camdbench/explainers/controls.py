"""Controls that depend on neither network nor class: baselines for every explainer."""

from __future__ import annotations

import torch
import torch.nn.functional as F
from pydantic import PositiveFloat, PositiveInt
from torch import Tensor

from camdbench.core.cost import Cost
from camdbench.core.registries import explainer
from camdbench.explainers.common.trace import Trace


@explainer("random", paper="control", cost=Cost(), control=True, stochastic=True)
def random(trace: Trace, *, cells: PositiveInt | None = None) -> Tensor:
    r"""Random control: uniform noise from (seed, image id), per pixel or on a coarse grid.

    .. math:: S_i \sim \mathrm{U}(0, 1)

    `cells` draws a grid of `cells` x `cells` values, which is up-sampled; default: one value per pixel.

    Returns:
        (B, H, W) or (B, cells, cells) in [0, 1].
    """
    size = trace.size if cells is None else (cells, cells)
    maps = [torch.rand(size, generator=trace.random(index, "random")) for index in range(len(trace.images))]
    return torch.stack(maps).to(trace.images.device)


@explainer("centre", paper="control", cost=Cost(), aliases=("center",), control=True)
def centre(trace: Trace, *, sigma: PositiveFloat = 0.25) -> Tensor:
    r"""Centre control: a Gaussian at the image centre.

    .. math:: \exp(-d^2 / (2 \sigma^2))

    d is the distance to the centre in units of the image's sides.

    Returns:
        (B, H, W) in (0, 1].
    """
    rows, columns = (torch.linspace(-0.5, 0.5, side) if side > 1 else torch.zeros(1) for side in trace.size)
    distance = rows[:, None].square() + columns[None, :].square()
    return torch.exp(-distance / (2 * sigma**2)).to(trace.images.device).expand(len(trace.images), -1, -1)


@explainer("uniform", paper="control", cost=Cost(), normalisation="none", control=True)
def uniform(trace: Trace) -> Tensor:
    """Uniform control: one at every pixel, so AD = AG = AI = 0.

    .. math:: S_i = 1

    The mask leaves the image unchanged.

    Returns:
        (B, H, W) in [0, 1], a finished mask.
    """
    return torch.ones(len(trace.images), *trace.size, device=trace.images.device)


@explainer("edges", paper="control; Adebayo et al. 2018, arXiv:1810.03292, section 5", cost=Cost(), control=True)
def edges(trace: Trace) -> Tensor:
    r"""Edge control: Sobel gradient magnitude of the image's luminance.

    .. math:: \sqrt{G_x^2 + G_y^2}

    Borders are replicated.

    Returns:
        (B, H, W), non-negative.
    """
    weights = trace.images.new_tensor([0.299, 0.587, 0.114])  # luminance, ITU-R BT.601
    grey = torch.einsum("c,bchw->bhw", weights, trace.images).unsqueeze(1)
    across = grey.new_tensor([[1.0, 0.0, -1.0], [2.0, 0.0, -2.0], [1.0, 0.0, -1.0]])
    kernels = torch.stack([across, across.T]).unsqueeze(1)  # (2, 1, 3, 3)
    slopes = F.conv2d(F.pad(grey, (1, 1, 1, 1), mode="replicate"), kernels)
    return slopes.square().sum(1).sqrt()
