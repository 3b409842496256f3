"""A forward pass written down operation by operation, for methods that go back through it by rules of their own.

The network is traced symbolically (torch.fx), which neither hooks nor changes it.
"""

from __future__ import annotations

import inspect
import operator
from collections.abc import Callable
from typing import Any, Literal, TypeAlias, cast

import torch
from torch import Tensor, fx, nn
from torch.nn import functional as F

from camdbench.core.errors import NotApplicable
from camdbench.models.classifier import Classifier, PassCounts

Kind: TypeAlias = Literal["weighted", "norm", "relu", "same", "average", "route", "sum", "other"]
Node: TypeAlias = fx.Node

_MODULES: dict[type[nn.Module], Kind] = {
    nn.Conv2d: "weighted",
    nn.Linear: "weighted",
    nn.BatchNorm2d: "norm",
    nn.ReLU: "relu",
    nn.ReLU6: "relu",  # as monotone, and as little below zero
    nn.Identity: "same",
    nn.Dropout: "same",
    nn.AdaptiveAvgPool2d: "average",
    nn.AvgPool2d: "average",
    nn.MaxPool2d: "route",
    nn.Flatten: "route",
}
_FUNCTIONS: dict[object, Kind] = {
    operator.add: "sum",
    operator.iadd: "sum",
    torch.add: "sum",
    torch.relu: "relu",
    F.relu: "relu",
    F.relu6: "relu",
    F.dropout: "same",
    F.adaptive_avg_pool2d: "average",
    F.avg_pool2d: "average",
    F.max_pool2d: "route",
    torch.flatten: "route",
    torch.cat: "route",
}
_METHODS: dict[str, Kind] = {"view": "route", "reshape": "route", "flatten": "route", "mean": "average"}


class TracedGraph:
    """The operations of one forward pass in their order, with the value of each.

    Attributes:
        nodes: the operations, as torch.fx names them.
        values: what each returned.

    Args:
        classifier: the model, frozen and in eval mode.
        images: (B, 3, H, W) in [0, 1]; one forward pass of each is counted.

    Raises:
        NotApplicable: the network's course depends on what it sees, so that no list of operations stands for it.
    """

    def __init__(self, classifier: Classifier, images: Tensor) -> None:
        self.network, name = classifier.network, type(classifier.network).__name__
        options = list(inspect.signature(self.network.forward).parameters.values())[1:]
        usual = {option.name: option.default for option in options if option.default is not option.empty}
        try:
            self.nodes = list(fx.Tracer().trace(self.network, concrete_args=usual or None).nodes)
        except Exception as error:  # each network resists in its own words
            raise NotApplicable(f"the operations of {name} cannot be listed: {error}") from None
        self.values: dict[Node, Any] = {self.nodes[0]: images.sub(classifier.mean).div(classifier.std)}
        with torch.no_grad():
            for node in self.nodes[1:]:
                self.values[node] = self._run(node)
        classifier.passes += PassCounts(forward=len(images))

    @property
    def output(self) -> Node:
        """The operation whose value is the logits."""
        return self.nodes[-1].all_input_nodes[0]

    def kind(self, node: Node) -> Kind:
        """What an operation does; `other` where that is not known."""
        if node.op == "call_module":
            return _MODULES.get(type(self.module(node)), "other")
        if node.op == "call_function":
            kind = _FUNCTIONS.get(node.target, "other")
            return "other" if kind == "sum" and node.kwargs else kind  # torch.add may scale its second term
        return _METHODS.get(str(node.target), "other") if node.op == "call_method" else "other"

    def module(self, node: Node) -> nn.Module:
        """The module that an operation runs."""
        return self.network.get_submodule(str(node.target))

    def inputs(self, node: Node) -> list[Node]:
        """The operations whose tensors it reads; numbers such as sizes are left out."""
        return [source for source in node.all_input_nodes if isinstance(self.values[source], Tensor)]

    def end_of(self, layer: str) -> Node:
        """The operation that returns what the module of that name returns.

        Raises:
            NotApplicable: nothing of that module was run.
        """
        inside = [node for node in self.nodes if layer in node.meta.get("nn_module_stack", {})]
        if not inside:
            raise NotApplicable(f"layer {layer!r} does not show among the operations of {type(self.network).__name__}")
        return inside[-1]

    def pull(self, node: Node, credit: Tensor) -> dict[Node, Tensor]:
        """The derivative of an operation applied to `credit`, for each tensor that it reads."""
        leaves = {source: self.values[source].detach().requires_grad_() for source in self.inputs(node)}
        with torch.enable_grad():
            result = self._run(node, leaves)
        return dict(zip(leaves, torch.autograd.grad(result, list(leaves.values()), credit), strict=True))

    def _run(self, node: Node, instead: dict[Node, Tensor] | None = None) -> Any:
        """The value of an operation, computed anew and never in place, so that all values stay what they were."""
        given: Any = fx.map_arg(cast("Any", (node.args, node.kwargs)), lambda source: (instead or {}).get(source, self.values[source]))
        args, kwargs = given
        kind = self.kind(node)
        if kind == "relu":
            return self._callable(node)(args[0].clone())  # which it may overwrite
        if kind == "same":
            return args[0]
        if kind == "sum":
            return args[0] + args[1]  # tensors, or sizes
        if node.op in ("output", "placeholder"):  # of the second placeholder on, the argument is the usual value
            return args[0]
        return self._callable(node)(*args, **kwargs)

    def _callable(self, node: Node) -> Callable[..., Any]:
        if node.op == "call_module":
            return self.module(node)
        if node.op == "call_method":
            return lambda own, *more, **named: getattr(own, str(node.target))(*more, **named)
        if node.op == "get_attr":
            return lambda: operator.attrgetter(str(node.target))(self.network)
        assert callable(node.target)
        return node.target
