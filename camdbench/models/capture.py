"""Forward hooks. The only module that registers them.

Every hook is removed on exit from its context, also after an exception.
"""

from __future__ import annotations

from collections.abc import Callable, Generator, Iterable
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass

import torch
from torch import Tensor, nn

from camdbench.core.errors import UsageError


class Capture:
    """Output of a layer in one forward pass.

    Attributes:
        leaf: output in the layer's own layout, detached: a backward pass to it covers only the tail and computes no weight
            gradients. If `attached` (training) it stays in the graph, in float32 whatever the precision before it.
        rest: contexts active in the rest of the pass.
    """

    def __init__(self, layer: str, *, attached: bool = False) -> None:
        self.layer, self.attached = layer, attached
        self.leaf: Tensor | None = None
        self.rest = ExitStack()

    def hook(self, module: nn.Module, inputs: tuple[object, ...], output: object) -> Tensor:
        """Keep the output as a leaf and return a copy, which later in-place operations may overwrite."""
        del module, inputs
        if self.leaf is not None:
            raise UsageError(f"layer {self.layer!r} runs more than once in a forward pass; choose the enclosing block")
        if not isinstance(output, Tensor):
            raise UsageError(f"layer {self.layer!r} returns {type(output).__name__}, not a tensor; choose a layer inside or after it")
        if self.attached and torch.is_autocast_enabled(output.device.type):
            self.rest.enter_context(torch.autocast(output.device.type, enabled=False))  # maps need derivatives in float32
            output = output.float()
        self.leaf = output if self.attached and output.requires_grad else output.detach().requires_grad_()
        return self.leaf.clone()

    def output(self) -> Tensor:
        """The leaf.

        Raises:
            UsageError: the forward pass did not run the layer.
        """
        if self.leaf is None:
            raise UsageError(f"layer {self.layer!r} does not run in a forward pass; choose another layer")
        return self.leaf


@contextmanager
def capture_output(module: nn.Module, layer: str, *, attached: bool = False) -> Generator[Capture]:
    """Capture the output of `module`, named `layer`, in one forward pass inside the context."""
    capture = Capture(layer, attached=attached)
    handle = module.register_forward_hook(capture.hook)
    try:
        with capture.rest:
            yield capture
    finally:
        handle.remove()


@contextmanager
def replace_output(module: nn.Module, output: Tensor) -> Generator[None]:
    """Make `module` return `output` in all passes inside the context."""

    def hook(module: nn.Module, inputs: tuple[object, ...], computed: object) -> Tensor:
        del module, inputs, computed
        return output.clone()  # later in-place operations may overwrite it

    handle = module.register_forward_hook(hook)
    try:
        yield
    finally:
        handle.remove()


@contextmanager
def record_outputs(modules: Iterable[nn.Module]) -> Generator[list[tuple[nn.Module, Tensor]]]:
    """Record every tensor returned by the modules in passes inside the context, in the autograd graph."""
    found = list[tuple[nn.Module, Tensor]]()

    def hook(module: nn.Module, inputs: tuple[object, ...], output: object) -> Tensor | None:
        del inputs
        if not isinstance(output, Tensor):
            return None
        found.append((module, output))
        return output.clone()  # later in-place operations may overwrite it

    with ExitStack() as stack:
        for module in modules:
            stack.callback(module.register_forward_hook(hook).remove)
        yield found


@dataclass
class CapturedOutput:
    """Record of one module in a survey: number of calls, output shape, and summary of the gradient at its output."""

    calls: int = 0
    shape: tuple[int, ...] | None = None
    gradient: Tensor | None = None


@contextmanager
def survey(network: nn.Module, summarise: Callable[[str, Tensor], Tensor | None]) -> Generator[dict[str, CapturedOutput]]:
    """Observe all named modules in one forward and one backward pass inside the context.

    Args:
        network: the network.
        summarise: reduces the gradient at the output of a named module; only its return value is kept.
    """
    seen = {name: CapturedOutput() for name, _ in network.named_modules() if name}

    def watch(name: str) -> Callable[[nn.Module, tuple[object, ...], object], None]:
        def hook(module: nn.Module, inputs: tuple[object, ...], output: object) -> None:
            del module, inputs
            record = seen[name]
            record.calls += 1
            if isinstance(output, Tensor):
                record.shape = tuple(output.shape)
                if output.requires_grad:
                    output.register_hook(lambda gradient: setattr(record, "gradient", summarise(name, gradient)))

        return hook

    with ExitStack() as stack, torch.enable_grad():
        for name, module in network.named_modules():
            if name:
                stack.callback(module.register_forward_hook(watch(name)).remove)
        yield seen
