"""Modified backward rules (Guided Backpropagation, deconvolution, DeepLIFT), and checks that a network permits them.

A rule replaces a torch function during the forward pass, however it is called: as a module, a function or in place. No
hooks are needed; the autograd graph is then checked for operations without a rule.
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

# Names of autograd nodes without "Backward0". First those that copy, move or leave out values.
STRUCTURAL = frozenset(
    (
        *("View", "UnsafeView", "ReshapeAlias", "Alias", "T", "Transpose", "Permute", "Squeeze", "Unsqueeze", "Expand", "Repeat", "Flip"),
        *("Cat", "Stack", "Slice", "Select", "Split", "SplitWithSizes", "Unbind", "Index", "Gather", "ConstantPadNd", "ReflectionPad2D"),
        *("Clone", "ToCopy", "AsStrided", "PixelShuffle", "UpsampleNearest2D", "AccumulateGrad"),
    )
)
_AFFINE = STRUCTURAL | frozenset(
    (
        *("Convolution", "ConvolutionOverrideable", "MkldnnConvolution", "CudnnConvolution"),
        *("Addmm", "Mm", "Bmm", "Linear", "MkldnnLinear"),
        *("NativeBatchNorm", "CudnnBatchNorm", "MiopenBatchNorm", "Add", "Sub", "Rsub", "Neg", "Mul", "Div", "Mean", "Sum"),
        *("AvgPool2D", "AdaptiveAvgPool2D", "MkldnnAdaptiveAvgPool2D", "UpsampleBilinear2D"),
    )
)
MAXIMA = frozenset({"MaxPool2DWithIndices", "AdaptiveMaxPool2D"})
_PRODUCTS = frozenset({"Mul", "Div", "Mm", "Bmm", "Addmm", "Linear", "Convolution"})

Rule = Callable[..., Tensor]


class BackwardRules(TorchFunctionMode):
    """Inside the context each named torch function is replaced by its rule, called as rule(function, input, …).

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
        """Called by PyTorch instead of every function."""
        del types
        rule, options = self._rules.get(getattr(func, "__name__", "").rstrip("_")), dict(kwargs or {})
        if rule is None:
            return func(*args, **options)
        first = (options.pop("input"),) if "input" in options else ()  # torch's name
        return rule(func, *first, *args, **options)


def guided_relu(function: Callable[..., Tensor], inputs: Tensor, *args: object, **kwargs: object) -> Tensor:
    """ReLU that propagates only the positive part of the gradient (Springenberg et al. 2015, figure 1)."""
    del function, args, kwargs
    return cast("Tensor", _GuidedRelu.apply(inputs))


def deconvolution_relu(function: Callable[..., Tensor], inputs: Tensor, *args: object, **kwargs: object) -> Tensor:
    """ReLU on the way back, whatever its input was (Zeiler and Fergus 2014, section 2.1)."""
    del function, args, kwargs
    return cast("Tensor", _DeconvolutionRelu.apply(inputs))


class _DeconvolutionRelu(torch.autograd.Function):
    @staticmethod
    def forward(ctx: Any, inputs: Tensor) -> Tensor:
        del ctx
        return inputs.relu()

    @staticmethod
    def backward(ctx: Any, *grad_outputs: Tensor) -> Tensor:
        del ctx
        return grad_outputs[0].relu()


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
    """Rescale rule: elementwise function with the slope between input and reference (Shrikumar et al. 2017, section 3.5.2).

    The first half of the batch are inputs, the second half their references; only the first half receives a gradient.
    """
    return cast("Tensor", _Rescale.apply(inputs, lambda values: function(values.clone(), *args, **kwargs)))  # may be in place


class _SavesBothSides(torch.autograd.Function):
    """Saves the function, its inputs and its outputs for the backward rule of a subclass."""

    @staticmethod
    def forward(ctx: Any, inputs: Tensor, function: Callable[[Tensor], Tensor]) -> Tensor:
        ctx.function = function
        outputs = function(inputs)
        ctx.save_for_backward(inputs, outputs)
        return outputs


class _Rescale(_SavesBothSides):
    @staticmethod
    def backward(ctx: Any, *grad_outputs: Tensor) -> tuple[Tensor, None]:
        inputs, outputs = ctx.saved_tensors
        gradient = grad_outputs[0].chunk(2)[0]
        in_change, out_change = _differences(inputs), _differences(outputs)
        derivative = _derivative(ctx.function, inputs, grad_outputs[0]).chunk(2)[0]
        slope = gradient * out_change / torch.where(in_change.abs() < _SAME, 1, in_change)
        return _first_half(torch.where(in_change.abs() < _SAME, derivative, slope)), None


def rescale_maximum(function: Callable[..., Tensor], inputs: Tensor, *args: object, **kwargs: object) -> Tensor:
    """Rescale rule for max pooling: the change of each maximum is attributed to its location.

    If the input raises the maximum, that is the input's largest location, else the reference's.
    """
    return cast("Tensor", _RescaleMaximum.apply(inputs, lambda values: function(values, *args, **kwargs)))


class _RescaleMaximum(_SavesBothSides):
    @staticmethod
    def backward(ctx: Any, *grad_outputs: Tensor) -> tuple[Tensor, None]:
        inputs, outputs = ctx.saved_tensors
        gradient = grad_outputs[0].chunk(2)[0]
        change = _differences(outputs) * gradient
        raised = _differences(outputs) > 0
        credited = torch.cat([torch.where(raised, change, 0), torch.where(raised, 0, change)])
        parts = _derivative(ctx.function, inputs, credited).chunk(2)
        in_change = _differences(inputs)
        derivative = _derivative(ctx.function, inputs, grad_outputs[0]).chunk(2)[0]
        slope = (parts[0] + parts[1]) / torch.where(in_change.abs() < _SAME, 1, in_change)
        return _first_half(torch.where(in_change.abs() < _SAME, derivative, slope)), None


_SAME = 1e-6  # inputs closer than this use the derivative: the quotient would be rounding noise


def _differences(pairs: Tensor) -> Tensor:
    own, reference = pairs.chunk(2)
    return own - reference


def _first_half(gradient: Tensor) -> Tensor:
    return torch.cat([gradient, torch.zeros_like(gradient)])


def _derivative(function: Callable[[Tensor], Tensor], inputs: Tensor, gradient: Tensor) -> Tensor:
    with torch.enable_grad():
        leaf = inputs.detach().requires_grad_()
        return torch.autograd.grad(function(leaf), leaf, gradient)[0]


def check_operations(output: Tensor, images: Tensor, method: str, allowed: Collection[str], known: Collection[str] = _AFFINE) -> set[str]:
    """Kinds of operations between `images` and `output`; each must be known or allowed.

    Args:
        output: network output.
        images: leaf that it was computed from.
        method: starts the error message.
        allowed: names of nodes, such as `MaxPool2DWithIndices`, or of the functions of rules.
        known: names of nodes whose plain way back is right; default: the affine ones.

    Raises:
        NotApplicable: another operation, or a product of two image-dependent factors.
    """
    between = _between(output, images)  # ordered from the output: a deterministic error message
    kinds = set[str]()
    for node in between:
        kind = node.name().rpartition("::")[2].rstrip("0123456789").removesuffix("Backward")
        kinds.add(kind)
        if kind not in known and kind not in allowed:
            raise NotApplicable(f"{method} is not defined for the operation {kind} in this network")
        if kind in _PRODUCTS and sum(source in between for source, _ in node.next_functions) > 1:
            raise NotApplicable(f"{method} is not defined for a product of two activations ({kind}) in this network")
    return kinds


def _between(output: Tensor, images: Tensor) -> dict[Node, None]:
    """Nodes of the graph on a path from the images, a leaf, to the output; the order depends on the graph alone."""
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
    """Check that the rules do not change the logits.

    Raises:
        NotApplicable: they do; the network writes to an activation in place and ignores the function's return value.
    """
    scale = expected.abs().amax(1, keepdim=True).clamp_min(torch.finfo(expected.dtype).tiny)
    if bool(((found.detach() - expected).abs() > 1e-3 * scale).any()):  # False for logits that are not finite
        raise NotApplicable(f"{method} is not defined for this network: its logits change when its nonlinearities are replaced")
