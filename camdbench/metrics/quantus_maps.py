"""Complexity and localisation through Quantus, image by image: cross-checks of camdbench's own metrics."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import torch
from pydantic import NonNegativeFloat, PositiveInt
from torch import Tensor

from camdbench.core.metric_families import DECLARED, FLAT_MAP, LOCALISED
from camdbench.core.option_types import MapKind
from camdbench.core.registries import metric
from camdbench.metrics.common.inputs import MetricInputs
from camdbench.metrics.common.quantus_bridge import quantus_scores, result_of
from camdbench.metrics.common.result import MetricResult

_PROTOCOLS = (DECLARED.variant("quantus06"),)
_WITH_MASKS = (LOCALISED.variant("quantus06", ground_truth="mask of the image"),)
_NO_MASK = "the map is constant, or the mask is empty"
_OF_MAP = {"unit": "", "undefined": FLAT_MAP, "protocols": _PROTOCOLS}


@metric(
    "quantus:Sparseness",
    paper="Chalasani et al. 2020, arXiv:1810.06583, definition of the Gini index",
    higher_is_better=True,
    values="[0, 1)",
    tolerance=0.001,
    **_OF_MAP,
)
def sparseness(inputs: MetricInputs, *, maps: MapKind = "default") -> MetricResult:
    r"""Sparseness: Gini index of the map (Quantus).

    .. math:: \frac{\sum_i (2i - n - 1)\,s_{(i)}}{n \sum_i s_i}

    A cross-check of `sparseness(protocol=mask)`.

    Returns:
        (B,) float64 in [0, 1); higher is better.
    """
    return _result(inputs, "Sparseness", maps)


@metric(
    "quantus:Complexity",
    paper="Bhatt et al. 2020, arXiv:2005.00631, definition of complexity",
    higher_is_better=False,
    values="[0, inf)",
    tolerance=0.005,
    **_OF_MAP,
)
def complexity(inputs: MetricInputs, *, maps: MapKind = "default") -> MetricResult:
    r"""Complexity: entropy of the normalised map (Quantus).

    .. math:: -\sum_i q_i \log q_i, \quad q_i = |s_i| / \sum_j |s_j|

    A cross-check of `entropy(protocol=mask)`.

    Returns:
        (B,) float64 in [0, inf), nats; lower is better.
    """
    return _result(inputs, "Complexity", maps)


@metric(
    "quantus:EffectiveComplexity",
    paper="Nguyen & Martinez 2020, arXiv:2007.07584, definition of effective complexity",
    higher_is_better=False,
    values="[0, inf)",
    tolerance=10.0,
    **_OF_MAP,
)
def effective_complexity(inputs: MetricInputs, *, eps: NonNegativeFloat = 1e-5, maps: MapKind = "default") -> MetricResult:
    r"""Effective complexity: number of map values above a threshold (Quantus).

    .. math:: \#\{i : |s_i| > \epsilon\}

    The threshold is `eps` itself: a cross-check of `effective_complexity(protocol=mask)`, whose maximum is 1.

    Returns:
        (B,) float64 in [0, inf); lower is better.
    """
    return _result(inputs, "EffectiveComplexity", maps, {"eps": eps})


ARRAS = "Arras et al. 2022, arXiv:2003.07258, definitions of relevance mass and relevance rank accuracy"
_ON_MASK = {
    "higher_is_better": True,
    "unit": "",
    "values": "[0, 1]",
    "tolerance": 0.001,
    "needs": ("masks",),
    "undefined": _NO_MASK,
    "protocols": _WITH_MASKS,
}


@metric("quantus:RelevanceMassAccuracy", paper=ARRAS, **_ON_MASK)
def relevance_mass_accuracy(inputs: MetricInputs, *, maps: MapKind = "default") -> MetricResult:
    r"""Relevance mass accuracy: fraction of the map's energy inside the mask (Quantus).

    .. math:: \sum_{i \in M} s_i / \sum_i s_i

    A cross-check of `relevance_mass`.

    Returns:
        (B,) float64 in [0, 1] for maps without negative values; higher is better.
    """
    return _mask_result(inputs, "RelevanceMassAccuracy", maps)


@metric("quantus:RelevanceRankAccuracy", paper=ARRAS, **_ON_MASK)
def relevance_rank_accuracy(inputs: MetricInputs, *, maps: MapKind = "default") -> MetricResult:
    r"""Relevance rank accuracy: fraction of the K highest values inside a mask of K pixels (Quantus).

    .. math:: |\text{top-}|M|(s) \cap M| / |M|

    A cross-check of `relevance_rank`, equal values in any order.

    Returns:
        (B,) float64 in [0, 1]; higher is better.
    """
    return _mask_result(inputs, "RelevanceRankAccuracy", maps)


@metric("quantus:TopKIntersection", paper="Theiner et al. 2021, arXiv:2104.14995; Quantus, top_k_intersection.py", **_ON_MASK)
def top_k_intersection(inputs: MetricInputs, *, k: PositiveInt = 1000, maps: MapKind = "default") -> MetricResult:
    r"""Top-k intersection: fraction of the k highest map values inside the mask (Quantus).

    .. math:: |\text{top-}k(s) \cap M| / k

    Returns:
        (B,) float64 in [0, 1]; higher is better.
    """
    return _mask_result(inputs, "TopKIntersection", maps, {"k": k})


NO_BACKGROUND = "the map is constant, or the mask is empty or the whole image"


@metric(
    "quantus:AUC",
    paper="Fawcett 2006, Pattern Recognition Letters 27(8), sec. 7",
    higher_is_better=True,
    unit="",
    values="[0, 1]",
    tolerance=0.001,
    needs=("masks",),
    undefined=NO_BACKGROUND,
    protocols=_WITH_MASKS,
)
def auc(inputs: MetricInputs, *, maps: MapKind = "default") -> MetricResult:
    r"""AUC: area under the ROC curve of the map as a detector of the mask's pixels (Quantus).

    .. math:: \int_0^1 \mathrm{TPR}\,d\,\mathrm{FPR}

    Returns:
        (B,) float64 in [0, 1], 0.5 for chance; higher is better.
    """
    return _mask_result(inputs, "AUC", maps)


@metric(
    "quantus:PointingGame",
    paper="Zhang et al. 2018, arXiv:1608.00507, section on the pointing game",
    higher_is_better=True,
    unit="",
    values="{0, 1}",
    tolerance=0.016,
    needs=("masks",),
    undefined=_NO_MASK,
    protocols=_WITH_MASKS,
)
def pointing_game(inputs: MetricInputs, *, maps: MapKind = "default") -> MetricResult:
    r"""Pointing game: whether a maximum of the map lies inside the mask (Quantus).

    .. math:: [\arg\max_i s_i \in M]

    One of several equal maxima is enough. A cross-check of `pointing`.

    Returns:
        (B,) float64, 0 or 1; higher is better.
    """
    return _mask_result(inputs, "PointingGame", maps)


@metric(
    "quantus:AttributionLocalisation", paper="Kohlbrenner et al. 2020, arXiv:1910.09840, definition of attribution localisation", **_ON_MASK
)
def attribution_localisation(inputs: MetricInputs, *, maps: MapKind = "default") -> MetricResult:
    r"""Attribution localisation: fraction of the absolute map inside the mask (Quantus).

    .. math:: \sum_{i \in M} |s_i| / \sum_i |s_i|

    Without Quantus' weighting by mask size, which divides by the wrong axis.

    Returns:
        (B,) float64 in [0, 1]; higher is better.
    """
    return _mask_result(inputs, "AttributionLocalisation", maps, {"abs": True})


def _result(inputs: MetricInputs, name: str, maps: str, options: Mapping[str, Any] | None = None) -> MetricResult:
    return result_of(quantus_scores(inputs, name, maps, {"abs": True, **(options or {})}), inputs.images)  # they weigh sizes, not signs


def _mask_result(inputs: MetricInputs, name: str, maps: str, options: Mapping[str, Any] | None = None) -> MetricResult:
    found = result_of(quantus_scores(inputs, name, maps, options or {}, segments=inputs.required_masks), inputs.images)
    values = found.values.masked_fill(_undefined_masks(inputs.required_masks, name).to(found.values.device), torch.nan)
    return MetricResult(values, undefined=values.isnan())


def _undefined_masks(masks: Tensor, name: str) -> Tensor:
    """Masks on which the metric is undefined, (B,) bool: Quantus counts an empty mask as a hit."""
    flat = masks.flatten(1)
    return ~flat.any(1) | (flat.all(1) if name == "AUC" else False)
