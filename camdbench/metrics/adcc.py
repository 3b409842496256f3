"""ADCC (Poppi et al. 2021): coherency, complexity, and their harmonic mean with average drop."""

from __future__ import annotations

from typing import Literal

import torch
from torch import Tensor

from camdbench.core.metric_families import DECLARED, MEAN_MASKED, ZERO_MAP
from camdbench.core.option_types import Masking, ScoredClass
from camdbench.core.registries import metric
from camdbench.functional.coherency import coherency as alike
from camdbench.functional.coherency import harmonic_mean
from camdbench.functional.float_precision import to_float64
from camdbench.functional.probability import drop, log_odds
from camdbench.metrics.common.inputs import MetricInputs, SaliencyMaps
from camdbench.metrics.common.perturbation_curves import scored_classes
from camdbench.metrics.common.result import MetricResult
from camdbench.metrics.confidence import masked_images

PAPER = "Poppi et al. 2021, arXiv:2104.10252, definitions of coherency, complexity and ADCC"
RELEASE = "Poppi et al. 2021, arXiv:2104.10252, released code"
POPPI = MEAN_MASKED.variant("poppi")
ADCC = MEAN_MASKED.variant("adcc", scored_class="predicted", paper=RELEASE)
COHERENCY_PROTOCOLS = (POPPI, MEAN_MASKED.variant("adcc", scored_class="predicted", options={"constant": "zero"}, paper=RELEASE))
NO_CORRELATION = "one of the two maps is constant and correlates with nothing"


@metric(
    "coherency",
    paper=PAPER,
    higher_is_better=True,
    unit="%",
    values="[0, 100]",
    needs=("explainer",),
    explains=1,
    undefined=NO_CORRELATION,
    protocols=COHERENCY_PROTOCOLS,
)
def coherency(
    inputs: MetricInputs,
    *,
    constant: Literal["undefined", "zero"] = "undefined",
    masking: Masking = "normalised",
    scored_class: ScoredClass = "target",
) -> MetricResult:
    r"""Coherency: Pearson correlation r of the map with the map of the masked image, 50 (r + 1).

    .. math:: 50\,(r(E(x), E(x \odot s)) + 1)

    The second map explains the masked image for the same class, `scored_class`. Pixels are masked in normalised space as in
    the released code, or in [0, 1] with `masking="pixels"`. The correlation with a constant map is undefined;
    `constant="zero"` counts it as 0, as the released code does.

    Returns:
        (B,) in [0, 100]; higher is better.
    """
    values = 100 * alike(inputs.saliency, masked_explanations(inputs, masking, scored_class).maps)
    if constant == "zero":
        return MetricResult(values.nan_to_num(0))
    return MetricResult(values, values.isnan())


COMPLEXITY_PROTOCOLS = (DECLARED.variant("poppi"),)


@metric("complexity", paper=PAPER, higher_is_better=False, unit="%", values="(0, 100]", undefined=ZERO_MAP, protocols=COMPLEXITY_PROTOCOLS)
def complexity(inputs: MetricInputs) -> MetricResult:
    r"""Complexity (ADCC): mean of the map, the fraction of the image that it covers.

    .. math:: 100\,\frac{1}{HW} \sum_i s_i

    Returns:
        (B,) float64 in (0, 100], per cent; lower is better. Undefined for a map of zeros.
    """
    share = covered_share(inputs)
    return MetricResult(torch.where(share > 0, 100 * share, torch.nan), share == 0)


@metric(
    "adcc",
    paper=PAPER,
    higher_is_better=True,
    unit="%",
    values="[0, 100]",
    aliases=("average_drop_coherency_complexity",),
    needs=("explainer",),
    explains=1,
    protocols=(POPPI, ADCC),
)
def adcc(inputs: MetricInputs, *, masking: Masking = "normalised", scored_class: ScoredClass = "target") -> Tensor:
    r"""ADCC: harmonic mean of coherency, 1 - complexity and 1 - average drop.

    .. math:: 300 / (1 / \mathrm{coherency} + 1 / (1 - \mathrm{complexity}) + 1 / (1 - \mathrm{drop}))

    It is 0 if one of the three is, so maps of ones and maps of zeros score 0. A constant map has coherency 0, as in the
    released code. The drop is that of `scored_class`, by the pass that explains the masked image. Table 4 of Opti-CAM marks lower
    values as better; by construction higher values are.

    Returns:
        (B,) float64 in [0, 100]; higher is better.
    """
    explained = masked_explanations(inputs, masking, scored_class)
    after: Tensor | None = getattr(explained, "logits", None)  # own explainers' maps may be without
    if after is None:
        after = inputs.cached(("masked logits", masking, 1.0), lambda: inputs.score(masked_images(inputs, masking)))
    lost = drop(*(log_odds(logits, scored_classes(inputs, scored_class)) for logits in (inputs.logits, after)))
    together = harmonic_mean(alike(inputs.saliency, explained.maps).nan_to_num(0), 1 - covered_share(inputs), 1 - lost)
    return torch.where(lost.isnan(), torch.nan, 100 * together)


def masked_explanations(inputs: MetricInputs, masking: Masking, scored_class: ScoredClass) -> SaliencyMaps:
    """Maps of the masked images, explained for their class."""

    def explain() -> SaliencyMaps:
        return inputs.explain(masked_images(inputs, masking), targets=scored_classes(inputs, scored_class))

    return inputs.cached(("maps of the masked images", masking, scored_class), explain)


def covered_share(inputs: MetricInputs) -> Tensor:
    """Mean of the map, (B,) float64 in [0, 1] on the CPU."""
    return to_float64(inputs.saliency).mean((1, 2)).cpu()
