"""Images that pass through networks, counted by a hook of the test, which also follows copies of a network."""

from __future__ import annotations

from collections.abc import Generator
from contextlib import contextmanager

from torch import nn


class ImageCount:
    """Number of images so far."""

    def __init__(self) -> None:
        self.images = 0


@contextmanager
def images_counted(kind: type[nn.Module]) -> Generator[ImageCount]:
    """Count images that networks of a class receive inside the context, copies included."""
    count = ImageCount()

    def hook(module: nn.Module, inputs: tuple[object, ...]) -> None:
        if isinstance(module, kind):
            count.images += len(inputs[0])  # type: ignore[arg-type]

    handle = nn.modules.module.register_module_forward_pre_hook(hook)
    try:
        yield count
    finally:
        handle.remove()
