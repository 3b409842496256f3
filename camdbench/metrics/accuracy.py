"""Classification accuracy of the model, independent of the explainer: accuracy, top-5 and average precision."""

from __future__ import annotations

import torch
import torch.nn.functional as F
from pydantic import PositiveInt
from torch import Tensor

from camdbench.core.errors import NotApplicable
from camdbench.core.metric_families import CLASSIFIED, NO_LABEL
from camdbench.core.option_types import ScoredOutput
from camdbench.core.registries import metric
from camdbench.functional.class_rank import average_precisions, in_top_k
from camdbench.functional.float_precision import to_float64
from camdbench.metrics.common.inputs import MetricInputs
from camdbench.metrics.common.labels import labels_of, mask_undefined
from camdbench.metrics.common.result import Curve, MetricResult

_PROTOCOLS = (CLASSIFIED.variant("micro"), CLASSIFIED.variant("balanced", reduction="class mean"))
_RANKED = {
    "higher_is_better": True,
    "unit": "%",
    "values": "{0, 100}",
    "paper": "Russakovsky et al. 2015, arXiv:1409.0575, definition of the image classification error, 1 - accuracy",
    "tolerance": 1.6,
    "scope": "model",
    "undefined": NO_LABEL,
    "protocols": _PROTOCOLS,
}


@metric("accuracy", **_RANKED)
def accuracy(inputs: MetricInputs) -> MetricResult:
    r"""Top-1 accuracy: whether the label has the largest logit.

    .. math:: 100\,[\arg\max_c f_c(x) = y]

    Of equal logits the class with the smaller index is predicted.

    Returns:
        (B,) 0 or 100, per cent; higher is better.
    """
    return _top_accuracy(inputs, 1)


@metric("top5", aliases=("top5_accuracy",), **_RANKED)
def top5(inputs: MetricInputs, *, count: PositiveInt = 5) -> MetricResult:
    r"""Top-5 accuracy: whether the label is among the five largest logits.

    .. math:: 100\,[y \in \text{top-5 of } f(x)]

    `count` replaces five; it is always 100 for a network of at most `count` classes.

    Returns:
        (B,) 0 or 100, per cent; higher is better.
    """
    return _top_accuracy(inputs, count)


AVERAGE_PRECISION_PROTOCOLS = (
    CLASSIFIED.variant(
        "micro",
        reduction="micro average precision",
        paper="ContrastiveCAM's released code: all pairs of image and class ranked together by logit",
    ),
    CLASSIFIED.variant("macro", reduction="macro average precision", paper="scikit-learn, average='macro', over the classes that occur"),
    CLASSIFIED.variant("samples", paper="scikit-learn, average='samples'"),
)


@metric(
    "average_precision",
    paper="Improving feature alignment in ConvNets using ContrastiveCAMs (anonymous, under review), sec. 5.3 (AP)",
    higher_is_better=True,
    unit="%",
    values="(0, 100]",
    tolerance=0.5,
    scope="model",
    undefined="the image shows no known class",
    protocols=AVERAGE_PRECISION_PROTOCOLS,
)
def average_precision(inputs: MetricInputs, *, scored_output: ScoredOutput = "logit") -> MetricResult:
    r"""Average precision of the classes ranked by logit: area under the precision-recall curve.

    .. math:: 100 \sum_k P_k (R_k - R_{k-1})

    For an image with one class it is 100 / rank of the label. Tables pool the curves `scores` and `truth` (B, C) as the
    protocol states; micro and macro compare images with each other, where logits and log-probabilities
    (`scored_output="probability"`) rank differently. Equal scores are one step.

    Returns:
        (B,) in (0, 100], per cent, of each image's own ranking; higher is better.
    """
    truth = _true_classes(inputs)
    scores = to_float64(inputs.logits) if scored_output == "logit" else F.log_softmax(to_float64(inputs.logits), 1)
    truth = truth.to(scores.device)
    values, undefined = mask_undefined(100 * average_precisions(scores, truth), truth.any(1))
    classes = torch.arange(truth.shape[1])
    return MetricResult(values, undefined, {"scores": Curve(classes, scores), "truth": Curve(classes, truth.to(scores.dtype))})


def _top_accuracy(inputs: MetricInputs, count: int) -> MetricResult:
    labels = labels_of(inputs)
    return MetricResult(*mask_undefined(100 * in_top_k(inputs.logits, labels.classes, count), labels.known))


def _true_classes(inputs: MetricInputs) -> Tensor:
    """(B, C) bool, the classes that each image shows; none where that is unknown.

    Raises:
        NotApplicable: the images show other classes than the network knows.
    """
    count = inputs.logits.shape[1]
    if inputs.present is None:
        labels = labels_of(inputs)
        return F.one_hot(labels.classes, count).bool() & labels.known[:, None]
    if inputs.present.shape[1] != count:
        raise NotApplicable(f"the images are labelled with {inputs.present.shape[1]} classes, the network has {count}")
    return inputs.present
