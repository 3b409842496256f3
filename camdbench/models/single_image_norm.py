"""A copy of a classifier whose batch norms take the statistics of each image alone, as in train mode with a batch of one."""

from __future__ import annotations

from copy import deepcopy

from torch import nn

from camdbench.core.errors import NotApplicable
from camdbench.models.classifier import Classifier


def with_own_statistics(classifier: Classifier) -> Classifier:
    """A frozen copy in which every batch norm normalises by the mean and variance of the image at hand.

    That is what `network.train()` does to a batch of one image, without dropout and without running statistics that move
    from image to image; it does not depend on batch mates or on order. The classifier itself is not touched.

    Raises:
        NotApplicable: a batch norm does more than that, so that nothing known can take its place.
    """
    copy = deepcopy(classifier).eval().requires_grad_(False)
    for name, module in list(copy.network.named_modules()):
        if isinstance(module, nn.BatchNorm2d):
            if type(module) not in (nn.BatchNorm2d, nn.SyncBatchNorm) or not name:
                raise NotApplicable(f"statistics of single images are not known for {type(module).__name__} ({name or 'the network'})")
            parent, _, leaf = name.rpartition(".")
            setattr(copy.network.get_submodule(parent), leaf, _instance_norm(module))
    return copy


def _instance_norm(norm: nn.BatchNorm2d) -> nn.InstanceNorm2d:
    """The instance norm with the same scale and shift: a batch norm of one image."""
    own = nn.InstanceNorm2d(norm.num_features, eps=norm.eps, affine=norm.affine).to(norm.weight if norm.affine else "cpu")
    if norm.affine:
        own.weight.data.copy_(norm.weight.data)
        own.bias.data.copy_(norm.bias.data)
    return own.eval().requires_grad_(False)
