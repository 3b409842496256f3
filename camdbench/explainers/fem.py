"""FEM: feature-based explanation, thresholded at k standard deviations."""

from __future__ import annotations

from typing import Literal

from pydantic import NonNegativeFloat
from torch import Tensor

from camdbench.core.cost import Cost
from camdbench.core.difference import Difference
from camdbench.core.registries import explainer
from camdbench.explainers.common.trace import Trace
from camdbench.explainers.common.weighted_channels import weighted_sum


@explainer(
    "fem",
    paper="Fuad et al. 2020, IPTA, hal-02963298, definition of the k-sigma rule",
    cost=Cost(forward=1),
    needs=("layer",),
    differs=(Difference("pytorch-grad-cam", "weights A_c by the fraction of cells above the threshold (compat=pgc)", "another method"),),
    values="(-inf, inf)",
)
def fem(trace: Trace, *, layer: str | None = None, k: NonNegativeFloat = 2.0, compat: Literal["paper", "pgc"] = "paper") -> Tensor:
    r"""FEM: grid cells where a channel exceeds its mean by k standard deviations, weighted by that mean.

    .. math:: \sum_c \mu_c [A_c \ge \mu_c + k \sigma_c]

    mu and sigma are over the grid cells of one channel (sigma without Bessel's
    correction), as in xplique; constant channels are left out. It does not depend on the class. On a grid of at most five
    cells no value exceeds two standard deviations. `compat="pgc"` is another method of the same name: sum_c f_c A_c,
    rectified, f_c being the fraction of cells with A_c > mu_c + k sigma_c.

    Returns:
        (B, h, w).
    """
    activations = trace.at(layer).activations
    mean = activations.mean((2, 3), keepdim=True)
    limit = mean + k * activations.std((2, 3), correction=0, keepdim=True)
    if compat == "pgc":
        return weighted_sum((activations > limit).to(activations.dtype).mean((2, 3)), activations, relu=True)
    alive = activations.amax((2, 3), keepdim=True) > activations.amin((2, 3), keepdim=True)
    return (mean * ((activations >= limit) & alive)).sum(1)
