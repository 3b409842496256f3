"""DeepLIFT with the Rescale rule, and its mean over reference images, DeepLiftShap."""

from __future__ import annotations

from typing import Literal

import torch
from torch import Tensor

from camdbench.core.cost import Cost, Repeat
from camdbench.core.difference import Difference
from camdbench.core.errors import NotApplicable
from camdbench.core.map_sum import Completeness
from camdbench.core.option_types import TwoOrMore
from camdbench.core.registries import explainer
from camdbench.explainers.common.masked_scoring import fill_image
from camdbench.explainers.common.noisy_copies import drawing
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
    return reduce_channels(attributions(trace, fill_image(trace, baseline), "deeplift"), channels)


@explainer(
    "deepliftshap",
    paper="Lundberg & Lee 2017, arXiv:1705.07874, section 4.2 (Deep SHAP); Captum, deep_lift.py",
    cost=Cost(forward=1, repeats=(Repeat("baselines", forward=2, backward=2),)),
    needs=("gradients",),
    stochastic=True,
    normalisation="max",
    refuses="the networks that deeplift refuses",
    differs=(
        Difference("paper", "draws reference images from the training data", "here they are uniform noise, as those of gradientshap"),
        Difference("Captum", "as deeplift, on references that the caller gives", "none on networks that Captum's rules cover"),
    ),
    values="(-inf, inf)",
    objective="linear",
)
def deepliftshap(trace: Trace, *, baselines: TwoOrMore = 10, channels: Literal["max", "sum", "abs"] = "sum") -> Tensor:
    r"""DeepLiftShap: mean of DeepLIFT over random reference images.

    .. math:: \frac{1}{n} \sum_b (x - b)\,m(x, b)

    m is the multiplier of `deeplift`. With channels="sum" the map sums to y(x) - mean_b y(b). The reference images have uniform
    random pixels, those of `gradientshap`; each image draws its own.

    Returns:
        (B, H, W), signed for channels="sum".
    """
    more = drawing(trace, "gradientshap baselines", torch.rand, trace.images.shape[1:])
    total = torch.zeros_like(trace.images)
    for _ in range(baselines):
        total += attributions(trace, more(1)[:, 0].to(trace.images), "deepliftshap")
    return reduce_channels(total / baselines, channels)


def attributions(trace: Trace, start: Tensor, name: str) -> Tensor:
    """Signed DeepLIFT attributions (B, 3, H, W) from reference images, broadcast to (B, 3, H, W); `name` is the explainer's.

    Raises:
        NotApplicable: the network has operations without a rule, or passes one image at a time.
    """
    if trace.classifier.batch_mates == "alone":
        raise NotApplicable(f"{name} passes an image and its reference in one batch, which batch_mates='alone' excludes")
    start = start.expand_as(trace.images)
    rules = dict.fromkeys(ELEMENTWISE, rescale) | dict.fromkeys(POOLING, rescale_maximum)
    with torch.enable_grad():
        leaf = trace.images.detach().clone().requires_grad_()
        with BackwardRules(rules):
            logits = trace.score(torch.cat([leaf, start]))
        check_operations(logits, leaf, name, {"_Rescale", "_RescaleMaximum"})
        own = logits[: len(leaf)]
        check_same_logits(own, trace.logits, name)
        multipliers = torch.autograd.grad(trace.explained(own).sum(), leaf)[0]
    return (trace.images - start) * multipliers
