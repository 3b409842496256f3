"""ContrastiveCAM: HiResCAM of the class minus HiResCAM of another class, or minus the mean over classes."""

from __future__ import annotations

import torch
import torch.nn.functional as F
from torch import Tensor

from camdbench.core.cost import Cost
from camdbench.core.errors import UsageError, unknown
from camdbench.core.registries import explainer
from camdbench.explainers.common.trace import Trace


@explainer(
    "contrastivecam",
    paper="Improving feature alignment in ConvNets using ContrastiveCAMs (anonymous, under review), definitions 3.3-3.4, eq. 7-8",
    cost=Cost(forward=1, tail_backward=1, note="no backward pass on a linear head"),
    needs=("layer", "gradients"),
    values="(-inf, inf)",
    objective="logit",
)
def contrastivecam(trace: Trace, *, versus: str | int = "mean", layer: str | None = None) -> Tensor:
    r"""ContrastiveCAM: HiResCAM of the class minus that of another class, or minus the mean over classes.

    .. math:: \mathrm{HiRes}_c - \frac{1}{C} \sum_{c'} \mathrm{HiRes}_{c'}

    `versus="mean"` is this class-reconstructed map of definition 3.4. `runner_up` subtracts the
    map of the class with the highest logit among the others, and a class index or name that of this class (definition
    3.3). Adding the same map to every HiResCAM changes nothing. On a global average pooling + linear head the pairwise map
    sums to the difference of the logits minus that of the biases. The map of a class against itself is zero. HiResCAM is
    linear in the logit, so one backward pass through the difference is enough.

    Returns:
        (B, h, w), signed.
    """
    seen = trace.at(layer)
    direction = F.one_hot(seen.targets, seen.logits.shape[1]).to(seen.logits.dtype) - _other(seen, versus)
    return (seen.gradients_of(direction) * seen.activations).sum(1)


def _other(trace: Trace, versus: str | int) -> Tensor:
    """The subtracted logit, as weights of the logits (B, C)."""
    logits = trace.logits
    if versus == "mean":
        return torch.full_like(logits, 1 / logits.shape[1])
    if versus == "runner_up":
        others = logits.scatter(1, trace.targets[:, None], -torch.inf)
        return F.one_hot(others.argmax(1), logits.shape[1]).to(logits.dtype)
    index = torch.tensor(_class_index(trace, versus), device=logits.device)
    return F.one_hot(index, logits.shape[1]).to(logits.dtype).expand_as(logits)


def _class_index(trace: Trace, versus: str | int) -> int:
    names, count = trace.classifier.class_names, trace.logits.shape[1]
    if isinstance(versus, str):
        if versus not in names:
            raise unknown("class", versus, [*names, "mean", "runner_up"], of=trace.classifier.name)
        return names.index(versus)
    if not 0 <= versus < count:
        raise UsageError(f"contrastivecam(versus={versus}): the model has classes 0 to {count - 1}")
    return versus
