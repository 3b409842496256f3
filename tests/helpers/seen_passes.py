"""Image passes through a network, counted by hooks of the test, whatever the package counts."""

from __future__ import annotations

from collections import Counter
from collections.abc import Generator
from contextlib import contextmanager

from torch import Tensor, nn


@contextmanager
def passes_seen(network: nn.Module) -> Generator[Counter[str]]:
    """Counts images by kind of pass; copies of the network made inside the context count, too.

    A backward pass is one that reaches the logits: through the whole network if it also reaches the network's input, else
    through the tail. A single image whose layer output is replaced by that of several is one forward pass and as many through the tail.
    """
    seen = Counter[str]()

    def count(module: nn.Module, given: tuple[Tensor, ...], output: Tensor) -> None:
        del module
        images, rows = given[0], len(output)
        seen["forward"] += len(images)
        seen["tail forward"] += rows if rows > len(images) else 0
        if output.requires_grad:
            output.register_hook(lambda _: seen.update({"tail backward": rows}))
        if images.requires_grad:
            images.register_hook(lambda _: seen.update({"backward": rows, "tail backward": -rows}))

    handle = network.register_forward_hook(count)
    try:
        yield seen
    finally:
        handle.remove()
