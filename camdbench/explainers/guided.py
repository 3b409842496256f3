"""Guided backpropagation, alone and times Grad-CAM."""

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
from camdbench.models.backward_rules import MAXIMA, BackwardRules, check_operations, check_same_logits, guided_relu


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


def guided_gradients(trace: Trace, method: str) -> Tensor:
    """Guided gradients (B, 3, H, W); `method` is the name in errors."""
    with torch.enable_grad():
        leaf = trace.images.detach().clone().requires_grad_()
        with BackwardRules({"relu": guided_relu}):
            logits = trace.score(leaf)
        if "_GuidedRelu" not in check_operations(logits, leaf, method, {"_GuidedRelu", *MAXIMA}):
            raise NotApplicable(f"{method} is the plain gradient on a network without ReLU")
        check_same_logits(logits, trace.logits, method)
        return torch.autograd.grad(trace.explained(logits).sum(), leaf)[0]
