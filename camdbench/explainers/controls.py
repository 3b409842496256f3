"""Controls that look neither at the network nor at the class: what any explainer must beat."""

from __future__ import annotations

import torch
import torch.nn.functional as F
from pydantic import PositiveFloat, PositiveInt
from torch import Tensor

from camdbench.core.catalogue import explainer
from camdbench.explainers.trace import Trace


@explainer("random", paper="control", cost="none", control=True, stochastic=True)
def random(trace: Trace, *, cells: PositiveInt | None = None) -> Tensor:
    """Uniform noise from (seed, image id), one draw a pixel, or on a grid of `cells` x `cells` that is up-sampled.

    (B, H, W) or (B, cells, cells).
    """
    size = trace.size if cells is None else (cells, cells)
    maps = [torch.rand(size, generator=trace.random(index, "random")) for index in range(len(trace.images))]
    return torch.stack(maps).to(trace.images.device)


@explainer("centre", paper="control", cost="none", aliases=("center",), control=True)
def centre(trace: Trace, *, sigma: PositiveFloat = 0.25) -> Tensor:
    """A Gaussian at the centre of the image, its standard deviation `sigma` times the image's side.

    (B, H, W).
    """
    rows, columns = (torch.linspace(-0.5, 0.5, side) if side > 1 else torch.zeros(1) for side in trace.size)
    distance = rows[:, None].square() + columns[None, :].square()
    return torch.exp(-distance / (2 * sigma**2)).to(trace.images.device).expand(len(trace.images), -1, -1)


@explainer("uniform", paper="control", cost="none", normalisation="none", control=True)
def uniform(trace: Trace) -> Tensor:
    """One everywhere: the image as it is, which scores AD = AG = AI = 0.

    (B, H, W), already a mask.
    """
    return torch.ones(len(trace.images), *trace.size, device=trace.images.device)


@explainer("edges", paper="control; Adebayo et al. 2018, arXiv:1810.03292, section 5", cost="none", control=True)
def edges(trace: Trace) -> Tensor:
    """Strength of the edges of the image: the gradient of its luminance by Sobel's filter.

    (B, H, W). Borders are repeated, so that the frame of the image is no edge.
    """
    weights = torch.tensor([0.299, 0.587, 0.114], device=trace.images.device)  # luminance, ITU-R BT.601
    grey = torch.einsum("c,bchw->bhw", weights, trace.images).unsqueeze(1)
    across = torch.tensor([[1.0, 0.0, -1.0], [2.0, 0.0, -2.0], [1.0, 0.0, -1.0]], device=grey.device)
    kernels = torch.stack([across, across.T]).unsqueeze(1)  # (2, 1, 3, 3)
    slopes = F.conv2d(F.pad(grey, (1, 1, 1, 1), mode="replicate"), kernels)
    return slopes.square().sum(1).sqrt()
