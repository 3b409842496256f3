"""Agreement of class activation maps with the class map of the image (ContrastiveCAM's IoU on SBD)."""

from __future__ import annotations

import torch
from pydantic import NonNegativeFloat
from torch import Tensor

from camdbench.core.errors import NotApplicable
from camdbench.core.protocols import Protocol
from camdbench.core.registries import metric
from camdbench.functional.core_focused_loss import on_grid
from camdbench.functional.core_regions import leading_classes
from camdbench.functional.float_precision import to_at_least_float32, to_float64
from camdbench.metrics.common.inputs import MetricInputs
from camdbench.metrics.common.labels import labels_of, mask_undefined
from camdbench.metrics.common.result import MetricResult

CAM_AGREEMENT_PROTOCOLS = (
    Protocol(
        "release",
        scored_output="logit",
        maps="raw",
        resize="masks to the grid, nearest-exact",
        paper="ContrastiveCAM's released code, which calls it IoU",
    ),
)
UNKNOWN_MASK = "it is unknown of which class the mask is"


@metric(
    "cam_agreement",
    paper="Improving feature alignment in ConvNets using ContrastiveCAMs (anonymous, under review), section 5.3 (IoU of the SBD table)",
    higher_is_better=True,
    unit="%",
    values="[0, 100]",
    needs=("masks", "linear head"),
    scope="model",
    undefined=UNKNOWN_MASK,
    protocols=CAM_AGREEMENT_PROTOCOLS,
)
def cam_agreement(inputs: MetricInputs, *, threshold: NonNegativeFloat = 0.01) -> MetricResult:
    r"""CAM agreement: fraction of grid cells whose class by the CAMs equals the ground-truth class.

    .. math:: \frac{100}{hw} \sum_i [\hat c_i = c_i]

    All cells of the layer's grid count, background included. The prediction of a cell is the class with the highest CAM,
    1/(h w) sum_k W_ck A_k, or background if none exceeds `threshold` (in logits). The truth is the class map or, for an image
    with a single mask, the label inside it. Void pixels count as background.

    Returns:
        (B,) float64 in [0, 100], per cent; higher is better.
    """
    activations, weights = to_at_least_float32(inputs.activations, inputs.class_weights)
    truth, known = _class_grid(inputs, len(weights), (activations.shape[-2], activations.shape[-1]))
    agree = leading_classes(activations, weights, threshold) == truth.to(activations.device)
    finite = (to_float64(activations).flatten(1).sum(1) + to_float64(weights).sum()).isfinite()
    shares = 100 * to_float64(agree).mean((1, 2))
    return MetricResult(*mask_undefined(torch.where(finite, shares, torch.nan), known))


def _class_grid(inputs: MetricInputs, count: int, size: tuple[int, int]) -> tuple[Tensor, Tensor]:
    """The class of each place (B, h, w), -1 for the background, and whether it is known, (B,).

    Raises:
        NotApplicable: there is no mask, or there are masks of other classes than the network knows.
    """
    if inputs.class_masks is not None:
        if inputs.class_masks.shape[1] != count:
            raise NotApplicable(f"the class masks have {inputs.class_masks.shape[1]} classes, the network {count}")
        each = on_grid(inputs.class_masks, size) > 0
        return torch.where(each.any(1), each.int().argmax(1), -1), torch.ones_like(inputs.labels, dtype=torch.bool)
    masks = inputs.required_masks
    labels = labels_of(inputs)
    return torch.where(on_grid(masks, size) > 0, labels.classes[:, None, None], -1), labels.known
