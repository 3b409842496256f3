"""Deep feature factorisation: one non-negative factor of a layer."""

from __future__ import annotations

from typing import Literal

import torch
from pydantic import NonNegativeInt, PositiveInt
from torch import Tensor

from camdbench.core.cost import Cost
from camdbench.core.difference import Difference
from camdbench.core.errors import UsageError
from camdbench.core.registries import explainer
from camdbench.explainers.common.trace import Trace
from camdbench.functional.float_precision import to_float64
from camdbench.functional.nonnegative_factors import factorise


@explainer(
    "dff",
    paper="Collins et al. 2018, arXiv:1806.10206, eq. 2-4",
    cost=Cost(forward=1),
    needs=("layer", "linear head"),
    objective="linear",
    refuses="networks whose head behind the layer is not global average pooling and a linear layer, unless factor is an index",
    differs=(
        Difference("paper", "factorises images together and shows all factors", "here each image alone, and one factor"),
        Difference(
            "pytorch-grad-cam",
            "factorises the batch together, from a random start, after subtracting each channel's minimum",
            "an image's factors depend on its batch mates",
        ),
    ),
)
def dff(
    trace: Trace,
    *,
    layer: str | None = None,
    factors: PositiveInt = 5,
    factor: Literal["class"] | NonNegativeInt = "class",
    iterations: PositiveInt = 200,
) -> Tensor:
    r"""Deep feature factorisation: the non-negative factor of a layer that adds most to the class logit.

    .. math:: A \approx W H, \quad W, H \ge 0, \quad \|W_t\|\,H_t, \quad t = \arg\max_s\, (w_c^\top W_s)\,\mathrm{mean}(H_s)

    A has the shape (channels, grid cells); a channel with negative activations is raised by its minimum. W_s is the concept of
    factor s, H_s its map, w_c the linear head's weights of the class. The paper shows all factors and defines no map of a class;
    the product of both parts is a factor's share of the logit and does not depend on how W and H are scaled. `factor=0` shows a
    factor by its number, in the order of the singular values that the descent starts from, on any network.

    Returns:
        (B, h, w), non-negative.

    Raises:
        UsageError: `factor` is not below the number of factors.
    """
    seen = trace.at(layer)
    activations = seen.activations
    if factor == "class":
        seen.explained_weights  # noqa: B018 - refused before the factors are sought
    if factor != "class" and factor >= min(factors, activations.shape[1], activations[0, 0].numel()):
        raise UsageError(f"dff(factor={factor}): the factors of this layer are 0 to {min(factors, *activations[0].flatten(1).shape) - 1}")
    matrices = to_float64(activations.detach()).flatten(2)
    concepts, rows = factorise(matrices - matrices.amin(2, keepdim=True).clamp_max(0), factors, iterations)
    maps = concepts.norm(dim=1)[:, :, None] * rows  # (B, factors, grid cells)
    if factor == "class":
        weights = to_float64(seen.explained_weights)[:, None]
        chosen = ((weights @ concepts)[:, 0] * rows.mean(2)).argmax(1)
    else:
        chosen = torch.full((len(maps),), factor, device=maps.device)
    return maps[torch.arange(len(maps), device=maps.device), chosen].unflatten(1, tuple(activations.shape[2:])).to(activations)
