"""Ablation-CAM: channels weighted by the drop of the class logit without them."""

from __future__ import annotations

import torch
from torch import Tensor

from camdbench.core.cost import Cost, Repeat
from camdbench.core.difference import Difference
from camdbench.core.errors import NotApplicable
from camdbench.core.registries import explainer
from camdbench.explainers.common.trace import Trace
from camdbench.explainers.common.weighted_channels import weighted_sum
from camdbench.functional.pass_size import copies_per_pass


@explainer(
    "ablationcam",
    paper="Desai & Ramaswamy 2020, WACV, definition of the channel weights",
    cost=Cost(
        forward=1,
        repeats=(Repeat("per replay", forward=1), Repeat("per replayed channel", tail_forward=1)),
        note="no replay on a linear head",
    ),
    needs=("layer",),
    differs=(
        Difference("paper", "divides by the signed logit", "a negative logit flips the sign of every weight"),
        Difference(
            "pytorch-grad-cam",
            "sets channels to the output's minimum minus 1e7 where activations are negative, batch after batch",
            "maps depend on the batch size, by up to 0.94 of their range; here channels are set to zero, as in the paper",
        ),
    ),
)
def ablationcam(trace: Trace, *, layer: str | None = None, relu: bool = True) -> Tensor:
    r"""Ablation-CAM: channels weighted by the relative drop of the class logit without that channel.

    .. math:: \mathrm{ReLU}(\sum_k w_k A_k), \quad w_k = (y - y_k) / |y|

    y_k is the logit with channel k set to zero. The paper divides by y and assumes positive logits. A negative y would flip
    the sign of every weight, so its magnitude is taken. On a global average pooling + linear head, y - y_k = W_ck mean(A_k)
    needs no pass. Elsewhere the tail behind the layer is replayed with one channel off at a time. Channels that are zero
    have weight 0.

    Returns:
        (B, h, w), non-negative unless `relu=False`.
    """
    seen = trace.at(layer)
    try:
        losses = losses_by_weights(seen)
    except NotApplicable:
        losses = losses_by_replay(seen)
    size = seen.explained_scores.abs()[:, None]
    return weighted_sum(losses / torch.where(size > 0, size, 1), seen.activations, relu=relu)


def losses_by_weights(seen: Trace) -> Tensor:
    """The losses y - y_k (B, K), from the weights of a linear head.

    Raises:
        NotApplicable: the head is another one, or the explained score is not affine in the logits.
    """
    return seen.explained_weights * seen.activations.mean((2, 3))


def losses_by_replay(seen: Trace) -> Tensor:
    """The losses y - y_k (B, K), from replays of the tail."""
    activations = seen.activations
    losses = activations.new_zeros(activations.shape[:2])
    step = copies_per_pass(activations.device, activations[0].numel())
    whole = seen.explained_scores
    for index, grid in enumerate(activations):
        alive = grid.flatten(1).ne(0).any(1).nonzero().squeeze(1)
        for channels in alive.split(step):
            ablated = grid.repeat(len(channels), 1, 1, 1)
            ablated[torch.arange(len(channels)), channels] = 0
            rows = torch.full_like(channels, index)
            losses[index, channels] = whole[index] - seen.explained(seen.replay(index, ablated), rows)
    return losses
