"""DeepLIFT with the Rescale rule."""

from __future__ import annotations

from typing import Literal

import torch
from torch import Tensor

from camdbench.core.cost import Cost
from camdbench.core.difference import Difference
from camdbench.core.errors import NotApplicable
from camdbench.core.map_sum import Completeness
from camdbench.core.registries import explainer
from camdbench.explainers.common.masked_scoring import fill_image
from camdbench.explainers.common.trace import Trace
from camdbench.explainers.gradients import reduce_channels
from camdbench.models.backward_rules import (
    ELEMENTWISE,
    POOLING,
    BackwardRules,
    check_operations,
    check_same_logits,
    rescale,
    rescale_maximum,
)


@explainer(
    "deeplift",
    paper="Shrikumar et al. 2017, arXiv:1704.02685, section 3.5.2 (Rescale)",
    cost=Cost(forward=3, backward=2),
    needs=("gradients",),
    normalisation="max",
    refuses="networks with products of activations, normalisation by statistics of the image, or attention",
    differs=(
        Difference(
            "Captum",
            "gives an operation without a rule its plain gradient and raises if a ReLU is reused, as in ResNets",
            "here the former is refused and the latter supported",
        ),
    ),
    completeness=Completeness("baseline", when={"channels": "sum"}),
    values="(-inf, inf)",
    objective="linear",
)
def deeplift(trace: Trace, *, baseline: Literal["mean", "black"] = "black", channels: Literal["max", "sum", "abs"] = "sum") -> Tensor:
    r"""DeepLIFT (Rescale rule): difference from a reference image times finite-difference multipliers.

    .. math:: (x - x_0)\,m

    m is the product of (f(x) - f(x0)) / (x - x0) over the nonlinearities and of the weights of the linear operations. With
    channels="sum" the map sums to y(x) - y(x0). Elementwise nonlinearities and max pooling are found however they are
    written: functional, in place or reused. A network with any other operation that is not affine is refused, because the
    rule does not define it. The reference is black or the network's mean colour.

    Returns:
        (B, H, W), signed for channels="sum".
    """
    if trace.classifier.batch_mates == "alone":
        raise NotApplicable("deeplift passes an image and its reference in one batch, which batch_mates='alone' excludes")
    start = fill_image(trace, baseline).expand_as(trace.images)
    rules = dict.fromkeys(ELEMENTWISE, rescale) | dict.fromkeys(POOLING, rescale_maximum)
    with torch.enable_grad():
        leaf = trace.images.detach().clone().requires_grad_()
        with BackwardRules(rules):
            logits = trace.score(torch.cat([leaf, start]))
        check_operations(logits, leaf, "deeplift", {"_Rescale", "_RescaleMaximum"})
        own = logits[: len(leaf)]
        check_same_logits(own, trace.logits, "deeplift")
        multipliers = torch.autograd.grad(trace.explained(own).sum(), leaf)[0]
    return reduce_channels((trace.images - start) * multipliers, channels)
