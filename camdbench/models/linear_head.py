"""Linear heads: global average pooling and a linear layer."""

from __future__ import annotations

from typing import TYPE_CHECKING

from torch import Tensor, nn

if TYPE_CHECKING:
    from camdbench.models.classifier import Classifier


def linear_head(classifier: Classifier, activations: Tensor, logits: Tensor, *, attached: bool = False) -> Tensor | None:
    """Weights W (C, K) with logits = mean(A) W' + b; None for other heads.

    A layer counts as the head only if the formula reproduces the logits of these images; images with non-finite logits are ignored.

    Args:
        classifier: the model.
        activations: A (B, K, h, w), output of the layer before the head.
        logits: (B, C).
        attached: whether the weights stay in the autograd graph, for training.
    """
    layer = linear_layer(classifier, activations.detach(), logits.detach())
    if layer is None:
        return None
    return layer.weight.flatten(1) if attached else layer.weight.detach().flatten(1)


def linear_layer(classifier: Classifier, activations: Tensor, logits: Tensor) -> nn.Linear | nn.Conv2d | None:
    """The layer of a linear head, found as by `linear_head`; None for other heads."""
    finite = logits.isfinite().all(1)
    if not bool(finite.any()):
        return None
    pooled, logits = activations[finite].mean((2, 3)), logits[finite]
    for module in reversed(list(classifier.network.modules())):
        weight, bias = getattr(module, "weight", None), getattr(module, "bias", None)
        if not isinstance(module, nn.Linear | nn.Conv2d) or not isinstance(weight, Tensor):
            continue
        matrix = weight.detach().flatten(1)
        if matrix.shape != (logits.shape[1], pooled.shape[1]):
            continue
        added = bias.detach() if isinstance(bias, Tensor) else pooled.new_zeros(())
        expected = pooled @ matrix.T + added
        scale = (pooled.abs() @ matrix.abs().T + added.abs()).amax(1, keepdim=True)  # of the summands, which may cancel
        if bool(((expected - logits).abs() <= 1e-4 * scale).all()):
            return module
    return None
