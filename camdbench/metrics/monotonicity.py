"""Monotonicity: whether the score rises with every patch that is added, least relevant first."""

from __future__ import annotations

import torch
from pydantic import PositiveInt

from camdbench.core.difference import Difference
from camdbench.core.metric_families import CONSTANT_MAP, MASKED
from camdbench.core.option_types import Masking, ScoredClass, ScoredObjective
from camdbench.core.registries import metric
from camdbench.functional.pixel_order import count_patches
from camdbench.metrics.common.inputs import MetricInputs
from camdbench.metrics.common.perturbation_curves import PerturbationPath, PixelOrder, path_scores, scored_classes
from camdbench.metrics.common.result import Curve, MetricResult

MONOTONICITY_PROTOCOLS = (MASKED.variant("arya"),)
_ROUNDING = 1e-6  # of the largest score


@metric(
    "monotonicity",
    paper="Arya et al. 2019, arXiv:1909.03012, definition of monotonicity",
    higher_is_better=True,
    unit="%",
    values="[0, 100]",
    undefined=CONSTANT_MAP,
    differs=(
        Difference("Arya et al.", "ask whether no step falls: one truth value", "false for nearly every image and map"),
        Difference("Quantus 0.6", "replaces values of the reference by the reference, and so shows no pixel", "true for every map"),
    ),
    protocols=MONOTONICITY_PROTOCOLS,
)
def monotonicity(
    inputs: MetricInputs,
    *,
    patch: PositiveInt = 16,
    masking: Masking = "pixels",
    scored_class: ScoredClass = "target",
    scored_output: ScoredObjective = "probability",
) -> MetricResult:
    r"""Monotonicity: share of steps without a fall of the class probability as patches are added.

    .. math:: \frac{100}{K} \sum_k [f(x_k) \ge f(x_{k-1})]

    Patches are added from the least to the most relevant. x_0 is blank: black, or of the mean colour with `masking="normalised"`; x_K is
    the image. Each step adds one patch of `patch` x `patch` pixels, in order of the sum of the map over it. A fall below 1e-6 of the
    largest score is rounding. Random orders score about 50 or more, so compare with the control `random`.

    Returns:
        (B,) float64 in [0, 100], per cent; higher is better.
    """
    count = count_patches(inputs.size, patch)
    order = PixelOrder(most_first=False, patch=patch)
    path = PerturbationPath(order, tuple(range(count)), "blank", "image", masking, scored_class, scored_output)
    before, constant = path_scores(inputs, path)
    whole = inputs.output_of(inputs.logits, scored_classes(inputs, scored_class), scored_output)
    scores = torch.cat([before, whole[:, None]], 1)
    rises = scores.diff(dim=1) >= -_ROUNDING * scores.abs().amax(1, keepdim=True)
    values = torch.where(scores.isfinite().all(1) & ~constant, 100 * rises.double().mean(1), torch.nan)
    x = torch.arange(count + 1, dtype=torch.float64) / count
    return MetricResult(values, constant, {"curve": Curve(x, scores)})
