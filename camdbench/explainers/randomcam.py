"""Random-CAM: a control that sees the layer but neither the class nor what its channels are worth."""

from __future__ import annotations

import torch
from torch import Tensor

from camdbench.core.catalogue import explainer
from camdbench.explainers.channels import weighted_sum
from camdbench.explainers.trace import Trace


@explainer(
    "randomcam",
    paper="control; pytorch-grad-cam (Gildenblat et al. 2021), RandomCAM",
    cost="1 forward",
    needs=("layer",),
    control=True,
    stochastic=True,
)
def randomcam(trace: Trace, *, layer: str | None = None, relu: bool = True) -> Tensor:
    """Activations weighted by uniform random numbers in [-1, 1], drawn from (seed, image id), and rectified.

    (B, h, w). Another layer has other numbers only where its number of channels is another.
    """
    activations = trace.at(layer).activations
    rows = [torch.rand(activations.shape[1], generator=trace.random(index, "randomcam")) for index in range(len(activations))]
    return weighted_sum(2 * torch.stack(rows).to(activations.device) - 1, activations, relu=relu)
