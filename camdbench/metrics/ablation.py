"""Accuracy on images whose object has been taken out (Hard-ImageNet): what a model can do without the core."""

from __future__ import annotations

from typing import Literal, NamedTuple

import torch
from torch import Tensor

from camdbench.core.errors import NotApplicable
from camdbench.core.metric_families import CLASSIFIED
from camdbench.core.registries import metric
from camdbench.functional.ablation import grey_box, grey_object
from camdbench.functional.class_rank import in_top_k
from camdbench.functional.tiling import tile_objects
from camdbench.metrics.common.inputs import MetricInputs
from camdbench.metrics.common.labels import labels_of, mask_undefined
from camdbench.metrics.common.result import MetricResult

ABLATION_ACCURACY_PROTOCOLS = (
    CLASSIFIED.variant("fixed", masking="pixels", ground_truth="fixed", options={"empty": "undefined"}),
    CLASSIFIED.variant(
        "official",
        masking="pixels",
        ground_truth="official",
        options={"empty": "unchanged"},
        paper="Hard-ImageNet's released code, with its errors",
    ),
)
NOT_ABLATED = "the label is unknown, there is no object to take out, or no tile beside it to cover it with"


@metric(
    "ablation_accuracy",
    paper="Moayeri et al. 2022, Hard ImageNet, NeurIPS Datasets and Benchmarks",
    higher_is_better=False,
    unit="%",
    values="{0, 100}",
    tolerance=1.6,
    needs=("masks",),
    scope="model",
    undefined=NOT_ABLATED,
    protocols=ABLATION_ACCURACY_PROTOCOLS,
)
def ablation_accuracy(
    inputs: MetricInputs,
    *,
    ablation: Literal["none", "gray_mask", "gray_bbox", "tile"] = "gray_mask",
    ground_truth: Literal["fixed", "official"] = "fixed",
    empty: Literal["undefined", "unchanged"] = "undefined",
) -> MetricResult:
    r"""Whether the label is still predicted once the object is taken out of the image: 100 or 0.

    .. math:: 100\,[\arg\max_c f_c(x \text{ without the object}) = y]

    (B,). Lower says that the model needs the object, except for `none`, which takes nothing out. `gray_mask` paints the
    object mid-grey before mean and std, `gray_bbox` the one box round all of it, and `tile` fills the box of each
    connected component with the largest tile beside it. `ground_truth="official"` is the released code: its box lacks the
    last row and column, and its tiles come from across the diagonal (see `camdbench.functional.tiling`), on square
    images only. An image with an empty mask is left out, or with `empty="unchanged"` classified as it is.
    """
    labels = labels_of(inputs)
    if ablation == "none":
        return MetricResult(*mask_undefined(100 * in_top_k(inputs.logits, labels.classes), labels.known))
    if inputs.masks is None:
        raise NotApplicable("the metric takes the object out of images, and there is no mask of it")
    images, possible = _ablated(inputs.images, inputs.masks, ablation, official=ground_truth == "official")
    values = 100 * in_top_k(inputs.score(images), labels.classes)
    there = inputs.masks.flatten(1).any(1) if empty == "undefined" else torch.ones_like(labels.known)
    return MetricResult(*mask_undefined(values, labels.known & there & possible))


class _Ablated(NamedTuple):
    images: Tensor
    possible: Tensor


def _ablated(images: Tensor, masks: Tensor, how: str, *, official: bool) -> _Ablated:
    """Images without their objects, and (B,) whether that could be done.

    Raises:
        NotApplicable: the release's tiles on images that are not square.
    """
    if how == "tile":
        if official and images.shape[-1] != images.shape[-2]:
            raise NotApplicable("the released code takes rows for columns, so its tiles exist on square images only; ground_truth='fixed'")
        return _Ablated(*tile_objects(images, masks, official=official))
    grey = grey_object(images, masks) if how == "gray_mask" else grey_box(images, masks, last=not official)
    return _Ablated(grey, torch.ones(len(images), dtype=torch.bool, device=images.device))
