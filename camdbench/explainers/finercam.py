"""Finer-CAM: Grad-CAM of the class against its most similar classes."""

from __future__ import annotations

from typing import Literal

import torch
from pydantic import NonNegativeFloat, PositiveInt
from torch import Tensor

from camdbench.core.cost import Cost
from camdbench.core.difference import Difference
from camdbench.core.registries import explainer
from camdbench.explainers.common.trace import Trace
from camdbench.explainers.common.weighted_channels import weighted_sum


@explainer(
    "finercam",
    paper="Zhang et al. 2025, arXiv:2501.11309, definition of the logit difference",
    cost=Cost(forward=1, tail_backward=1, note="no backward pass on a linear head"),
    needs=("layer", "gradients"),
    differs=(
        Difference("pytorch-grad-cam", "weights the other classes by their probability and has gamma 1 (compat=pgc)", "another objective"),
    ),
    objective="logit",
)
def finercam(
    trace: Trace,
    *,
    layer: str | None = None,
    gamma: NonNegativeFloat | None = None,
    classes: PositiveInt = 3,
    relu: bool = True,
    compat: Literal["paper", "pgc"] = "paper",
) -> Tensor:
    r"""Finer-CAM: Grad-CAM of the class logit minus a fraction of the logits of the most similar classes.

    .. math:: \mathrm{GradCAM}(y_c - \gamma\,\mathrm{mean}_d\,y_d)

    d are the `classes` classes whose logits are nearest to y_c on either side, or all others if there are fewer. Default of
    `gamma`: 0.6. `compat="pgc"` explains the mean of y_c - gamma y_d weighted by the softmax probabilities of the d,
    differentiates through these weights too, and has gamma 1 as its default.

    Returns:
        (B, h, w), non-negative unless `relu=False`.
    """
    seen = trace.at(layer)
    strength = gamma if gamma is not None else (1.0 if compat == "pgc" else 0.6)
    direction = _direction(seen.logits, seen.targets, strength, classes, weighted=compat == "pgc")
    weights = seen.gradients_of(direction).mean((2, 3))
    return weighted_sum(weights, seen.activations, relu=relu)


def _direction(logits: Tensor, targets: Tensor, gamma: float, classes: int, *, weighted: bool) -> Tensor:
    """The gradient of the objective by the logits (B, C)."""
    with torch.enable_grad():
        leaf = logits.clone().requires_grad_()
        own = leaf.gather(1, targets[:, None])  # (B, 1)
        distance = (logits - own.detach()).abs().scatter(1, targets[:, None], torch.inf)
        near = distance.argsort(dim=1, stable=True)[:, : min(classes, logits.shape[1] - 1)]
        difference = own - gamma * leaf.gather(1, near)  # (B, classes)
        shares = leaf.softmax(1).gather(1, near) if weighted else torch.ones_like(difference)
        objective = (shares * difference).sum(1) / shares.sum(1).clamp_min(torch.finfo(logits.dtype).tiny)
        return torch.autograd.grad(objective.sum(), leaf)[0]
