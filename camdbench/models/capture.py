"""The only place that hooks a module.

Every hook lives inside a context manager, so that leaving it, with an exception too, leaves the network as it was.
"""

from __future__ import annotations

from collections.abc import Callable, Generator, Iterable
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass

import torch
from torch import Tensor, nn

from camdbench.core.errors import UsageError


class Capture:
    """What one forward pass left at one layer.

    Attributes:
        leaf: the layer's output in the layer's own layout, cut from the graph before it, so that a backward pass
            towards it runs through the tail of the network only and never computes a weight gradient; with `attached`,
            which is for training, it stays in the graph, and in full precision, whatever the network before it runs in.
        rest: contexts that the rest of the pass runs in.
    """

    def __init__(self, layer: str, *, attached: bool = False) -> None:
        self.layer, self.attached = layer, attached
        self.leaf: Tensor | None = None
        self.rest = ExitStack()

    def hook(self, module: nn.Module, inputs: tuple[object, ...], output: object) -> Tensor:
        """Keep the output as a leaf and hand a copy on, which later in-place operations may overwrite."""
        del module, inputs
        if self.leaf is not None:
            raise UsageError(f"layer {self.layer!r} runs more than once in a forward pass; choose the block around it")
        if not isinstance(output, Tensor):
            raise UsageError(f"layer {self.layer!r} returns {type(output).__name__}, not a tensor; choose a layer inside or after it")
        if self.attached and torch.is_autocast_enabled(output.device.type):
            self.rest.enter_context(torch.autocast(output.device.type, enabled=False))  # a map is made of the tail's derivatives
            output = output.float()
        self.leaf = output if self.attached and output.requires_grad else output.detach().requires_grad_()
        return self.leaf.clone()

    def output(self) -> Tensor:
        """The leaf.

        Raises:
            UsageError: the forward pass never ran the layer.
        """
        if self.leaf is None:
            raise UsageError(f"layer {self.layer!r} does not run in a forward pass; choose another one")
        return self.leaf


@contextmanager
def hooked(module: nn.Module, layer: str, *, attached: bool = False) -> Generator[Capture]:
    """Capture the output of `module`, known as `layer`, in the one forward pass made inside the block."""
    capture = Capture(layer, attached=attached)
    handle = module.register_forward_hook(capture.hook)
    try:
        with capture.rest:
            yield capture
    finally:
        handle.remove()


@contextmanager
def replaced(module: nn.Module, output: Tensor) -> Generator[None]:
    """Let `module` return `output` whatever it computes, for the passes made inside the block."""

    def hook(module: nn.Module, inputs: tuple[object, ...], computed: object) -> Tensor:
        del module, inputs, computed
        return output.clone()  # which later in-place operations may overwrite

    handle = module.register_forward_hook(hook)
    try:
        yield
    finally:
        handle.remove()


@contextmanager
def outputs_watched(modules: Iterable[nn.Module]) -> Generator[list[tuple[nn.Module, Tensor]]]:
    """Collect every tensor that one of the modules returns in the passes made inside the block, in the graph."""
    found = list[tuple[nn.Module, Tensor]]()

    def hook(module: nn.Module, inputs: tuple[object, ...], output: object) -> Tensor | None:
        del inputs
        if not isinstance(output, Tensor):
            return None
        found.append((module, output))
        return output.clone()  # which later in-place operations may overwrite

    with ExitStack() as stack:
        for module in modules:
            stack.callback(module.register_forward_hook(hook).remove)
        yield found


@dataclass
class CapturedOutput:
    """What a survey saw of one module: how often it ran, the shape it returned, and the gradient that reached it."""

    calls: int = 0
    shape: tuple[int, ...] | None = None
    gradient: Tensor | None = None


@contextmanager
def surveyed(network: nn.Module, summarise: Callable[[str, Tensor], Tensor | None]) -> Generator[dict[str, CapturedOutput]]:
    """Watch every named module for one forward and one backward pass made inside the block.

    Args:
        network: the network to watch.
        summarise: called with a module's name and the gradient at its output; what it returns is kept, which
            spares the memory of all gradients at once.
    """
    seen = {name: CapturedOutput() for name, _ in network.named_modules() if name}

    def watch(name: str) -> Callable[[nn.Module, tuple[object, ...], object], None]:
        def hook(module: nn.Module, inputs: tuple[object, ...], output: object) -> None:
            del module, inputs
            sighting = seen[name]
            sighting.calls += 1
            if isinstance(output, Tensor):
                sighting.shape = tuple(output.shape)
                if output.requires_grad:
                    output.register_hook(lambda gradient: setattr(sighting, "gradient", summarise(name, gradient)))

        return hook

    with ExitStack() as stack, torch.enable_grad():
        for name, module in network.named_modules():
            if name:
                stack.callback(module.register_forward_hook(watch(name)).remove)
        yield seen
