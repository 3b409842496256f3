"""Accuracy on images whose object is removed (Hard ImageNet): what a model predicts without the core region."""

from __future__ import annotations

from typing import Literal, NamedTuple

import torch
from torch import Tensor

from camdbench.core.difference import Difference
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
    paper="Moayeri et al. 2022, Hard ImageNet, NeurIPS Datasets and Benchmarks, released ablations.py",
    higher_is_better=False,
    unit="%",
    values="{0, 100}",
    tolerance=1.6,
    needs=("masks",),
    scope="model",
    undefined=NOT_ABLATED,
    differs=(
        Difference(
            "released code",
            "exchanges rows and columns of tiles and leaves the last row and column of a box out (protocol=official)",
            "tiles come from the mirrored place",
        ),
    ),
    protocols=ABLATION_ACCURACY_PROTOCOLS,
)
def ablation_accuracy(
    inputs: MetricInputs,
    *,
    ablation: Literal["none", "gray_mask", "gray_bbox", "tile"] = "gray_mask",
    ground_truth: Literal["fixed", "official"] = "fixed",
    empty: Literal["undefined", "unchanged"] = "undefined",
) -> MetricResult:
    r"""Ablation accuracy: accuracy on images whose object is covered.

    .. math:: 100\,[\arg\max_c f_c(x \text{ without the object}) = y]

    A lower value means that the model needs the object. `none` removes nothing, `gray_mask` paints the object mid-grey,
    `gray_bbox` paints the box round all of it, and `tile` fills the box of each connected component with the largest tile
    beside it. `ground_truth="official"` is the released code: its box lacks the last row and column, and its tiles
    come from the position mirrored across the diagonal, so images must be square. An empty mask leaves the image out, or
    unchanged with `empty="unchanged"`.

    Returns:
        (B,) 0 or 100, per cent; lower is better.
    """
    labels = labels_of(inputs)
    if ablation == "none":
        return MetricResult(*mask_undefined(100 * in_top_k(inputs.logits, labels.classes), labels.known))
    images, possible = _ablate(inputs.images, inputs.required_masks, ablation, official=ground_truth == "official")
    values = 100 * in_top_k(inputs.score(images), labels.classes)
    there = inputs.required_masks.flatten(1).any(1) if empty == "undefined" else torch.ones_like(labels.known)
    return MetricResult(*mask_undefined(values, labels.known & there & possible))


class _AblatedImages(NamedTuple):
    images: Tensor
    possible: Tensor


def _ablate(images: Tensor, masks: Tensor, how: str, *, official: bool) -> _AblatedImages:
    """Images without their objects, and (B,) whether that could be done.

    Raises:
        NotApplicable: the release's tiles on images that are not square.
    """
    if how == "tile":
        if official and images.shape[-1] != images.shape[-2]:
            raise NotApplicable("the tiles of the released code exist on square images only; use ground_truth='fixed'")
        return _AblatedImages(*tile_objects(images, masks, official=official))
    grey = grey_object(images, masks) if how == "gray_mask" else grey_box(images, masks, last=not official)
    return _AblatedImages(grey, torch.ones(len(images), dtype=torch.bool, device=images.device))
