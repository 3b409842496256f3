"""Passes of a network without what a launch of each kernel costs: as CUDA graphs, and compiled."""

from __future__ import annotations

from collections.abc import Callable

import torch
from torch import Tensor, nn

Passes = dict[str, Callable[[], object]]


def eager(network: nn.Module, images: Tensor, *, autocast: bool = False) -> Passes:
    """A forward pass, and one with its way back to the images, weights frozen; under autocast to bfloat16 if asked."""
    network.requires_grad_(False)
    leaf = images.clone().requires_grad_()

    def logits(inputs: Tensor) -> Tensor:
        with torch.autocast(inputs.device.type, torch.bfloat16, enabled=autocast, cache_enabled=False):
            return network(inputs)

    def forward() -> object:
        with torch.no_grad():
            return logits(images)

    return {"forward": forward, "both": lambda: torch.autograd.grad(logits(leaf)[:, 0].sum(), leaf)}


def compiled(network: nn.Module, images: Tensor, *, autocast: bool = False) -> Passes:
    """The same by torch.compile, which is paid by the first call."""
    return eager(torch.compile(network), images, autocast=autocast)


def as_graph(network: nn.Module, images: Tensor, *, autocast: bool = False) -> Passes:
    """The same on CUDA, recorded once and replayed."""
    found: Passes = {}
    for name, one_pass in eager(network, images, autocast=autocast).items():
        side = torch.cuda.Stream()
        side.wait_stream(torch.cuda.current_stream())
        with torch.cuda.stream(side):
            for _ in range(3):
                one_pass()
        torch.cuda.current_stream().wait_stream(side)
        graph = torch.cuda.CUDAGraph()
        with torch.cuda.graph(graph):
            one_pass()
        found[name] = graph.replay
    return found
