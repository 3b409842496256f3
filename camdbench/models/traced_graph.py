"""Operations of a forward pass traced by torch.fx, for methods with their own backward rules; the network is not altered."""

from __future__ import annotations

import inspect
import operator
from collections.abc import Callable
from typing import Any, Literal, TypeAlias, cast

import torch
from torch import Tensor, fx, nn
from torch.nn import functional as F

from camdbench.core.errors import NotApplicable
from camdbench.models.classifier import Classifier
from camdbench.models.folding import unfolded
from camdbench.models.pass_counts import PassCounts

Kind: TypeAlias = Literal["weighted", "norm", "relu", "same", "average", "route", "sum", "other"]
Node: TypeAlias = fx.Node

_MODULES: dict[type[nn.Module], Kind] = {
    nn.Conv2d: "weighted",
    nn.Linear: "weighted",
    nn.BatchNorm2d: "norm",
    nn.ReLU: "relu",
    nn.ReLU6: "relu",
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
    """Operations of one forward pass in order, with their values.

    Attributes:
        nodes: operations as torch.fx nodes.
        values: value of each operation.

    Args:
        classifier: the model, frozen and in eval mode.
        images: (B, 3, H, W) in [0, 1]; one forward pass per image is counted.

    Raises:
        NotApplicable: the control flow depends on the input, which torch.fx cannot trace.
    """

    def __init__(self, classifier: Classifier, images: Tensor) -> None:
        self.network, name = classifier.network, type(classifier.network).__name__
        options = list(inspect.signature(self.network.forward).parameters.values())[1:]
        usual = {option.name: option.default for option in options if option.default is not option.empty}
        try:
            self.nodes = list(fx.Tracer().trace(self.network, concrete_args=usual or None).nodes)
        except Exception as error:  # tracing raises many types
            raise NotApplicable(f"the operations of {name} cannot be listed: {error}") from None
        self.values: dict[Node, Any] = {self.nodes[0]: classifier.normalised(images)}
        with torch.no_grad():
            for node in self.nodes[1:]:
                self.values[node] = self._run(node)
        classifier.passes += PassCounts(forward=len(images))

    @property
    def output(self) -> Node:
        """Operation that returns the logits."""
        return self.nodes[-1].all_input_nodes[0]

    def kind(self, node: Node) -> Kind:
        """Kind of an operation; `other` if unsupported."""
        if node.op == "call_module":
            return _MODULES.get(type(self.module(node)), "other")
        if node.op == "call_function":
            kind = _FUNCTIONS.get(node.target, "other")
            return "other" if kind == "sum" and node.kwargs else kind  # torch.add may scale its second term
        return _METHODS.get(str(node.target), "other") if node.op == "call_method" else "other"

    def module(self, node: Node) -> nn.Module:
        """Module of an operation."""
        return self.network.get_submodule(str(node.target))

    def inputs(self, node: Node) -> list[Node]:
        """Operations with tensor values that it reads."""
        return [source for source in node.all_input_nodes if isinstance(self.values[source], Tensor)]

    def end_of(self, layer: str) -> Node:
        """Operation that returns the output of the named module.

        Raises:
            NotApplicable: the module does not appear in the trace.
        """
        inside = [node for node in self.nodes if layer in node.meta.get("nn_module_stack", {})]
        if not inside:
            raise NotApplicable(f"layer {layer!r} is not among the traced operations of {type(self.network).__name__}")
        return inside[-1]

    def pull(self, node: Node, credit: Tensor) -> dict[Node, Tensor]:
        """Vector-Jacobian product of an operation with `credit`, for each tensor that it reads."""
        leaves = {source: self.values[source].detach().requires_grad_() for source in self.inputs(node)}
        with torch.enable_grad():
            result = self._run(node, leaves)
        return dict(zip(leaves, torch.autograd.grad(result, list(leaves.values()), credit), strict=True))

    def _run(self, node: Node, instead: dict[Node, Tensor] | None = None) -> Any:
        """Value of an operation, never computed in place."""
        given: Any = fx.map_arg(cast("Any", (node.args, node.kwargs)), lambda source: (instead or {}).get(source, self.values[source]))
        args, kwargs = given
        kind = self.kind(node)
        if kind == "relu":
            return self._callable(node)(args[0].clone())  # may be in place
        if kind == "same":
            return args[0]
        if kind == "sum":
            return args[0] + args[1]  # tensors, or sizes
        if node.op in ("output", "placeholder"):  # further placeholders have their default as argument
            return args[0]
        return self._callable(node)(*args, **kwargs)

    def _callable(self, node: Node) -> Callable[..., Any]:
        if node.op == "call_module":
            return unfolded(self.module(node))
        if node.op == "call_method":
            return lambda own, *more, **named: getattr(own, str(node.target))(*more, **named)
        if node.op == "get_attr":
            return lambda: operator.attrgetter(str(node.target))(self.network)
        assert callable(node.target)
        return node.target
