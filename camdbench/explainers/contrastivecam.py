"""ContrastiveCAM: what speaks for the class and against others."""

from __future__ import annotations

import torch
import torch.nn.functional as F
from torch import Tensor

from camdbench.core.catalogue import explainer
from camdbench.core.cost import Cost
from camdbench.core.errors import UsageError, unknown
from camdbench.explainers.trace import Trace


@explainer(
    "contrastivecam",
    paper="Improving feature alignment in ConvNets using ContrastiveCAMs (anonymous, under review), definitions 3.3-3.4, eq. 7-8",
    cost=Cost(forward=1, tail_backward=1, note="no backward pass on a linear head"),
    needs=("layer", "gradients"),
)
def contrastivecam(trace: Trace, *, versus: str | int = "mean", layer: str | None = None) -> Tensor:
    """HiResCAM of the class less HiResCAM of another, or less the mean over all classes.

    (B, h, w), signed and kept so. `versus` is `mean`, the class-reconstructed map of definition 3.4,
    HiRes_c - 1/C sum_c' HiRes_c'; `runner_up`, the class with the highest logit but for the explained one; or a class
    by index or name, the pairwise map of definition 3.3. What all classes' maps have in common cancels: adding any M
    to every HiResCAM changes nothing. On a GAP + linear head the pairwise map adds up to the difference of the logits
    less that of the biases. A class against itself is zero everywhere. HiResCAM being linear in the logit, one
    backward pass through the difference serves for all.
    """
    seen = trace.at(layer)
    direction = F.one_hot(seen.targets, seen.logits.shape[1]).to(seen.logits.dtype) - _other(seen, versus)
    return (seen.gradients_of(direction) * seen.activations).sum(1)


def _other(trace: Trace, versus: str | int) -> Tensor:
    """What is subtracted, as weights of the logits (B, C)."""
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
            raise unknown(f"class of {trace.classifier.name}", versus, [*names, "mean", "runner_up"])
        return names.index(versus)
    if not 0 <= versus < count:
        raise UsageError(f"contrastivecam(versus={versus}): the model has classes 0 to {count - 1}")
    return versus
