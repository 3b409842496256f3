"""Layer-wise relevance propagation as rules of torch functions: inside `Relevance` a network passes relevance back, not gradients.

The rules see functions, however they are called, so nothing is hooked, and residual sums and functional layers are found. A batch norm
that reads the output of a linear layer or convolution is folded into its weight. The outputs of all functions stay as they are.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import partial
from typing import Any, NamedTuple, cast

import torch
from torch import Tensor
from torch.autograd.graph import Node
from torch.nn.utils.fusion import fuse_conv_bn_weights

from camdbench.core.errors import NotApplicable
from camdbench.models.backward_rules import ELEMENTWISE, MAXIMA, STRUCTURAL, BackwardRules, Rule, check_operations
from camdbench.models.relevance_rules import LinearMap, LinearRule, proportional, stabilised

_CONVOLUTIONS = ("conv1d", "conv2d", "conv3d")
_AVERAGES = (*(f"{kind}avg_pool{n}d" for kind in ("", "adaptive_") for n in (1, 2, 3)), "mean", "sum", "interpolate")
_SCALES = ("mul", "div", "true_divide", "multiply", "divide", "__rdiv", "__rtruediv")
_SOURCE = "_linear_layer"  # attribute of an output: the layer that it comes from
_UNPADDED = "_unpadded"  # attribute of a tensor with zeros around it: the tensor without them

Compute = Callable[[Tensor], Tensor]


@dataclass(frozen=True)
class Composite:
    """Rules by kind of layer.

    Attributes:
        convolution: rule of convolutions.
        dense: rule of linear layers.
        first_convolution: rule of a convolution that reads the image; default: `convolution`.
        first_dense: rule of a linear layer that reads the image; default: `dense`.
    """

    convolution: LinearRule
    dense: LinearRule
    first_convolution: LinearRule | None = None
    first_dense: LinearRule | None = None

    def rule_for(self, name: str, *, is_first: bool) -> LinearRule:
        """Rule of a function such as `conv2d`."""
        rule, first = (self.dense, self.first_dense) if name == "linear" else (self.convolution, self.first_convolution)
        return first if is_first and first is not None else rule


class Relevance(BackwardRules):
    """Inside the context, the gradient of a function of images is relevance.

    Linear layers and convolutions follow the composite. Sums of two activations, average pools and interpolations split relevance in
    proportion to their terms. Activation functions, constant factors and summands, and other batch norms pass it on.

    Args:
        composite: rules of linear layers and convolutions.
        biases: whether biases of linear layers, convolutions and folded batch norms count; without them, rules conserve relevance.
    """

    def __init__(self, composite: Composite, *, biases: bool = True) -> None:
        self._composite, self._biases = composite, biases
        rules: dict[str, Rule] = dict.fromkeys((*_CONVOLUTIONS, "linear"), self._linear)
        rules |= dict.fromkeys((*ELEMENTWISE, "neg"), _kept) | dict.fromkeys(_AVERAGES, _averaged) | dict.fromkeys(_SCALES, _scaled)
        rules |= {"batch_norm": self._batch_norm, "add": self._add, "sub": self._subtract, "__rsub": self._subtract_from, "pad": _padded}
        super().__init__({name: _unless_constant(rule) for name, rule in rules.items()})

    def _linear(self, function: Rule, inputs: Tensor, weight: Tensor, bias: Tensor | None = None, *args: Any, **kwargs: Any) -> Tensor:
        bias = bias if self._biases else None
        if weight.requires_grad:
            raise NotApplicable(f"lrp is not defined for {function.__name__} with weights that depend on the image")
        inputs, pad = _without_padding(inputs)
        layer = LinearMap(lambda values, own, shift: function(pad(values), own, shift, *args, **kwargs), weight, bias)
        rule = self._composite.rule_for(function.__name__, is_first=_reads_image(inputs))
        output = _linear_layer(inputs, lambda values: layer.apply(values, weight, bias), layer, rule)
        vars(output)[_SOURCE] = _Source(inputs, layer, rule, output._version)
        return output

    def _batch_norm(
        self,
        function: Rule,
        inputs: Tensor,
        running_mean: Tensor | None,
        running_var: Tensor | None,
        weight: Tensor | None = None,
        bias: Tensor | None = None,
        training: bool = False,
        momentum: float = 0.1,
        eps: float = 1e-5,
    ) -> Tensor:
        del momentum
        if training or running_mean is None or running_var is None:
            raise NotApplicable("lrp is not defined for a batch norm that uses the statistics of the batch")
        source = cast("_Source | None", vars(inputs).get(_SOURCE))
        if source is None or source.version != inputs._version:
            return _passed(inputs, lambda values: function(values, running_mean, running_var, weight, bias, eps=eps))
        own, values = source.layer, inputs.detach()
        scaled, shift = fuse_conv_bn_weights(own.weight, own.bias, running_mean, running_var, eps, weight, bias)
        if not self._biases:
            running_mean, bias = torch.zeros_like(running_mean), None
        folded = LinearMap(own.apply, scaled, shift if self._biases else None)
        compute = partial(function, values, running_mean, running_var, weight, bias, eps=eps)
        return _linear_layer(source.inputs, lambda _: compute(), folded, source.rule)

    def _add(self, function: Rule, inputs: Any, other: Any, *, alpha: float = 1) -> Tensor:
        del function
        if isinstance(other, Tensor) and other.requires_grad:
            other = other if alpha == 1 else _passed(other, lambda values: alpha * values)
            return cast("Tensor", _Split.apply(inputs, other)) if _is_of_images(inputs) else _passed(other, lambda values: inputs + values)
        return _passed(inputs, lambda values: values + alpha * other)

    def _subtract(self, function: Rule, inputs: Any, other: Any, *, alpha: float = 1) -> Tensor:
        return self._add(function, inputs, other, alpha=-alpha)

    def _subtract_from(self, function: Rule, inputs: Tensor, other: Any) -> Tensor:
        return self._add(function, other, inputs, alpha=-1)


def check_relevance(output: Tensor, images: Tensor, method: str) -> None:
    """Check that every operation between `images`, a leaf, and the output has a rule, or only moves values.

    Raises:
        NotApplicable: naming the operation.
    """
    check_operations(output, images, method, {"_LinearLayer", "_Split", "_Average", "_Passed", *MAXIMA}, STRUCTURAL)


class _Source(NamedTuple):
    """The linear layer that a tensor is the output of, while the tensor has that version."""

    inputs: Tensor
    layer: LinearMap
    rule: LinearRule
    version: int


class _Unpadded(NamedTuple):
    """A tensor, and the function that puts zeros around it."""

    inputs: Tensor
    pad: Compute


class _LinearLayer(torch.autograd.Function):
    @staticmethod
    def forward(ctx: Any, inputs: Tensor, compute: Compute, layer: LinearMap, rule: LinearRule) -> Tensor:
        ctx.save_for_backward(inputs)
        ctx.layer, ctx.rule = layer, rule
        return compute(inputs)

    @staticmethod
    def backward(ctx: Any, *grad_outputs: Tensor) -> tuple[Tensor, None, None, None]:
        (inputs,) = ctx.saved_tensors
        return ctx.rule(ctx.layer, inputs, grad_outputs[0]), None, None, None


class _Average(torch.autograd.Function):
    @staticmethod
    def forward(ctx: Any, inputs: Tensor, compute: Compute) -> Tensor:
        ctx.save_for_backward(inputs)
        ctx.compute = compute
        return compute(inputs)

    @staticmethod
    def backward(ctx: Any, *grad_outputs: Tensor) -> tuple[Tensor, None]:
        (inputs,) = ctx.saved_tensors
        return proportional(ctx.compute, inputs, grad_outputs[0]), None


class _Split(torch.autograd.Function):
    @staticmethod
    def forward(ctx: Any, first: Tensor, second: Tensor) -> Tensor:
        ctx.save_for_backward(first, second)
        return first + second

    @staticmethod
    def backward(ctx: Any, *grad_outputs: Tensor) -> tuple[Tensor, Tensor]:
        first, second = ctx.saved_tensors
        share = grad_outputs[0] / stabilised(first + second)
        return (first * share).sum_to_size(first.shape), (second * share).sum_to_size(second.shape)


class _Passed(torch.autograd.Function):
    @staticmethod
    def forward(ctx: Any, inputs: Tensor, compute: Compute) -> Tensor:
        del ctx
        return compute(inputs.clone())  # which may be in place

    @staticmethod
    def backward(ctx: Any, *grad_outputs: Tensor) -> tuple[Tensor, None]:
        del ctx
        return grad_outputs[0], None


def _linear_layer(inputs: Tensor, compute: Compute, layer: LinearMap, rule: LinearRule) -> Tensor:
    return cast("Tensor", _LinearLayer.apply(inputs, compute, layer, rule))


def _passed(inputs: Tensor, compute: Compute) -> Tensor:
    """The output of a function that passes relevance on, element by element.

    Raises:
        NotApplicable: it changes the shape.
    """
    output = cast("Tensor", _Passed.apply(inputs, compute))
    if output.shape != inputs.shape:
        change = f"from {tuple(inputs.shape)} to {tuple(output.shape)}"
        raise NotApplicable(f"lrp is not defined for a constant that changes the shape of an activation {change}")
    return output


def _padded(function: Rule, inputs: Tensor, pad: Sequence[int], mode: str = "constant", value: float | None = None) -> Tensor:
    output = function(inputs, pad, mode, value)
    if mode == "constant" and not value and min(pad) >= 0:
        vars(output)[_UNPADDED] = _Unpadded(inputs, partial(function, pad=pad))
    return output


def _without_padding(inputs: Tensor) -> _Unpadded:
    """A tensor without the zeros around it, which receive no relevance, and the function that adds them."""
    return cast("_Unpadded", vars(inputs).get(_UNPADDED, _Unpadded(inputs, lambda values: values)))


def _kept(function: Rule, inputs: Tensor, *args: Any, **kwargs: Any) -> Tensor:
    return _passed(inputs, lambda values: function(values, *args, **kwargs))


def _averaged(function: Rule, inputs: Tensor, *args: Any, **kwargs: Any) -> Tensor:
    return cast("Tensor", _Average.apply(inputs, lambda values: function(values, *args, **kwargs)))


def _scaled(function: Rule, inputs: Any, other: Any, **kwargs: Any) -> Tensor:
    if not _is_of_images(other) and "__r" not in function.__name__:
        return _passed(inputs, lambda values: function(values, other, **kwargs))
    if _is_of_images(inputs) or "mul" not in function.__name__:
        raise NotApplicable("lrp is not defined for a product or quotient of two activations")
    return _passed(other, lambda values: function(inputs, values, **kwargs))


def _unless_constant(rule: Rule) -> Rule:
    """The rule where an argument depends on the images, and else the function itself."""

    def either(function: Rule, *args: Any, **kwargs: Any) -> Tensor:
        return (rule if any(map(_is_of_images, (*args, *kwargs.values()))) else _called)(function, *args, **kwargs)

    return either


def _called(function: Rule, *args: Any, **kwargs: Any) -> Tensor:
    return function(*args, **kwargs)


def _is_of_images(value: object) -> bool:
    return isinstance(value, Tensor) and value.requires_grad


def _reads_image(inputs: Tensor) -> bool:
    """Whether no linear layer or convolution lies between the images and a tensor."""
    waiting, seen = [inputs.grad_fn], set[Node]()
    while waiting:
        node = waiting.pop()
        if node is None or node in seen:
            continue
        if "_LinearLayer" in node.name():
            return False
        seen.add(node)
        waiting += [source for source, _ in node.next_functions]
    return True
