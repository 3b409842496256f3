"""LRP for vision transformers: CP-LRP and AttnLRP, as input times a changed gradient."""

from __future__ import annotations

from typing import Literal

import torch
from pydantic import NonNegativeFloat
from torch import Tensor

from camdbench.core.cost import Cost
from camdbench.core.difference import Difference
from camdbench.core.errors import NotApplicable
from camdbench.core.registries import explainer
from camdbench.explainers.common.tokens import map_of_tokens
from camdbench.explainers.common.trace import Trace
from camdbench.models.attention import record_attention, transformer_of
from camdbench.models.backward_rules import MAXIMA, check_operations, check_same_logits
from camdbench.models.transformer_relevance import OPERATIONS, Attention, TransformerRelevance

_DIFFERS = (
    Difference(
        "LXT 2.1",
        "patches the layers of torch for the whole process and does not undo it",
        "gradients of every other network change afterwards; here rules end with the pass",
    ),
)
_REFUSES = "networks other than the vision transformers of torchvision and timm, and those with a layer that has no rule"


@explainer(
    "cplrp",
    paper="Ali et al. 2022, arXiv:2202.07304, section 4; as gradient times input: Arras et al. 2025, arXiv:2502.15886",
    cost=Cost(forward=2, backward=1),
    needs=("gradients", "attention"),
    normalisation="max",
    refuses=_REFUSES,
    differs=_DIFFERS,
    values="(-inf, inf)",
    objective="linear",
)
def cplrp(
    trace: Trace, *, gamma_conv: NonNegativeFloat = 0.25, gamma_linear: NonNegativeFloat = 0.05, at: Literal["pixels", "tokens"] = "pixels"
) -> Tensor:
    r"""CP-LRP: relevance through a vision transformer whose attention probabilities are constants.

    .. math:: R = x \odot \tilde\nabla y

    The gradient is that of a network whose attention probabilities and standard deviations of layer norms are constants, whose activation
    functions have the slope f(u) / u, and whose linear layers follow the gamma rule. The defaults of gamma are a choice between values that
    LXT tries; 0 is the epsilon rule with epsilon 0.

    Without biases, the relevance of pixels, class token and position embeddings sums to the logit. The pixels alone do not.

    Args:
        trace: images and classes of a batch.
        gamma_conv: gamma of the patch embedding.
        gamma_linear: gamma of linear layers, including those of the attention.
        at: `pixels`, summed over colours, or `tokens`: patch tokens before the first block, summed over channels, positions included.

    Returns:
        (B, H, W), or (B, h, w) of the patches; signed, in logits.
    """
    return _relevance(trace, "cplrp", "fixed", (gamma_conv, gamma_linear), at)


@explainer(
    "attnlrp",
    paper="Achtibat et al. 2024, arXiv:2402.05602, section 3; as gradient times input: Arras et al. 2025, arXiv:2502.15886",
    cost=Cost(forward=2, backward=1),
    needs=("gradients", "attention"),
    normalisation="max",
    refuses=_REFUSES,
    differs=_DIFFERS,
    values="(-inf, inf)",
    objective="linear",
)
def attnlrp(
    trace: Trace, *, gamma_conv: NonNegativeFloat = 0.25, gamma_linear: NonNegativeFloat = 0.05, at: Literal["pixels", "tokens"] = "pixels"
) -> Tensor:
    r"""AttnLRP: relevance through a vision transformer, its attention probabilities included.

    .. math:: R = x \odot \tilde\nabla y, \qquad R_i = x_i (R_i - s_i \textstyle\sum_j R_j) \text{ at a softmax } s(x)

    As `cplrp`, but queries and keys receive relevance: each product of the attention passes half of the gradient to either factor, and the
    softmax its own gradient. That is the first-order Taylor rule, which has a constant term, so relevance is not conserved.

    Args:
        trace: images and classes of a batch.
        gamma_conv: gamma of the patch embedding.
        gamma_linear: gamma of linear layers, including those of the attention.
        at: as in `cplrp`.

    Returns:
        (B, H, W), or (B, h, w) of the patches; signed, in logits.
    """
    return _relevance(trace, "attnlrp", "halved", (gamma_conv, gamma_linear), at)


def _relevance(trace: Trace, method: str, attention: Attention, gammas: tuple[float, float], at: str) -> Tensor:
    classifier = trace.classifier
    _check_network(classifier.network, method)
    with torch.enable_grad():
        leaf = trace.images.detach().clone().requires_grad_()
        with record_attention(classifier.network) as seen, TransformerRelevance(attention, *gammas):
            logits = classifier(leaf)
        check_operations(logits, leaf, method, OPERATIONS | MAXIMA)
        check_same_logits(logits, trace.logits, method)
        place = leaf if at == "pixels" else seen.tokens[0]
        gradient = torch.autograd.grad(trace.explained(logits).sum(), place)[0]
    if at == "tokens":
        return map_of_tokens(trace, (seen.tokens[0].detach() * gradient).sum(2))
    return ((trace.images - classifier.mean) * gradient).sum(1)  # the network's input times the gradient there


def _check_network(network: torch.nn.Module, method: str) -> None:
    """Refuse all but the vision transformers of torchvision and timm.

    Raises:
        NotApplicable: naming the network.
    """
    if not transformer_of(network).attentions:
        raise NotApplicable(f"{method} is not defined for {type(network).__name__} of transformers; use the network of timm or torchvision")
