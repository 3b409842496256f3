"""Random-CAM: a control with random channel weights."""

from __future__ import annotations

import torch
from torch import Tensor

from camdbench.core.cost import Cost
from camdbench.core.registries import explainer
from camdbench.explainers.common.trace import Trace
from camdbench.explainers.common.weighted_channels import weighted_sum


@explainer(
    "randomcam",
    paper="control; pytorch-grad-cam (Gildenblat et al. 2021), random_cam.py",
    cost=Cost(forward=1),
    needs=("layer",),
    control=True,
    stochastic=True,
)
def randomcam(trace: Trace, *, layer: str | None = None, relu: bool = True) -> Tensor:
    r"""Random-CAM control: activations weighted by uniform random numbers in [-1, 1], rectified.

    .. math:: \mathrm{ReLU}(\sum_k w_k A_k), \quad w_k \sim U(-1, 1)

    w is drawn from (seed, image id). Layers with equal numbers of channels have equal weights.

    Returns:
        (B, h, w), non-negative unless `relu=False`.
    """
    activations = trace.at(layer).activations
    rows = [torch.rand(activations.shape[1], generator=trace.random(index, "randomcam")) for index in range(len(activations))]
    return weighted_sum(2 * torch.stack(rows).to(activations.device) - 1, activations, relu=relu)
