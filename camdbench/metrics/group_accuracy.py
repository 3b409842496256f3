"""Accuracy by group of images: of the worst group, weighted by training shares, and the gap between backgrounds."""

from __future__ import annotations

from typing import Literal

import torch
from torch import Tensor

from camdbench.core.errors import NotApplicable
from camdbench.core.metric_families import CLASSIFIED, NO_LABEL
from camdbench.core.registries import metric
from camdbench.functional.class_rank import in_top_k
from camdbench.metrics.common.inputs import MetricInputs
from camdbench.metrics.common.labels import labels_of, mask_undefined
from camdbench.metrics.common.result import Curve, MetricResult

_BY_GROUP = {"unit": "%", "values": "{0, 100}", "tolerance": 1.6, "needs": ("backgrounds",), "scope": "model"}
GROUP_PROTOCOLS = (
    CLASSIFIED.variant("worst", reduction="worst group"),
    CLASSIFIED.variant(
        "weighted", reduction="training-weighted groups", paper="Sagawa et al. 2020, arXiv:1911.08731, appendix C.1, average accuracy"
    ),
)
GAP_PROTOCOLS = (CLASSIFIED.variant("gap", reduction="difference of groups"),)
_BACKGROUNDS = 2**20  # more than any data set has
NO_GROUP = "the label is unknown, or the background is of a random class"


@metric(
    "group_accuracy",
    paper="Sagawa et al. 2020, arXiv:1911.08731, section 3 (worst-group accuracy)",
    higher_is_better=True,
    undefined=NO_GROUP,
    protocols=GROUP_PROTOCOLS,
    **_BY_GROUP,
)
def group_accuracy(inputs: MetricInputs, *, by: Literal["pair", "background"] = "pair") -> MetricResult:
    r"""Worst-group accuracy: smallest accuracy over groups of images with equal label and background.

    .. math:: 100 \min_g \operatorname{mean}_{x \in g} [\arg\max_c f_c(x) = y]

    Tables reduce over the curve `group` (B, 1). With `by="background"` groups are images of equal background. The protocol
    `weighted` is the mean over groups, weighted by the curve `share` (B, 1), the frequency of the pair in the training data. The
    smallest of many means is biased downwards: use groups of many images.

    Returns:
        (B,) 0 or 100, per cent, whether each image is classified correctly; higher is better.
    """
    backgrounds, labels = _backgrounds(inputs), labels_of(inputs)
    known = labels.known.cpu() & (backgrounds >= 0)
    pairs = labels.classes.cpu() * _BACKGROUNDS + backgrounds
    group = torch.where(known, pairs if by == "pair" else backgrounds, -1)
    curves = {"group": _column(group)}
    if inputs.group_shares is not None and by == "pair":
        curves["share"] = _column(inputs.group_shares)
    return MetricResult(*_correct(inputs, known), curves)


@metric(
    "background_gap",
    paper="Xiao et al. 2020, arXiv:2006.09994, section 3 (BG-Gap)",
    higher_is_better=False,
    undefined=NO_LABEL,
    protocols=GAP_PROTOCOLS,
    **_BY_GROUP,
)
def background_gap(inputs: MetricInputs) -> MetricResult:
    r"""Background gap: accuracy on images with the background of their class minus accuracy on the others.

    .. math:: 100 \left(\operatorname{mean}_{b = y} - \operatorname{mean}_{b \neq y}\right) [\arg\max_c f_c(x) = y]

    Tables reduce over the curve `group` (B, 1): 1 where the background b is of the label y, else 0. In the split `gap` of
    `imagenet9` these are `mixed_same` and `mixed_rand`, where a random background is never counted as the label's own. In the split
    `balanced` of `shortcuts` half of the images of each shape have its background.

    Returns:
        (B,) 0 or 100, per cent, whether each image is classified correctly, of which tables make the gap; lower is better.
    """
    backgrounds, labels = _backgrounds(inputs), labels_of(inputs)
    own = (backgrounds == labels.classes.cpu()).double()
    return MetricResult(*_correct(inputs, labels.known), {"group": _column(own)})


def _backgrounds(inputs: MetricInputs) -> Tensor:
    """Classes of the backgrounds (B,), on the CPU.

    Raises:
        NotApplicable: the images state none.
    """
    if inputs.backgrounds is None:
        raise NotApplicable("needs the classes of backgrounds, which these images do not have")
    return inputs.backgrounds.cpu()


def _correct(inputs: MetricInputs, known: Tensor) -> tuple[Tensor, Tensor]:
    """100 or 0 for each image (B,), whether its label is predicted, and where that is undefined (B,)."""
    return mask_undefined(100 * in_top_k(inputs.logits, labels_of(inputs).classes), known)


def _column(values: Tensor) -> Curve:
    return Curve(torch.zeros(1), values.double()[:, None])
