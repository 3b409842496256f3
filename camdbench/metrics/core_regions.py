"""Core regions: how much of what a model decides by lies on the object (ContrastiveCAM).

All of it follows from the model alone: on a head of global average pooling and a linear layer the maps of all classes are
known in closed form, and no explainer is asked.
"""

from __future__ import annotations

from typing import Literal, NamedTuple

import torch
from pydantic import NonNegativeFloat
from torch import Tensor

from camdbench.core.errors import NotApplicable
from camdbench.core.metric_families import CLASS_MAPS, CLASSIFIED
from camdbench.core.option_types import KnownClass
from camdbench.core.registries import metric
from camdbench.functional import core_regions
from camdbench.functional.core_focused_loss import core_of
from camdbench.functional.float_precision import to_at_least_float32, to_float64
from camdbench.functional.normalise import normalise
from camdbench.metrics.common.inputs import MetricInputs
from camdbench.metrics.common.labels import labels_of, mask_undefined
from camdbench.metrics.common.result import Curve, MetricResult

RELEASE = "ContrastiveCAM's released code, where an empty mask is the whole image"
_PROTOCOLS = (CLASS_MAPS.variant("contrastivecam"), CLASS_MAPS.variant("release", options={"empty": "whole"}, paper=RELEASE))


_CONTRIBUTION = {
    "paper": "Improving feature alignment in ConvNets using ContrastiveCAMs (anonymous, under review), table 1",
    "tolerance": 0.05,
    "needs": ("masks", "linear head"),
    "scope": "model",
    "undefined": "the class is unknown, or the mask has no place on the layer's grid",
    "protocols": _PROTOCOLS,
}


@metric("core", higher_is_better=True, unit="", values="[0, inf)", aliases=("core_contribution",), **_CONTRIBUTION)
def core(inputs: MetricInputs, *, scored_class: KnownClass = "label", empty: Literal["undefined", "whole"] = "undefined") -> MetricResult:
    r"""Contribution of the object: sum over its places and all classes c of |CAM_t - CAM_c|.

    .. math:: \sum_{i \in M} \sum_c |\mathrm{CAM}_{t,i} - \mathrm{CAM}_{c,i}|

    (B,) >= 0, in logits. `scored_class` is the class t: the label, or the explained one. `empty` says what an object is that
    covers no place of the layer's grid: undefined, or the whole image.
    """
    found = _contributions(inputs, scored_class, empty)
    return MetricResult(*mask_undefined(found.core, found.defined))


@metric("noncore", higher_is_better=False, unit="", values="[0, inf)", aliases=("noncore_contribution",), **_CONTRIBUTION)
def noncore(
    inputs: MetricInputs, *, scored_class: KnownClass = "label", empty: Literal["undefined", "whole"] = "undefined"
) -> MetricResult:
    r"""Contribution of everything but the object: sum over the other places and all classes c of |CAM_t - CAM_c|.

    .. math:: \sum_{i \notin M} \sum_c |\mathrm{CAM}_{t,i} - \mathrm{CAM}_{c,i}|

    (B,) >= 0, in logits. Options as of `core`.
    """
    found = _contributions(inputs, scored_class, empty)
    return MetricResult(*mask_undefined(found.noncore, found.defined))


CORE_SHARE_PROTOCOLS = (
    CLASS_MAPS.variant("contrastivecam", reduction="ratio of means"),
    CLASS_MAPS.variant("release", reduction="ratio of means", options={"empty": "whole"}, paper=RELEASE),
    CLASS_MAPS.variant("mean_of_ratios"),
)
NO_CONTRIBUTION = "the class is unknown, the mask has no place on the layer's grid, or no class's map differs from the class's own"
_ON_GRID = {"needs": ("masks", "linear head"), "scope": "model"}


@metric(
    "core_share",
    paper="Improving feature alignment in ConvNets using ContrastiveCAMs (anonymous, under review), table 1 (core/total)",
    higher_is_better=True,
    unit="",
    values="[0, 1]",
    aliases=("core_fraction",),
    tolerance=0.001,
    undefined=NO_CONTRIBUTION,
    protocols=CORE_SHARE_PROTOCOLS,
    **_ON_GRID,
)
def core_share(
    inputs: MetricInputs, *, scored_class: KnownClass = "label", empty: Literal["undefined", "whole"] = "undefined"
) -> MetricResult:
    r"""Share of the object in all contributions, core / (core + noncore).

    .. math:: \mathrm{core} / (\mathrm{core} + \mathrm{noncore})

    (B,) in [0, 1], each image's own share. The paper's number is the ratio of the means, for which the points
    `numerator` and `denominator` are kept; the mean of the ratios is another one. Options as of `core`.
    """
    found = _contributions(inputs, scored_class, empty)
    total = found.core + found.noncore
    values, undefined = mask_undefined(found.core / total, found.defined & (total != 0))
    place = torch.zeros(1)
    points = {"numerator": Curve(place, found.core[:, None]), "denominator": Curve(place, total[:, None])}
    return MetricResult(values, undefined, points)


REDUNDANCY_PROTOCOLS = (CLASSIFIED.variant("contrastivecam", maps="raw"),)
ZERO_CAM = "the class is unknown, or its HiResCAM is zero everywhere"


@metric(
    "redundancy",
    paper="Improving feature alignment in ConvNets using ContrastiveCAMs (anonymous, under review), definition 3.4 and table 1 (gamma)",
    higher_is_better=False,
    unit="",
    values="[0, inf)",
    aliases=("cam_redundancy",),
    tolerance=0.001,
    needs=("linear head",),
    scope="model",
    undefined=ZERO_CAM,
    protocols=REDUNDANCY_PROTOCOLS,
)
def redundancy(inputs: MetricInputs, *, scored_class: KnownClass = "label") -> MetricResult:
    r"""How much of a class's HiResCAM all classes share: gamma = ||1/C sum_c CAM_c|| / ||CAM_t||, Frobenius norms.

    .. math:: \gamma = \|\tfrac{1}{C} \sum_c \mathrm{CAM}_c\|_F / \|\mathrm{CAM}_t\|_F

    (B,) >= 0. The paper states no direction; little is taken for better, as the HiResCAM then shows what the softmax sees.
    """
    classes, known = _classes(inputs, scored_class)
    activations, weights = _seen(inputs)
    values = core_regions.redundancy(activations, weights, classes)
    empty = values.isnan() & activations.isfinite().flatten(1).all(1).to(values.device) & weights.isfinite().all().to(values.device)
    return MetricResult(*mask_undefined(values, known.to(values.device) & ~empty))


CONTRASTIVE_IOU_PROTOCOLS = (
    CLASS_MAPS.variant("reconstructed"),
    CLASS_MAPS.variant("pairwise", options={"versus": "others"}),
    CLASS_MAPS.variant(
        "half", maps="range", options={"threshold": 0.5}, paper="the threshold of Moayeri et al. 2022 for Grad-CAM, on the grid"
    ),
)
NO_PLACE = "the class is unknown, or the mask has no place on the layer's grid"


@metric(
    "contrastive_iou",
    paper="Improving feature alignment in ConvNets using ContrastiveCAMs (anonymous, under review), table 2 (ContrastiveCAM IoU)",
    higher_is_better=True,
    unit="%",
    values="[0, 100]",
    undefined=NO_PLACE,
    protocols=CONTRASTIVE_IOU_PROTOCOLS,
    **_ON_GRID,
)
def contrastive_iou(
    inputs: MetricInputs,
    *,
    scored_class: KnownClass = "label",
    versus: Literal["mean", "others"] = "mean",
    maps: Literal["raw", "range"] = "raw",
    threshold: NonNegativeFloat = 0.01,
) -> MetricResult:
    r"""Overlap of the object with the places where the class's ContrastiveCAM exceeds a threshold.

    .. math:: 100\,|\{i : \mathrm{CCAM}_{t,i} > \theta\} \cap M| / |\{i : \mathrm{CCAM}_{t,i} > \theta\} \cup M|

    (B,) in [0, 100], intersection over union on the layer's grid. The paper does not say which map is meant nor where it
    is cut, and the code is not public: `versus` is the mean of all classes (definition 3.4) or each of the others in turn
    (definition 3.3), whose overlaps are then averaged; `maps` are taken raw or first brought to [0, 1]; 0.01 is the
    threshold of the released segmentation.
    """
    classes, known = _classes(inputs, scored_class)
    activations, weights = _seen(inputs)
    mask, missing = core_of(_masks(inputs), (activations.shape[-2], activations.shape[-1]))
    inside, scale = mask > 0, maps == "range"
    if versus == "others":
        values = core_regions.overlap_with_others(activations, weights, classes, inside, threshold, scaled=scale)
    else:
        found = core_regions.reconstructed(activations, weights, classes)
        values = core_regions.overlap((normalise(found, "range") if scale else found) > threshold, inside)
    finite = (to_float64(activations).flatten(1).sum(1) + to_float64(weights).sum()).isfinite().to(values.device)
    return MetricResult(*mask_undefined(100 * torch.where(finite, values, torch.nan), known & ~missing))


class _Contributions(NamedTuple):
    core: Tensor
    noncore: Tensor
    defined: Tensor


def _contributions(inputs: MetricInputs, scored_class: str, empty: str) -> _Contributions:
    """The contributions of a batch, worked out once for all metrics that read them."""

    def make() -> _Contributions:
        classes, known = _classes(inputs, scored_class)
        activations, weights = _seen(inputs)
        mask, missing = core_of(_masks(inputs), (activations.shape[-2], activations.shape[-1]))  # without a place: all of it
        found = core_regions.contributions(activations, weights, classes, mask > 0)
        defined = known & ~missing if empty == "undefined" else known
        return _Contributions(found.core, found.noncore, defined.to(found.core.device))

    return inputs.cached(("core regions", scored_class, empty), make)


def _classes(inputs: MetricInputs, scored_class: str) -> tuple[Tensor, Tensor]:
    """The class of each image and whether it is known, both (B,)."""
    return labels_of(inputs) if scored_class == "label" else (inputs.targets, torch.ones_like(inputs.targets, dtype=torch.bool))


def _seen(inputs: MetricInputs) -> tuple[Tensor, Tensor]:
    """Activations (B, K, h, w) and class weights (C, K)."""
    return to_at_least_float32(inputs.activations, inputs.class_weights)


def _masks(inputs: MetricInputs) -> Tensor:
    if inputs.masks is None:
        raise NotApplicable("the metric looks at the object's mask, and there is none")
    return inputs.masks
