"""Seconds per image pass on this machine, for time estimates."""

from __future__ import annotations

from collections.abc import Iterable
from time import monotonic

SECONDS = 5.0  # for all networks of a recipe together
_SIDE = 224


def seconds_per_pass(networks: Iterable[str], *, device: str = "auto", seconds: float = SECONDS) -> dict[str, float]:
    """Seconds of one forward or backward pass of one image of 224 x 224, by network, with random weights.

    Args:
        networks: names of networks of the zoo, without weights.
        device: auto, cpu, cuda, cuda:N or mps.
        seconds: time limit of all measurements, without building the networks.
    """
    names = list(networks)
    return {name: _measure(name, device, seconds / len(names)) for name in names}


def _measure(name: str, device: str, seconds: float) -> float:
    import torch

    from camdbench.models.devices import pick_device
    from camdbench.models.zoo import load_untrained

    where = pick_device(device)
    classifier = load_untrained(name).to(where)
    images = torch.full((1, 3, _SIDE, _SIDE), 0.5, device=where, requires_grad=True)
    start, rounds, spent = monotonic(), 0, 0.0
    while rounds == 0 or spent * (rounds + 1) / rounds < seconds:
        classifier(images).sum().backward()
        images.grad = None
        if where.type == "cuda":
            torch.cuda.synchronize(where)
        rounds, spent = rounds + 1, monotonic() - start
    return spent / rounds / 2
