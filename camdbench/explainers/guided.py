"""Guided backpropagation, alone and times Grad-CAM, and deconvolution."""

from __future__ import annotations

from typing import Literal

import torch
from torch import Tensor

from camdbench.core.cost import Cost
from camdbench.core.difference import Difference
from camdbench.core.errors import NotApplicable
from camdbench.core.registries import explainer
from camdbench.explainers.common.trace import Trace
from camdbench.explainers.gradcam import gradcam
from camdbench.explainers.gradients import reduce_channels
from camdbench.functional.normalise import upsample
from camdbench.models.backward_rules import (
    MAXIMA,
    BackwardRules,
    Rule,
    check_operations,
    check_same_logits,
    deconvolution_relu,
    guided_relu,
)


@explainer(
    "guidedbackprop",
    paper="Springenberg et al. 2015, arXiv:1412.6806, section 4",
    cost=Cost(forward=2, backward=1),
    needs=("gradients",),
    refuses="networks whose nonlinearities are not ReLUs and max pooling",
    differs=(Difference("other libraries", "return the plain gradient of networks without ReLU", "here such networks are refused"),),
)
def guidedbackprop(trace: Trace, *, channels: Literal["max", "sum", "abs"] = "max") -> Tensor:
    r"""Guided backpropagation: gradient at the pixels; every ReLU passes positive gradients only.

    .. math:: g_{\mathrm{in}} = [g_{\mathrm{out}} > 0]\,[x > 0]\,g_{\mathrm{out}}

    At each ReLU, functional and reused ones included; `channels` as in `saliency`. The rule is
    not defined for other nonlinearities; other libraries return the plain gradient there.

    Returns:
        (B, H, W), non-negative unless `channels="sum"`.
    """
    return reduce_channels(guided_gradients(trace, "guidedbackprop"), channels)


@explainer(
    "guidedgradcam",
    paper="Selvaraju et al. 2017, arXiv:1610.02391, section 3.2",
    cost=Cost(forward=2, backward=1, tail_backward=1),
    needs=("layer", "gradients"),
    refuses="networks whose nonlinearities are not ReLUs and max pooling",
    differs=(Difference("Captum", "enlarges Grad-CAM by nearest neighbour by default", "blocks of a grid cell; the paper is bilinear"),),
)
def guidedgradcam(trace: Trace, *, layer: str | None = None, channels: Literal["max", "sum", "abs"] = "max") -> Tensor:
    r"""Guided Grad-CAM: guided backpropagation times Grad-CAM up-sampled to the image.

    .. math:: g_{\mathrm{guided}} \odot \mathrm{up}(\mathrm{GradCAM})

    The up-sampling is bilinear, as in the paper. `channels` as in `saliency`.

    Returns:
        (B, H, W), non-negative unless `channels="sum"`.
    """
    coarse = upsample(gradcam(trace, layer=layer), trace.size)
    return reduce_channels(guided_gradients(trace, "guidedgradcam") * coarse[:, None], channels)


@explainer(
    "deconvnet",
    paper="Zeiler and Fergus 2014, arXiv:1311.2901, section 2.1",
    cost=Cost(forward=2, backward=1),
    needs=("gradients",),
    refuses="networks whose nonlinearities are not ReLUs and max pooling",
    aliases=("deconvolution",),
    differs=(
        Difference(
            "Captum", "returns the plain gradient of functional ReLUs without a warning", "here each ReLU is found, however it is called"
        ),
    ),
)
def deconvnet(trace: Trace, *, channels: Literal["max", "sum", "abs"] = "max") -> Tensor:
    r"""Deconvolution: gradient at the pixels; every ReLU rectifies the gradient and ignores its input.

    .. math:: g_{\mathrm{in}} = [g_{\mathrm{out}} > 0]\,g_{\mathrm{out}}

    At each ReLU, functional and reused ones included; max pooling leads back to the maximum. `channels` as in `saliency`. The map
    depends little on the class, because the signs of the input are the only trace of the image (Nie et al. 2018, arXiv:1805.07039).

    Returns:
        (B, H, W), non-negative unless `channels="sum"`.
    """
    return reduce_channels(guided_gradients(trace, "deconvnet", deconvolution_relu), channels)


def guided_gradients(trace: Trace, method: str, rule: Rule = guided_relu) -> Tensor:
    """Gradients (B, 3, H, W) with a rule for ReLUs; `method` is the name in errors."""
    with torch.enable_grad():
        leaf = trace.images.detach().clone().requires_grad_()
        with BackwardRules({"relu": rule}):
            logits = trace.score(leaf)
        if not check_operations(logits, leaf, method, {*_RELUS, *MAXIMA}) & _RELUS:
            raise NotApplicable(f"{method} is the plain gradient on a network without ReLU")
        check_same_logits(logits, trace.logits, method)
        return torch.autograd.grad(trace.explained(logits).sum(), leaf)[0]


_RELUS = {"_GuidedRelu", "_DeconvolutionRelu"}
