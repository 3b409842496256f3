"""Batch norm with the statistics of each image alone, as in train mode with batch size 1."""

from __future__ import annotations

from copy import deepcopy

from torch import nn

from camdbench.core.errors import NotApplicable
from camdbench.models.classifier import Classifier


def with_own_statistics(classifier: Classifier) -> Classifier:
    """A frozen copy whose batch norms normalise by mean and variance of the current image.

    Equals `network.train()` with batch size 1, without dropout and without updates of running statistics.

    Raises:
        NotApplicable: unsupported subclass of batch norm.
    """
    copy = deepcopy(classifier).eval().requires_grad_(False)
    for name, module in list(copy.network.named_modules()):
        if isinstance(module, nn.BatchNorm2d):
            if type(module) not in (nn.BatchNorm2d, nn.SyncBatchNorm) or not name:
                raise NotApplicable(f"{name or 'network'}: no single-image statistics for {type(module).__name__}")
            parent, _, leaf = name.rpartition(".")
            setattr(copy.network.get_submodule(parent), leaf, _instance_norm(module))
    return copy


def _instance_norm(norm: nn.BatchNorm2d) -> nn.InstanceNorm2d:
    """Instance norm with the scale and shift of a batch norm."""
    own = nn.InstanceNorm2d(norm.num_features, eps=norm.eps, affine=norm.affine).to(norm.weight if norm.affine else "cpu")
    if norm.affine:
        own.weight.data.copy_(norm.weight.data)
        own.bias.data.copy_(norm.bias.data)
    return own.eval().requires_grad_(False)
