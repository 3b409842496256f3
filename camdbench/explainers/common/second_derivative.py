"""Second derivatives of a logit by the activations of a layer."""

from __future__ import annotations

from typing import cast

import torch
from torch import Tensor

from camdbench.models.classifier import Classifier
from camdbench.models.pass_counts import PassCounts


def second_derivative(classifier: Classifier, logit: Tensor, leaf: Tensor) -> Tensor:
    """Hessian of a logit times the activations, both of the shape of `leaf`; two tail backward passes through `classifier`.

    Args:
        classifier: the network that made the logit; its passes are counted.
        logit: sum of the logits of B images, a scalar with its graph.
        leaf: (B, ...) output of the layer.

    Raises:
        RuntimeError: an operation of the network has no second derivative.
    """
    (gradient,) = torch.autograd.grad(logit, leaf, create_graph=True)
    if not gradient.requires_grad:  # the tail is linear around these images
        return torch.zeros_like(leaf)
    found = torch.autograd.grad(gradient, leaf, leaf.detach(), retain_graph=True, allow_unused=True)[0]
    classifier.passes += PassCounts(tail_backward=len(leaf))
    return torch.zeros_like(leaf) if cast("Tensor | None", found) is None else found
