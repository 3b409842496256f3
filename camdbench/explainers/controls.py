"""Controls that look neither at the network nor at the class: what any explainer must beat."""

from __future__ import annotations

import torch
from pydantic import PositiveFloat, PositiveInt
from torch import Tensor

from camdbench.core.catalogue import explainer
from camdbench.core.errors import NotApplicable
from camdbench.explainers.trace import Trace


@explainer("random", paper="control", cost="none", control=True, seeded=True)
def random(trace: Trace, *, cells: PositiveInt | None = None) -> Tensor:
    """Uniform noise from (seed, image id), one draw a pixel, or on a grid of `cells` x `cells` that is up-sampled.

    (B, H, W) or (B, cells, cells).
    """
    size = trace.size if cells is None else (cells, cells)
    maps = [torch.rand(size, generator=trace.random(index, "random")) for index in range(len(trace.images))]
    return torch.stack(maps).to(trace.images.device)


@explainer("centre", paper="control", cost="none", control=True)
def centre(trace: Trace, *, sigma: PositiveFloat = 0.25) -> Tensor:
    """A Gaussian at the centre of the image, its standard deviation `sigma` times the image's side.

    (B, H, W).
    """
    rows, columns = (torch.linspace(-0.5, 0.5, side) if side > 1 else torch.zeros(1) for side in trace.size)
    distance = rows[:, None].square() + columns[None, :].square()
    return torch.exp(-distance / (2 * sigma**2)).to(trace.images.device).expand(len(trace.images), -1, -1)


@explainer("gtbox", paper="control; Opti-CAM, Table 5", cost="none", needs=("boxes",), normalisation="none", control=True)
def gtbox(trace: Trace) -> Tensor:
    """One inside the union of the ground-truth boxes, zero outside.

    (B, H, W), already a mask. A pixel is inside where its centre is.
    """
    if trace.batch.boxes is None:
        raise NotApplicable("gtbox needs ground-truth boxes, which these images do not have")
    device = trace.images.device
    y, x = (torch.arange(side, device=device) + 0.5 for side in trace.size)
    masks = list[Tensor]()
    for boxes in trace.batch.boxes:
        x0, y0, x1, y1 = (edge[:, None, None] for edge in boxes.to(device).unbind(1))  # each (N, 1, 1)
        inside = (x0 <= x) & (x < x1) & (y0 <= y[:, None]) & (y[:, None] < y1)  # (N, H, W)
        masks.append(inside.any(0).float())
    return torch.stack(masks)
