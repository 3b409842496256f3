"""Forward hooks. The only module that registers them.

Every hook is removed on exit from its context, also after an exception.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Generator, Iterable, Mapping, Sequence
from contextlib import ExitStack, contextmanager
from copy import copy
from dataclasses import dataclass
from itertools import count
from typing import Any, cast

import torch
from torch import Tensor, nn
from torch.autograd.graph import Node

from camdbench.core.errors import UsageError


def split_call(layer: str) -> tuple[str, int | None]:
    """Name of a module, and the call of it that is meant: 0 is the first, -1 the last; None if no call is named.

    >>> split_call("_swish[-1]"), split_call("layer4.1")
    (('_swish', -1), ('layer4.1', None))
    """
    found = re.fullmatch(r"(.+)\[(-?\d+)\]", layer) if layer.endswith("]") else None
    return (layer, None) if found is None else (found[1], int(found[2]))


def call_of(layer: str, calls: int) -> int:
    """Number of the call that a layer's name means, from 0, if its module runs so often."""
    call = split_call(layer)[1] or 0
    return call + calls if call < 0 else call


def first_tensor(output: object) -> Tensor | None:
    """The output of a layer: itself, or the first value of a tuple, list or mapping if that is a tensor."""
    if isinstance(output, Mapping):
        output = tuple(cast("Mapping[object, object]", output).values())
    if isinstance(output, tuple | list):
        output = next(iter(cast("Sequence[object]", output)), None)
    return output if isinstance(output, Tensor) else None


def with_first_tensor(output: object, tensor: Tensor) -> Any:
    """The output of a layer with another first tensor, also where it holds the same tensor again."""
    first = first_tensor(output)
    if isinstance(output, Mapping):
        found: Any = copy(cast("Mapping[object, object]", output))
        for key, value in list(found.items()):
            if value is first:
                found[key] = tensor
        return found
    if isinstance(output, tuple | list):
        values = [tensor if value is first else value for value in cast("Sequence[object]", output)]
        make = cast("Any", type(cast("object", output)))
        return make(*values) if hasattr(make, "_fields") else make(values)
    return tensor


class Capture:
    """Output of a layer in one forward pass.

    Attributes:
        outputs: output of each call in the layer's own layout, the first detached: a backward pass to it covers only the tail and
            computes no weight gradients. If `attached` (training) it stays in the graph, in float32 whatever the precision
            before it.
        rest: contexts active in the rest of the pass.
    """

    def __init__(self, layer: str, *, attached: bool = False) -> None:
        self.layer, self.attached = layer, attached
        self.call = split_call(layer)[1]
        self.outputs = list[Tensor]()
        self.rest = ExitStack()

    @property
    def calls(self) -> int:
        """Number of calls so far."""
        return len(self.outputs)

    @property
    def leaf(self) -> Tensor | None:
        """Output of the call that the layer's name means, None if it did not run."""
        place = call_of(self.layer, self.calls)
        return self.outputs[place] if 0 <= place < self.calls else None

    def hook(self, module: nn.Module, inputs: tuple[object, ...], returned: object) -> Any:
        """Keep the first tensor as a leaf and return the output with a copy of it, which in-place operations may overwrite."""
        del module, inputs
        if self.outputs and self.call is None:
            raise UsageError(
                f"layer {self.layer!r} runs more than once in a forward pass; name a call, such as the last one: '{self.layer}[-1]'"
            )
        if (output := first_tensor(returned)) is None:
            raise UsageError(
                f"layer {self.layer!r} returns {type(returned).__name__}, which does not start with a tensor; "
                "choose a layer inside or after it"
            )
        if self.attached and torch.is_autocast_enabled(output.device.type):
            self.rest.enter_context(torch.autocast(output.device.type, enabled=False))  # maps need derivatives in float32
            output = output.float()
        in_graph = output.requires_grad and (self.attached or bool(self.outputs))  # a later call follows the first one's leaf
        self.outputs.append(output if in_graph else output.detach().requires_grad_())
        return with_first_tensor(returned, self.outputs[-1].clone())

    def output(self) -> Tensor:
        """The leaf.

        Raises:
            UsageError: the forward pass did not run the layer.
        """
        if (leaf := self.leaf) is None:
            raise UsageError(f"layer {self.layer!r} does not run in a forward pass; choose another layer")
        return leaf


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
def replace_output(module: nn.Module, output: Tensor, call: int | None = None) -> Generator[None]:
    """Make `module` return `output` in all passes inside the context, or in the call of that number alone."""
    calls = count()

    def hook(module: nn.Module, inputs: tuple[object, ...], computed: object) -> Any:
        del module, inputs
        return (
            with_first_tensor(computed, output.clone()) if call in (None, next(calls)) else None
        )  # later in-place operations may overwrite it

    handle = module.register_forward_hook(hook)
    try:
        yield
    finally:
        handle.remove()


@contextmanager
def watch_outputs(modules: Iterable[nn.Module], see: Callable[[nn.Module, object], None]) -> Generator[None]:
    """Call `see(module, output)` after each call of the modules inside the context."""

    def hook(module: nn.Module, inputs: tuple[object, ...], output: object) -> None:
        del inputs
        see(module, output)

    with ExitStack() as stack:
        for module in modules:
            stack.callback(module.register_forward_hook(hook).remove)
        yield


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
    """Record of one module in a survey, of its last call where a call matters.

    Attributes:
        calls: number of calls.
        shape: shape of the first tensor of the output; None if it starts with something else.
        gradient: summary of the gradient at the output.
        node: operation of the autograd graph that made the output.
        is_attention: whether it is (B, heads, N, M) with rows that sum to 1.
    """

    calls: int = 0
    shape: tuple[int, ...] | None = None
    gradient: Tensor | None = None
    node: Node | None = None
    is_attention: bool = False


def _is_attention(output: Tensor) -> bool:
    if output.ndim != 4 or output.shape[3] == 1 or not output.numel() or not output.is_floating_point():
        return False
    values = output.detach()
    return bool((values >= 0).all()) and bool(((values.sum(3) - 1).abs() < 1e-3).all())


@contextmanager
def survey(network: nn.Module, summarise: Callable[[str, Tensor], Tensor | None]) -> Generator[dict[str, CapturedOutput]]:
    """Observe all named modules in one forward and one backward pass inside the context.

    Modules of TorchScript, which allow no hooks, are left out.

    Args:
        network: the network.
        summarise: reduces the gradient at the output of a named module; only its return value is kept.
    """
    seen = {name: CapturedOutput() for name, _ in network.named_modules() if name}

    def watch(name: str) -> Callable[[nn.Module, tuple[object, ...], object], None]:
        def hook(module: nn.Module, inputs: tuple[object, ...], returned: object) -> None:
            del module, inputs
            record = seen[name]
            record.calls += 1
            own = record.calls
            if (output := first_tensor(returned)) is not None:
                record.shape, record.node = tuple(output.shape), output.grad_fn
                record.is_attention = _is_attention(output)
                if output.requires_grad:

                    def keep(gradient: Tensor) -> None:
                        if own == record.calls:
                            record.gradient = summarise(name, gradient)

                    output.register_hook(keep)

        return hook

    with ExitStack() as stack, torch.enable_grad():
        for name, module in network.named_modules():
            if name and not isinstance(module, torch.jit.ScriptModule):
                stack.callback(module.register_forward_hook(watch(name)).remove)
        yield seen
