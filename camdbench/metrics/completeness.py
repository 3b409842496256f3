"""Completeness: whether the values of a map sum to the score difference that its explainer claims."""

from __future__ import annotations

from torch import Tensor

from camdbench.core.difference import Difference
from camdbench.core.errors import NotApplicable
from camdbench.core.option_types import Masking
from camdbench.core.protocols import Protocol
from camdbench.core.registries import metric
from camdbench.functional.float_precision import to_float64
from camdbench.metrics.common.inputs import MetricInputs
from camdbench.metrics.common.perturbation_curves import version_logits

SUNDARARAJAN = (Protocol("sundararajan", scored_class="target", scored_output="objective", maps="raw"),)
_LEAST = 1e-6  # difference of scores that the error is divided by


@metric(
    "completeness",
    paper="Sundararajan et al. 2017, arXiv:1703.01365, section 3, proposition 1",
    higher_is_better=False,
    unit="",
    values="[0, inf)",
    tolerance=0.005,
    aliases=("summation_to_delta",),
    differs=(Difference("Quantus 0.6", "asks whether both floats are equal, with another reference", "false for every image"),),
    protocols=SUNDARARAJAN,
)
def completeness(inputs: MetricInputs) -> Tensor:
    r"""Completeness error: relative difference of the map's sum from the score difference to a reference.

    .. math:: |\sum_u R_u - (f(x) - f(x'))| / \max(|f(x) - f(x')|, 10^{-6})

    R is the raw map on the explainer's own grid, f the score that it explains (`--objective`; default: the logit), x' the reference image
    of its options, such as `baseline`. Scored are explainers that claim it: `integratedgradients`, `deeplift`, `gradientshap` with a
    fixed baseline and no noise, and Captum's, all with channels="sum". KernelSHAP repeats the value of a segment on each pixel, so its
    map does not sum to the difference.

    Returns:
        (B,) float64 in [0, inf); lower is better.

    Raises:
        NotApplicable: the explainer makes no such claim with its options, or the raw map is unknown.
    """
    if inputs.reference is None:
        raise NotApplicable("the explainer does not claim that its map sums to a difference of scores")
    if inputs.raw is None:
        raise NotApplicable("the raw map is unknown")
    gained = _score(inputs, inputs.logits)
    if inputs.reference != "zero":
        masking: Masking = "normalised" if inputs.reference == "mean" else "pixels"
        gained = gained - _score(inputs, version_logits(inputs, "blank", masking))
    total = to_float64(inputs.raw).flatten(1).sum(1).cpu()
    return (total - gained).abs() / gained.abs().clamp_min(_LEAST)


def _score(inputs: MetricInputs, logits: Tensor) -> Tensor:
    """The explained score (B,) float64 of logits (B, C)."""
    return inputs.output_of(logits, inputs.targets, "objective")
