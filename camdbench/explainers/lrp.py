"""Layer-wise relevance propagation (LRP) for convolutional networks."""

from __future__ import annotations

from functools import partial
from typing import Literal

import torch
from pydantic import NonNegativeFloat, PositiveFloat
from torch import Tensor
from torch.nn import functional as F

from camdbench.core.cost import Cost
from camdbench.core.difference import Difference
from camdbench.core.errors import NotApplicable
from camdbench.core.registries import explainer
from camdbench.explainers.common.trace import Trace
from camdbench.models.backward_rules import check_same_logits
from camdbench.models.classifier import Classifier
from camdbench.models.kept_looks import KeptLooks
from camdbench.models.network_check import probe_images
from camdbench.models.relevance import Composite, Relevance, check_relevance
from camdbench.models.relevance_rules import STABILISER, alpha_beta_rule, box_rule, epsilon_rule, flat_rule, gamma_rule

_TOLERANCE = 0.01  # of the relevance that a network without biases may gain or lose
_SUMS = KeptLooks()


@explainer(
    "lrp",
    paper="Bach et al. 2015, doi:10.1371/journal.pone.0130140, eq. 58, 60; composites: Kohlbrenner et al. 2020, arXiv:1910.09840",
    cost=Cost(forward=2, backward=1, note="and once per network one pass there and back, counted as a check"),
    needs=("gradients",),
    normalisation="max",
    refuses="networks with products of activations, attention or normalisation by statistics of the image, and those that do not conserve "
    "relevance",
    aliases=("layerwiserelevancepropagation",),
    differs=(
        Difference(
            "zennit 0.5.1",
            "finds residual sums in torchvision's ResNets alone, and copies the relevance at each sum of others without a warning",
            "relevance of timm's ResNet-18 sums to 256, here to 1",
        ),
        Difference(
            "zennit 0.5.1",
            "keeps the eps of batch norms that it has folded, which changes activations",
            "1e-4 on ResNet-18, 6e-3 on VGG-11",
        ),
        Difference(
            "Captum", "does not fold batch norms and copies the relevance at residual sums", "sums of 1e10; captum:LRP refuses these"
        ),
    ),
    values="(-inf, inf)",
    objective="logit",
)
def lrp(
    trace: Trace,
    *,
    composite: Literal[
        "epsilon_plus_flat", "epsilon_plus", "epsilon_alpha2_beta1_flat", "epsilon_alpha2_beta1", "epsilon_gamma_box", "epsilon"
    ] = "epsilon_plus_flat",
    epsilon: PositiveFloat = 1e-6,
    gamma: NonNegativeFloat = 0.25,
    start: Literal["one_hot", "logit"] = "one_hot",
) -> Tensor:
    r"""LRP: relevance of the class, split layer by layer by contributions and summed over colours.

    .. math:: R_i = \sum_j x_i w_{ij} / (\sum_k x_k w_{kj} + b_j) R_j

    This is the epsilon rule, which linear layers follow in each composite. Convolutions follow the z-plus rule in `epsilon_plus`, the
    alpha-beta rule with alpha = 2 and beta = 1 in `epsilon_alpha2_beta1`, the gamma rule in `epsilon_gamma_box` and the epsilon rule in
    `epsilon`. The layer that reads the image follows the flat rule in composites that end in `_flat`; in `epsilon_gamma_box`, a convolution
    there follows the rule for inputs between black and white.

    Batch norms are folded into the layer before them. Sums of two activations and average pools split relevance in proportion to their
    terms; max pooling passes it to the maximum; activation functions pass it on. It starts from a one at the class, or from its logit.

    Relevance that biases contribute is lost, so the sum of a map differs from its start. Without biases the sum is equal to it. This is
    checked once per network on a fixed image, and the network is refused if the difference is more than 1 %.

    Args:
        trace: images and classes of a batch.
        composite: rules by kind of layer.
        epsilon: of the epsilon rule; other rules use 1e-6.
        gamma: of the gamma rule.
        start: `one_hot` or `logit`.

    Returns:
        (B, H, W), signed.

    Raises:
        NotApplicable: a layer has no rule, or relevance is not conserved.
    """
    classifier, targets = trace.classifier, trace.targets
    _check_conservation(classifier, composite, gamma, trace.size)
    with torch.enable_grad():
        leaf = trace.images.detach().clone().requires_grad_()
        with Relevance(_rules(classifier, composite, epsilon, gamma)):
            logits = classifier(leaf)
        check_relevance(logits, leaf, "lrp")
        check_same_logits(logits, trace.logits, "lrp")
        first = F.one_hot(targets, logits.shape[1]).to(logits.dtype)
        return torch.autograd.grad(logits, leaf, first * logits.detach() if start == "logit" else first)[0].sum(1)


def _rules(classifier: Classifier, composite: str, epsilon: float, gamma: float) -> Composite:
    """Rules of a composite, as in zennit."""
    dense, plus, alpha2 = epsilon_rule(epsilon), alpha_beta_rule(1, 0), alpha_beta_rule(2, 1)
    if composite == "epsilon_gamma_box":
        ends = torch.tensor([0.0, 1.0], device=classifier.device)[:, None, None, None, None].expand(2, 1, 3, 1, 1)
        low, high = map(classifier.normalised, ends)
        return Composite(gamma_rule(gamma), dense, box_rule(torch.minimum(low, high), torch.maximum(low, high)))
    if composite == "epsilon":
        return Composite(dense, dense)
    convolution = alpha2 if "alpha2" in composite else plus
    return Composite(convolution, dense, flat_rule, flat_rule) if composite.endswith("_flat") else Composite(convolution, dense)


def _check_conservation(classifier: Classifier, composite: str, gamma: float, image_size: tuple[int, int]) -> None:
    """Refuse a network that does not conserve relevance on a fixed image if its biases are left out; looked at once.

    Raises:
        NotApplicable: with the sum of the relevance.
    """
    key = composite, gamma, image_size
    look = partial(_sum_without_biases, classifier, _rules(classifier, composite, STABILISER, gamma), image_size)
    total, _ = _SUMS.get(classifier.network, key, look, more=classifier.read)
    if not abs(total - 1) <= _TOLERANCE:  # nor if it is not a number
        raise NotApplicable(
            f"lrp(composite={composite}) does not conserve relevance on {classifier.name}: without biases, 1 at the class becomes "
            f"{total:.4g} at the pixels; use {'' if composite == 'epsilon' else 'composite=epsilon, or '}deeplift"
        )


def _sum_without_biases(classifier: Classifier, composite: Composite, image_size: tuple[int, int]) -> float:
    """Sum of the relevance of a fixed image, starting from a one at its largest logit by magnitude, without biases."""
    images = probe_images(image_size, classifier)[:1]
    with torch.inference_mode(mode=False), torch.enable_grad(), classifier.uncounted(), classifier.frozen():
        leaf = images.clone().requires_grad_()
        with Relevance(composite, biases=False):
            logits = classifier(leaf)
        check_relevance(logits, leaf, "lrp")
        first = F.one_hot(logits.detach().abs().argmax(1), logits.shape[1]).to(logits.dtype)
        return float(torch.autograd.grad(logits, leaf, first)[0].double().sum())
