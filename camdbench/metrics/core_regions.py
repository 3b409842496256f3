"""Core regions (ContrastiveCAM): contributions of object and background to the model's decision.

On a head of global average pooling and a linear layer the maps of all classes have a closed form, so no explainer is
needed.
"""

from __future__ import annotations

from typing import Literal, NamedTuple

import torch
from pydantic import NonNegativeFloat
from torch import Tensor

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
    "unit": "",
    "values": "[0, inf)",
    "paper": "Improving feature alignment in ConvNets using ContrastiveCAMs (anonymous, under review), table 1",
    "tolerance": 0.05,
    "needs": ("masks", "linear head"),
    "scope": "model",
    "undefined": "the class is unknown, or the mask has no place on the layer's grid",
    "protocols": _PROTOCOLS,
}


@metric("core", higher_is_better=True, aliases=("core_contribution",), **_CONTRIBUTION)
def core(inputs: MetricInputs, *, scored_class: KnownClass = "label", empty: Literal["undefined", "whole"] = "undefined") -> MetricResult:
    r"""Core contribution: absolute differences of the class's CAM from all CAMs, summed over the object.

    .. math:: \sum_{i \in M} \sum_c |\mathrm{CAM}_{t,i} - \mathrm{CAM}_{c,i}|

    `scored_class` is the class t: the label or the explained class. `empty` defines an object that covers no cell of the
    layer's grid: undefined, or the whole image.

    Returns:
        (B,) in [0, inf), logits; higher is better.
    """
    found = _contributions(inputs, scored_class, empty)
    return MetricResult(*mask_undefined(found.core, found.defined))


@metric("noncore", higher_is_better=False, aliases=("noncore_contribution",), **_CONTRIBUTION)
def noncore(
    inputs: MetricInputs, *, scored_class: KnownClass = "label", empty: Literal["undefined", "whole"] = "undefined"
) -> MetricResult:
    r"""Non-core contribution: absolute differences of the class's CAM from all CAMs, outside the object.

    .. math:: \sum_{i \notin M} \sum_c |\mathrm{CAM}_{t,i} - \mathrm{CAM}_{c,i}|

    Options as in `core`.

    Returns:
        (B,) in [0, inf), logits; lower is better.
    """
    found = _contributions(inputs, scored_class, empty)
    return MetricResult(*mask_undefined(found.noncore, found.defined))


CORE_SHARE_PROTOCOLS = (
    CLASS_MAPS.variant("contrastivecam", reduction="ratio of means"),
    CLASS_MAPS.variant("release", reduction="ratio of means", options={"empty": "whole"}, paper=RELEASE),
    CLASS_MAPS.variant("mean_of_ratios"),
)
NO_CONTRIBUTION = "the class is unknown, the mask has no place on the layer's grid, or no class's map differs from the class's own"
_ON_GRID = {"higher_is_better": True, "needs": ("masks", "linear head"), "scope": "model"}


@metric(
    "core_share",
    paper="Improving feature alignment in ConvNets using ContrastiveCAMs (anonymous, under review), table 1 (core/total)",
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
    r"""Core fraction: core contribution relative to core plus non-core contribution.

    .. math:: \mathrm{core} / (\mathrm{core} + \mathrm{noncore})

    The paper reports the ratio of the means, for which the curves `numerator` and `denominator` are stored; the protocol
    `mean_of_ratios` is the other one. Options as in `core`.

    Returns:
        (B,) in [0, 1]; higher is better.
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
    r"""CAM redundancy: norm of the mean HiResCAM over classes, relative to that of the class.

    .. math:: \gamma = \|\tfrac{1}{C} \sum_c \mathrm{CAM}_c\|_F / \|\mathrm{CAM}_t\|_F

    The paper states no direction. Lower counts as better: the softmax ignores what all classes share.

    Returns:
        (B,) in [0, inf); lower is better.
    """
    classes, known = _classes(inputs, scored_class)
    activations, weights = _features(inputs)
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
    r"""ContrastiveCAM IoU: overlap of the object with the thresholded ContrastiveCAM of the class.

    .. math:: 100\,|\{i : \mathrm{CCAM}_{t,i} > \theta\} \cap M| / |\{i : \mathrm{CCAM}_{t,i} > \theta\} \cup M|

    The overlap is taken on the layer's grid. The paper leaves map and threshold open, and its code is not public. `versus`
    contrasts with the mean of all classes (definition 3.4), or with each other class in turn, averaging the overlaps
    (definition 3.3). `maps` are raw or scaled to [0, 1]. 0.01 is the threshold of the released segmentation.

    Returns:
        (B,) float64 in [0, 100], per cent; higher is better.
    """
    classes, known = _classes(inputs, scored_class)
    activations, weights = _features(inputs)
    mask, missing = core_of(inputs.required_masks, (activations.shape[-2], activations.shape[-1]))
    inside, scale = mask > 0, maps == "range"
    if versus == "others":
        values = core_regions.overlap_with_others(activations, weights, classes, inside, threshold, scaled=scale)
    else:
        found = core_regions.reconstructed_map(activations, weights, classes)
        values = core_regions.overlap((normalise(found, "range") if scale else found) > threshold, inside)
    finite = (to_float64(activations).flatten(1).sum(1) + to_float64(weights).sum()).isfinite().to(values.device)
    return MetricResult(*mask_undefined(100 * torch.where(finite, values, torch.nan), known & ~missing))


class _Contributions(NamedTuple):
    core: Tensor
    noncore: Tensor
    defined: Tensor


def _contributions(inputs: MetricInputs, scored_class: str, empty: str) -> _Contributions:
    """Contributions of a batch, cached for all metrics that read them."""

    def make() -> _Contributions:
        classes, known = _classes(inputs, scored_class)
        activations, weights = _features(inputs)
        mask, missing = core_of(inputs.required_masks, (activations.shape[-2], activations.shape[-1]))  # without a place: all of it
        found = core_regions.contributions(activations, weights, classes, mask > 0)
        defined = known & ~missing if empty == "undefined" else known
        return _Contributions(found.core, found.noncore, defined.to(found.core.device))

    return inputs.cached(("core regions", scored_class, empty), make)


def _classes(inputs: MetricInputs, scored_class: str) -> tuple[Tensor, Tensor]:
    """Class of each image, and whether it is known, both (B,)."""
    return labels_of(inputs) if scored_class == "label" else (inputs.targets, torch.ones_like(inputs.targets, dtype=torch.bool))


def _features(inputs: MetricInputs) -> tuple[Tensor, Tensor]:
    """Activations (B, K, h, w) and class weights (C, K)."""
    return to_at_least_float32(inputs.activations, inputs.class_weights)
