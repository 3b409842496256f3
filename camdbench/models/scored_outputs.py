"""Classifiers whose logits are made of something else than class scores: a region of a segmentation, or likeness to a reference image."""

from __future__ import annotations

from collections.abc import Mapping
from copy import copy
from dataclasses import dataclass
from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from camdbench.core.errors import UsageError
from camdbench.models.classifier import Classifier
from camdbench.models.last_layer import last_layers
from camdbench.models.network_output import first_output
from camdbench.models.pass_counts import PassCounts

REFERENCE = 1  # class of `similarity`: the reference image


@dataclass(frozen=True, eq=False)
class RegionScores:
    r"""Sums of class scores over a region, :math:`\sum_{u \in M} z_{c,u}`: (B, C) from outputs (B, C, h, w) of a segmentation network.

    Attributes:
        mask: (H, W) of the image's size, weights of the pixels; averaged over the cells of a smaller output.
    """

    mask: Tensor

    def __call__(self, output: Any) -> Tensor:
        """Sums (B, C).

        Raises:
            UsageError: the output is not (B, C, h, w) of two classes or more.
        """
        found = output["out"] if isinstance(output, Mapping) and "out" in output else first_output(output)  # of torchvision
        if not isinstance(found, Tensor) or found.ndim != 4 or found.shape[1] < 2:
            shape = tuple(found.shape) if isinstance(found, Tensor) else type(output).__name__
            raise UsageError(f"objective region: the network must return (B, C, h, w) of at least two classes; it returned {shape}")
        mask = self.mask.to(found)
        if mask.shape != found.shape[2:]:
            mask = F.adaptive_avg_pool2d(mask[None, None], found.shape[2:])[0, 0]
        return (found * mask).sum((2, 3))


@dataclass(frozen=True, eq=False)
class ReferenceSimilarity:
    r"""Logits (B, 2) of features h (B, D): 0, and the cosine :math:`\cos(h, h_{\mathrm{ref}})` for the class `REFERENCE`.

    Attributes:
        reference: (D,) features of the reference image.
    """

    reference: Tensor

    def __call__(self, output: Any) -> Tensor:
        """Logits (B, 2)."""
        cosine = F.cosine_similarity(features_of(output), self.reference.to(output)[None], dim=1)
        return torch.stack([torch.zeros_like(cosine), cosine], 1)


def features_of(output: Any) -> Tensor:
    """Features (B, D) of a network without its classification layer.

    Raises:
        UsageError: it does not return one vector per image.
    """
    found = first_output(output)
    if not isinstance(found, Tensor) or found.ndim < 2 or found[0].numel() != found.shape[1]:
        shape = tuple(found.shape) if isinstance(found, Tensor) else type(output).__name__
        raise UsageError(f"objective similarity: the network without its last layer must return (B, D); it returned {shape}")
    return found.flatten(1)


def with_region(classifier: Classifier, mask: Tensor) -> Classifier:
    """A classifier of the same segmentation network whose logits are sums over a region.

    Args:
        classifier: of a network with outputs (B, C, h, w).
        mask: (H, W), true or a positive weight on the region.

    Raises:
        UsageError: the mask is empty or has another shape.
    """
    if mask.ndim != 2 or not bool((mask != 0).any()) or not bool(mask.isfinite().all()):
        raise UsageError(f"objective region: the mask has shape {tuple(mask.shape)}; give (H, W) with a pixel that is not zero")
    return _with_scores(classifier, classifier.network, RegionScores(mask.to(torch.float64)))


def with_similarity(classifier: Classifier, reference: Tensor) -> Classifier:
    """A classifier whose logit of class 1 is the cosine of the penultimate features with those of a reference image; class 0 has logit 0.

    The features are the input of the classification layer.

    Args:
        classifier: of a network with a classification layer.
        reference: (3, H, W) in [0, 1].

    Raises:
        UsageError: the classification layer is not found, or the network has two.
    """
    network = _without_last_layer(classifier.network)
    plain = _with_scores(classifier, network, features_of)
    with torch.no_grad(), torch.inference_mode(mode=False), plain.frozen():
        features = features_of(network(plain.normalised(reference[None].to(classifier.device))))[0]
    found = _with_scores(classifier, network, ReferenceSimilarity(features.clone()))
    found.class_names = ("other", "reference")
    return found


def _with_scores(classifier: Classifier, network: nn.Module, read: Any) -> Classifier:
    """A copy of a classifier that shares its weights, with another network and another reading of its output."""
    found = copy(classifier)
    found.__dict__.update({"_modules": dict(classifier._modules), "_buffers": dict(classifier._buffers)})
    found.network, found.read, found.output = network, read, "logits"
    found.passes, found.check_passes, found.class_names = PassCounts(), PassCounts(), ()
    found.optimize, found.optimisation = "none", None
    found._calls = dict(classifier._calls)
    return found


def _without_last_layer(network: nn.Module) -> nn.Module:
    """A copy of a network that shares its modules, but for an identity in place of the classification layer.

    Raises:
        UsageError: the classification layer is not found, or there are two.
    """
    heads = list(last_layers(network))
    name = next((name for name, module in network.named_modules() if module is heads[0]), "")
    if len(heads) != 1 or not name:
        raise UsageError(f"objective similarity: {type(network).__name__} has no single classification layer; give a function as objective")
    found = _shallow(network)
    parent = found
    *above, last = name.split(".")
    for part in above:
        own = _shallow(parent.get_submodule(part))
        setattr(parent, part, own) if not isinstance(parent, nn.Sequential | nn.ModuleList) else parent._modules.update({part: own})
        parent = own
    parent._modules[last] = nn.Identity()
    return found


def _shallow(module: nn.Module) -> nn.Module:
    """A copy with the same children and weights, whose children can be replaced."""
    found = copy(module)
    found.__dict__["_modules"] = dict(module._modules)
    return found
