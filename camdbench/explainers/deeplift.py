"""DeepLIFT by its Rescale rule."""

from __future__ import annotations

from typing import Literal

import torch
from torch import Tensor

from camdbench.core.catalogue import explainer
from camdbench.core.cost import Cost
from camdbench.explainers.gradients import reduced
from camdbench.explainers.perturbing import filling
from camdbench.explainers.trace import Trace
from camdbench.models.rules import ELEMENTWISE, POOLING, Rules, check_made_of, check_same_logits, rescale, rescale_maximum


@explainer(
    "deeplift",
    paper="Shrikumar et al. 2017, arXiv:1704.02685, section 3.5.1 (Rescale)",
    cost=Cost(forward=3, backward=2),
    needs=("gradients",),
    normalisation="max",
    refuses="networks with products of activations, normalisation by statistics of the image, or attention",
)
def deeplift(trace: Trace, *, baseline: Literal["mean", "black"] = "black", channels: Literal["max", "sum", "abs"] = "sum") -> Tensor:
    """Differences from a reference image, handed back through the slopes of every nonlinearity between the two.

    (B, H, W). Signed, and with channels="sum" it adds up to y(x) - y(x0). Each elementwise nonlinearity and max pooling
    is found wherever it is written, functional, in place or reused; where the network holds anything else that is not
    affine, it is refused, as the rule says nothing there. The reference is black or the network's mean.
    """
    start = filling(trace, baseline).expand_as(trace.images)
    rules = dict.fromkeys(ELEMENTWISE, rescale) | dict.fromkeys(POOLING, rescale_maximum)
    targets = trace.targets
    with torch.enable_grad():
        leaf = trace.images.detach().clone().requires_grad_()
        with Rules(rules):
            logits = trace.score(torch.cat([leaf, start]))
        check_made_of(logits, leaf, "deeplift", {"_Rescale", "_RescaleMaximum"})
        own = logits[: len(leaf)]
        check_same_logits(own, trace.logits, "deeplift")
        multipliers = torch.autograd.grad(own.gather(1, targets[:, None]).sum(), leaf)[0]
    return reduced((trace.images - start) * multipliers, channels)
