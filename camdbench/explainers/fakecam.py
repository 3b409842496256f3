"""Fake-CAM, a control that AD and AI rate near perfect."""

from __future__ import annotations

import torch
from torch import Tensor

from camdbench.core.cost import Cost
from camdbench.core.registries import explainer
from camdbench.explainers.common.trace import Trace


@explainer("fakecam", paper="Poppi et al. 2021, arXiv:2104.10252; Opti-CAM, section 3.3", cost=Cost(), normalisation="none", control=True)
def fakecam(trace: Trace) -> Tensor:
    r"""Fake-CAM control: one everywhere except at the top left pixel.

    .. math:: S_i = [i \ne (0, 0)]

    AD and AI rate it near perfect, although it does not depend on image or class.

    Returns:
        (B, H, W) in [0, 1], a finished mask.
    """
    mask = torch.ones(len(trace.images), *trace.size, device=trace.images.device)
    mask[:, 0, 0] = 0
    return mask
