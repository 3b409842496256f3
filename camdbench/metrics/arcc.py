"""ARCC (Domeniconi et al. 2026): harmonic mean of coherency, 1 - complexity and ROAD."""

from __future__ import annotations

import torch
from pydantic import NonNegativeFloat, PositiveInt

from camdbench.core.difference import Difference
from camdbench.core.metric_families import CONSTANT_MAP, MEAN_MASKED
from camdbench.core.option_types import Masking, Readout, ScoredClass
from camdbench.core.registries import metric
from camdbench.functional.coherency import coherency as alike
from camdbench.functional.coherency import harmonic_mean
from camdbench.metrics.adcc import covered_share, masked_explanations
from camdbench.metrics.common.imputation_curves import Imputation, imputed_scores
from camdbench.metrics.common.inputs import MetricInputs
from camdbench.metrics.common.result import MetricResult

ARCC_PROTOCOLS = (
    MEAN_MASKED.variant("domeniconi"),
    MEAN_MASKED.variant("accuracy", scored_output="accuracy", paper="with ROAD read as Rong et al. 2022 do"),
    MEAN_MASKED.variant("gradcam", options={"jitter": 0.0}, paper="pytorch-grad-cam 1.5, ARCC"),
)
DIFFERS = (
    Difference(
        "pytorch-grad-cam", "its docstring says geometric mean, its code takes the harmonic one", "the harmonic mean is the definition here"
    ),
    Difference(
        "pytorch-grad-cam",
        "takes a percentile of the map as threshold of ROAD",
        "a map of many zeros loses its whole image; here ties are broken",
    ),
    Difference(
        "pytorch-grad-cam", "adds 1e-8 to the three terms and to the denominator of the correlation", "a negative ROAD gives 3e-6 %, here 0"
    ),
    Difference(
        "pytorch-grad-cam",
        "scores the target that it is given, logits by default",
        "ROAD of logits is cut at 1; here probabilities are scored",
    ),
)


@metric(
    "arcc",
    paper="Domeniconi et al. 2026, arXiv:2605.14641, definition of ARCC",
    higher_is_better=True,
    unit="%",
    values="[0, 100]",
    aliases=("average_road_coherency_complexity",),
    tolerance=0.5,
    needs=("explainer",),
    explains=1,
    undefined=CONSTANT_MAP,
    protocols=ARCC_PROTOCOLS,
    differs=DIFFERS,
)
def arcc(
    inputs: MetricInputs,
    *,
    percentages: tuple[PositiveInt, ...] = (20, 40, 60, 80),
    noise: NonNegativeFloat = 0.01,
    jitter: NonNegativeFloat = 1e-4,
    masking: Masking = "normalised",
    scored_class: ScoredClass = "target",
    scored_output: Readout = "probability",
) -> MetricResult:
    r"""ARCC: harmonic mean of coherency, 1 - complexity and ROAD.

    .. math:: 300 / (1 / \mathrm{coherency} + 1 / (1 - \mathrm{complexity}) + 1 / r), \quad
        r = \min(1, \max(0, 2\,\mathrm{ROAD}))

    It is ADCC with ROAD instead of average drop. Coherency and complexity in [0, 1] are those of `coherency` and `complexity`, ROAD in
    [-0.5, 0.5] that of `road` with the same options. ARCC is 0 if one of the three is: all maps whose ROAD is negative score 0, so
    ARCC does not say which of them is worse.

    Returns:
        (B,) float64 in [0, 100]; higher is better.

    Raises:
        UsageError: a percentage is not below 100.
    """
    how = Imputation(percentages, noise, jitter, masking, scored_class, scored_output)
    morf, lerf = (imputed_scores(inputs, how, most_first=first) for first in (True, False))
    lead = (lerf.scores - morf.scores).mean(1).clamp(0, 1)
    coherent = alike(inputs.saliency, masked_explanations(inputs, masking, scored_class).maps).nan_to_num(0)
    together = 100 * harmonic_mean(coherent, 1 - covered_share(inputs), lead)
    return MetricResult(torch.where(morf.constant | lead.isnan(), torch.nan, together), morf.constant)
