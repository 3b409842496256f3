"""FullGrad: full gradients, of the input and of every bias."""

from __future__ import annotations

from typing import Literal, cast

import torch
from torch import Tensor

from camdbench.core.cost import Cost
from camdbench.core.difference import Difference
from camdbench.core.errors import NotApplicable
from camdbench.core.registries import explainer
from camdbench.explainers.common.trace import Trace
from camdbench.functional.float_precision import to_float64
from camdbench.functional.normalise import normalise, upsample
from camdbench.models.bias_terms import record_bias_terms


@explainer(
    "fullgrad",
    paper="Srinivas & Fleuret 2019, arXiv:1905.00780, definition of FullGrad; released saliency/fullgrad.py",
    cost=Cost(forward=1, backward=1),
    needs=("gradients",),
    refuses="networks whose logit is not the sum of its full gradients, such as those with a GELU, a tanh or attention",
    differs=(
        Difference("pytorch-grad-cam", "normalises each channel alone (compat=pgc)", "channels of size 0.001 and 1000 both become 1"),
    ),
    objective="linear",
)
def fullgrad(trace: Trace, *, compat: Literal["paper", "pgc"] = "paper") -> Tensor:
    r"""FullGrad: magnitudes of input x gradient and bias x gradient, summed over convolutions and norms.

    .. math:: \sum_c \psi(x \odot g)_c + \sum_l \sum_c \psi(b_l \odot g_l)_c, \quad \psi(m) = \mathrm{up}(\mathrm{rescale}(|m|))

    x is the normalised image, b the biases (of a batch norm beta - gamma mean / std) and g the gradients where they are
    added. `rescale`, to [0, 1], normalises the channels of one layer together, as the authors' code does. The paper leaves
    this open; `pgc` normalises each channel alone, so the weakest counts as much as the strongest. Enlarged with corners
    not aligned.

    Completeness, y = sum x g + sum b g, holds if the network is piecewise linear. It is checked, and a network that violates
    it is refused. Biases of linear layers count in the check and have no place in the map.

    Returns:
        (B, H, W), non-negative.
    """
    images = trace.images.detach().clone().requires_grad_()
    with torch.enable_grad(), record_bias_terms(trace.classifier.network) as added:
        logits = trace.own_pass(lambda: trace.classifier(images))
    with torch.enable_grad():
        scores = trace.explained(logits)
    gradients = torch.autograd.grad(scores.sum(), [images, *(item.output for item in added)], allow_unused=True)
    grids = [(trace.images - trace.classifier.mean) * gradients[0]]  # the normalised image times its gradient
    others = list[Tensor]()
    for item, gradient in zip(added, cast("tuple[Tensor | None, ...]", gradients[1:]), strict=True):
        if gradient is not None:  # else the class does not hear that layer
            (grids if item.on_grid else others).append(gradient * item.bias)
    if any(len(part) != len(images) for part in grids + others):
        raise NotApplicable("a layer's output is not one item for each image, so that its biases belong to no image")
    _check_completeness(scores.detach(), grids + others)
    return torch.stack([upsample(_sizes(part, compat), trace.size) for part in grids]).sum(0)


def _sizes(part: Tensor, compat: str) -> Tensor:
    """sum_c rescale(abs(m))_c (B, h, w) of the channels (B, C, h, w) of one layer."""
    sizes = part.abs()
    if compat == "pgc":
        return normalise(sizes.flatten(0, 1), "range").unflatten(0, part.shape[:2]).sum(1)
    return normalise(sizes.flatten(1, 2), "range").view_as(part).sum(1)


def _check_completeness(logits: Tensor, parts: list[Tensor]) -> None:
    whole = torch.stack([to_float64(part).flatten(1).sum(1) for part in parts]).sum(0)
    sizes = torch.stack([to_float64(part).flatten(1).abs().sum(1) for part in parts]).sum(0)
    logits = to_float64(logits)
    if bool(((whole - logits).abs() > 1e-3 * logits.abs() + 1e-5 * sizes).any()):
        raise NotApplicable("the gradients of input and biases do not add up to the logit: the network is not piecewise linear")
