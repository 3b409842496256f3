"""Deep feature reweighting (DFR): retrains the last layer only."""

from __future__ import annotations

from pydantic import NonNegativeFloat

from camdbench.core.errors import NotApplicable
from camdbench.core.registries import loss
from camdbench.models.linear_head import linear_head
from camdbench.trainer.batchnorm_updates import evaluating
from camdbench.trainer.step import TrainingStep, label_loss
from camdbench.trainer.task import LossResult


@loss("dfr", paper="Kirichenko et al. 2022, Last Layer Re-Training, arXiv:2204.02937, definition of DFR")
def dfr(step: TrainingStep, *, l1: NonNegativeFloat = 0.0) -> LossResult:
    r"""DFR: cross-entropy on frozen features with an L1 penalty on the head.

    .. math:: \mathrm{CE} + \lambda \sum |W|

    Only the layers after the target layer are trained; features are in eval mode. The paper trains on images whose background
    is independent of the class, such as `shortcuts(correlation=0.125)`, and starts from trained weights.

    Args:
        step: the batch.
        l1: lambda, weight of the penalty.

    Returns:
        (B,) not negative; lower is better.

    Raises:
        NotApplicable: l1 > 0, and the head is not global average pooling and a linear layer.
    """
    with evaluating(step.classifier.network), step.classifier.captured() as captured:
        logits = step.classifier(step.images)
    ce = label_loss(logits, step.labels)
    if not l1:
        return LossResult(ce, {"ce": ce}, logits)
    weights = linear_head(step.classifier, captured.output(), logits, attached=True)
    if weights is None:
        raise NotApplicable("dfr(l1=…): the head behind the layer is not global average pooling and a linear layer")
    size = weights.abs().sum().expand_as(ce)
    return LossResult(ce + l1 * size, {"ce": ce, "l1": size}, logits)
