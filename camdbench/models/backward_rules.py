"""Backward rules other than the derivative, and what a network must be made of for them to have a meaning.

A rule takes the place of an operation while the network runs, wherever it is written: as a module, as a function, in
place, once or in several places. So nothing is hooked, and nothing can be missed in silence: what the graph of the
forward pass holds is looked at before it is believed.
"""

from __future__ import annotations

from collections.abc import Callable, Collection, Mapping
from typing import Any, cast

import torch
from torch import Tensor
from torch.autograd.graph import Node
from torch.overrides import TorchFunctionMode

from camdbench.core.errors import NotApplicable

ELEMENTWISE = (
    *("relu", "relu6", "leaky_relu", "elu", "celu", "selu", "gelu", "silu", "mish", "softplus"),
    *("sigmoid", "tanh", "hardtanh", "hardswish", "hardsigmoid"),
)
POOLING = ("max_pool2d",)

# Nodes of the graph, without the "Backward0": affine in what flows through them.
_LINEAR = frozenset(
    (
        *("Convolution", "ConvolutionOverrideable", "MkldnnConvolution", "CudnnConvolution"),
        *("Addmm", "Mm", "Bmm", "Linear", "MkldnnLinear"),
        *("NativeBatchNorm", "CudnnBatchNorm", "MiopenBatchNorm", "Add", "Sub", "Rsub", "Neg", "Mul", "Div", "Mean", "Sum"),
        *("AvgPool2D", "AdaptiveAvgPool2D", "MkldnnAdaptiveAvgPool2D", "UpsampleBilinear2D", "UpsampleNearest2D"),
        *("View", "UnsafeView", "ReshapeAlias", "Alias", "T", "Transpose", "Permute", "Squeeze", "Unsqueeze", "Expand", "Repeat"),
        *("Cat", "Stack", "Slice", "Select", "Split", "SplitWithSizes", "Unbind", "Index", "Gather", "ConstantPadNd", "ReflectionPad2D"),
        *("Clone", "ToCopy", "AsStrided", "PixelShuffle", "AccumulateGrad"),
    )
)
MAXIMA = frozenset({"MaxPool2DWithIndices", "AdaptiveMaxPool2D"})
_PRODUCTS = frozenset({"Mul", "Div", "Mm", "Bmm", "Addmm", "Linear", "Convolution"})

Rule = Callable[..., Tensor]


class BackwardRules(TorchFunctionMode):
    """Inside the block, each named function is replaced by its rule, called as rule(function, input, …).

    >>> with BackwardRules({"relu": lambda function, inputs: function(inputs) + 1}):
    ...     torch.relu(torch.tensor([-1.0, 1.0])).tolist()
    [1.0, 2.0]
    """

    def __init__(self, rules: Mapping[str, Rule]) -> None:
        super().__init__()
        self._rules = rules

    def __torch_function__(
        self, func: Callable[..., Any], types: Collection[type], args: tuple[Any, ...] = (), kwargs: Mapping[str, Any] | None = None
    ) -> Any:
        """Called by PyTorch in place of every function."""
        del types
        rule = self._rules.get(getattr(func, "__name__", "").rstrip("_"))
        return func(*args, **(kwargs or {})) if rule is None else rule(func, *args, **(kwargs or {}))


def guided_relu(function: Callable[..., Tensor], inputs: Tensor, *args: object, **kwargs: object) -> Tensor:
    """A ReLU that hands back the positive part of the gradient only (Springenberg et al. 2015, figure 1)."""
    del function, args, kwargs
    return cast("Tensor", _GuidedRelu.apply(inputs))


class _GuidedRelu(torch.autograd.Function):
    @staticmethod
    def forward(ctx: Any, inputs: Tensor) -> Tensor:
        ctx.save_for_backward(inputs)
        return inputs.relu()

    @staticmethod
    def backward(ctx: Any, *grad_outputs: Tensor) -> Tensor:
        (inputs,) = ctx.saved_tensors
        return torch.where(inputs > 0, grad_outputs[0].relu(), 0)


def rescale(function: Callable[..., Tensor], inputs: Tensor, *args: object, **kwargs: object) -> Tensor:
    """An elementwise function with the slope between an input and its reference (Shrikumar et al. 2017, section 3.5.1).

    The first half of the batch are inputs, the second half their references; only the first half gets a gradient.
    """
    return cast("Tensor", _Rescale.apply(inputs, lambda values: function(values.clone(), *args, **kwargs)))  # may write in place


class _Remembering(torch.autograd.Function):
    """Keeps the function and both of its sides for the rule by which a subclass goes back."""

    @staticmethod
    def forward(ctx: Any, inputs: Tensor, function: Callable[[Tensor], Tensor]) -> Tensor:
        ctx.function = function
        outputs = function(inputs)
        ctx.save_for_backward(inputs, outputs)
        return outputs


class _Rescale(_Remembering):
    @staticmethod
    def backward(ctx: Any, *grad_outputs: Tensor) -> tuple[Tensor, None]:
        inputs, outputs = ctx.saved_tensors
        gradient = grad_outputs[0].chunk(2)[0]
        across, along = _differences(inputs), _differences(outputs)
        plain = _derivative(ctx.function, inputs, grad_outputs[0]).chunk(2)[0]
        slope = gradient * along / torch.where(across.abs() < _SAME, 1, across)
        return _first_half(torch.where(across.abs() < _SAME, plain, slope)), None


def rescale_maximum(function: Callable[..., Tensor], inputs: Tensor, *args: object, **kwargs: object) -> Tensor:
    """Max pooling by the same rule: the change of each maximum goes to the place that it comes from.

    A maximum that the input raises is credited to the input's largest place, one that it lowers to the reference's.
    """
    return cast("Tensor", _RescaleMaximum.apply(inputs, lambda values: function(values, *args, **kwargs)))


class _RescaleMaximum(_Remembering):
    @staticmethod
    def backward(ctx: Any, *grad_outputs: Tensor) -> tuple[Tensor, None]:
        inputs, outputs = ctx.saved_tensors
        gradient = grad_outputs[0].chunk(2)[0]
        change = _differences(outputs) * gradient
        raised = _differences(outputs) > 0
        credited = torch.cat([torch.where(raised, change, 0), torch.where(raised, 0, change)])
        parts = _derivative(ctx.function, inputs, credited).chunk(2)
        across = _differences(inputs)
        plain = _derivative(ctx.function, inputs, grad_outputs[0]).chunk(2)[0]
        slope = (parts[0] + parts[1]) / torch.where(across.abs() < _SAME, 1, across)
        return _first_half(torch.where(across.abs() < _SAME, plain, slope)), None


_SAME = 1e-6  # inputs as near as this have the derivative for a slope: rounding would decide the quotient


def _differences(pairs: Tensor) -> Tensor:
    own, reference = pairs.chunk(2)
    return own - reference


def _first_half(gradient: Tensor) -> Tensor:
    return torch.cat([gradient, torch.zeros_like(gradient)])


def _derivative(function: Callable[[Tensor], Tensor], inputs: Tensor, gradient: Tensor) -> Tensor:
    with torch.enable_grad():
        leaf = inputs.detach().requires_grad_()
        return torch.autograd.grad(function(leaf), leaf, gradient)[0]


def check_made_of(output: Tensor, images: Tensor, method: str, allowed: Collection[str]) -> set[str]:
    """The kinds of operations between `images` and `output`, after making sure that each is affine or allowed.

    Args:
        output: what the network returned.
        images: the leaf that it was computed from.
        method: opens the complaint.
        allowed: kinds of nodes, such as `MaxPool2DWithIndices`, or names of the functions that rules build.

    Raises:
        NotApplicable: another operation is among them, or a product of two things that both depend on the image.
    """
    between = _between(output, images)  # from the output on, so that the complaint is the same every time
    kinds = set[str]()
    for node in between:
        kind = node.name().rpartition("::")[2].rstrip("0123456789").removesuffix("Backward")
        kinds.add(kind)
        if kind not in _LINEAR and kind not in allowed:
            raise NotApplicable(f"{method} is not defined for the operation {kind} in this network")
        if kind in _PRODUCTS and sum(source in between for source, _ in node.next_functions) > 1:
            raise NotApplicable(f"{method} is not defined for a product of two activations ({kind}) in this network")
    return kinds


def _between(output: Tensor, images: Tensor) -> dict[Node, None]:
    """The nodes of the graph that lie on a way from the images, a leaf, to the output, in an order that depends on the graph alone."""
    users = dict[Node, list[Node]]()
    seen, waiting = dict[Node, None](), [cast("Node", output.grad_fn)]
    while waiting:
        node = waiting.pop()
        if node not in seen:
            seen[node] = None
            for source, _ in node.next_functions:
                if source is not None:
                    users.setdefault(source, []).append(node)
                    waiting.append(source)
    found = set[Node]()
    waiting = [node for node in seen if getattr(node, "variable", None) is images]
    while waiting:
        node = waiting.pop()
        if node not in found:
            found.add(node)
            waiting += users.get(node, [])
    return {node: None for node in seen if node in found}


def check_same_logits(found: Tensor, expected: Tensor, method: str) -> None:
    """Make sure that the rules have left what the network computes as it was.

    Raises:
        NotApplicable: they have not; the network writes to an activation in place and drops what the function returns.
    """
    scale = expected.abs().amax(1, keepdim=True).clamp_min(torch.finfo(expected.dtype).tiny)
    if bool(((found.detach() - expected).abs() > 1e-3 * scale).any()):  # never of an image without finite logits, whose rows say so
        raise NotApplicable(f"{method} cannot follow this network: its logits change when its nonlinearities are replaced")
