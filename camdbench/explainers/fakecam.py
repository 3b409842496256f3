"""Fake-CAM, the control that shows what AD and AI do not measure."""

from __future__ import annotations

import torch
from torch import Tensor

from camdbench.core.catalogue import explainer
from camdbench.core.cost import Cost
from camdbench.explainers.trace import Trace


@explainer("fakecam", paper="Poppi et al. 2021, arXiv:2104.10252; Opti-CAM, section 3.3", cost=Cost(), normalisation="none", control=True)
def fakecam(trace: Trace) -> Tensor:
    """One everywhere but at the top left pixel, whatever the image and the class.

    (B, H, W), already a mask.
    """
    mask = torch.ones(len(trace.images), *trace.size, device=trace.images.device)
    mask[:, 0, 0] = 0
    return mask
