"""Saliency maps from values of the tokens of a vision transformer; shared by the attention methods."""

from __future__ import annotations

from typing import Literal

from torch import Tensor

from camdbench.explainers.common.trace import Trace
from camdbench.models.attention import transformer_of
from camdbench.models.tensor_layout import find_layout

Fusion = Literal["mean", "max", "min"]


def fuse_heads(attention: Tensor, how: Fusion) -> Tensor:
    """(B, N, N) of the attention of all heads (B, heads, N, N)."""
    if how == "mean":
        return attention.mean(1)
    return attention.amax(1) if how == "max" else attention.amin(1)


def map_of_row(trace: Trace, matrix: Tensor) -> Tensor:
    """Row of token matrices (B, N, N) for the head's input, as a map (B, h, w).

    It is the class token's row, the mean of both rows of a distilled DeiT, or the mean over patch tokens if the head averages
    them.
    """
    return map_of_tokens(trace, transformer_of(trace.classifier.network).read(matrix))


def map_of_tokens(trace: Trace, values: Tensor) -> Tensor:
    """Values (B, N) of the tokens as a map (B, h, w), without the prefix tokens."""
    network, prefix = trace.classifier.network, trace.classifier.prefix_tokens
    layout = find_layout((*values.shape, 0), trace.size, network, network, "attention", prefix)
    return layout.to_grid(values.unsqueeze(2)).squeeze(1)
