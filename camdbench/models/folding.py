"""Convolution and batch norm in one step, in a network whose modules keep their names, weights and outputs.

A folded pair computes BN(conv(x)) as one convolution with scaled weights; the batch norm then returns its input. The pair runs as two
layers whenever something could see the difference: a hook on one of them, replaced torch functions, gradients of weights, training
mode, or another module in the place of the batch norm. Weights are scaled again when they change.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING, Any, NamedTuple, cast

import torch
from torch import Tensor, nn
from torch.nn.utils.fusion import fuse_conv_bn_eval, fuse_conv_bn_weights

from camdbench.models.capture import CapturedOutput, survey
from camdbench.models.network_check import probe_images

if TYPE_CHECKING:
    from torch.autograd.graph import Node

    from camdbench.models.classifier import Classifier


class FoldablePair(NamedTuple):
    """Names of a convolution and of the batch norm that alone reads its output."""

    conv: str
    norm: str


def foldable_pairs(classifier: Classifier, image_size: tuple[int, int]) -> list[FoldablePair]:
    """Pairs of `nn.Conv2d` and `nn.BatchNorm2d` that can be folded, by the autograd graph of one uncounted pass.

    Both run once, without hooks, and the batch norm with running statistics is the only reader of the convolution's output.
    """
    image = probe_images(image_size, classifier)[:1].requires_grad_()
    modules = dict(classifier.network.named_modules())
    with classifier.uncounted(), torch.inference_mode(mode=False), classifier.frozen():
        candidates = {name for name, module in modules.items() if _is_candidate(module)}
        with survey(classifier.network, lambda *_: None) as seen:
            logits = classifier.outputs(image)
    nodes = {name: found for name in candidates if (found := _node_of(seen.get(name))) is not None}
    convolutions = {node: name for name, node in nodes.items() if isinstance(modules[name], nn.Conv2d)}
    readers = _readers(logits.grad_fn)
    pairs = list[FoldablePair]()
    for name, module in modules.items():
        if name in nodes and isinstance(module, nn.BatchNorm2d):
            source = nodes[name].next_functions[0][0]
            if source in convolutions and readers[source] == 1:
                pairs.append(FoldablePair(convolutions[source], name))
    return pairs


def fold(network: nn.Module, pairs: list[FoldablePair]) -> None:
    """Fold the pairs of a network; names, types, weights and what hooks see stay."""
    for names in pairs:
        conv, norm = cast("nn.Conv2d", network.get_submodule(names.conv)), cast("nn.BatchNorm2d", network.get_submodule(names.norm))
        parent, _, child = names.norm.rpartition(".")
        pair = _Pair(conv, norm, network.get_submodule(parent), child)
        vars(conv)["forward"], vars(norm)["forward"] = _FoldedConv(pair), _SkippedNorm(pair)  # found before the class's own


def merge(network: nn.Module, pairs: list[FoldablePair]) -> None:
    """Replace each convolution of the pairs, which may be folded, by one with scaled weights, and each batch norm by nothing, for good."""
    for names in pairs:
        conv, norm = network.get_submodule(names.conv), network.get_submodule(names.norm)
        for module in (conv, norm):
            vars(module).pop("forward", None)
        network.set_submodule(names.conv, fuse_conv_bn_eval(cast("nn.Conv2d", conv), cast("nn.BatchNorm2d", norm)))
        network.set_submodule(names.norm, nn.Identity())


def is_watched(module: nn.Module) -> bool:
    """Whether a module has hooks."""
    own = vars(module)
    return bool(own["_forward_hooks"] or own["_forward_pre_hooks"] or own["_backward_hooks"] or own["_backward_pre_hooks"])


def are_functions_replaced() -> bool:
    """Whether a mode of torch is active that sees or replaces torch functions."""
    return bool(torch._C._len_torch_function_stack())  # pyright: ignore[reportPrivateUsage] - torch has no public name


def unfolded(module: nn.Module) -> Callable[..., Any]:
    """The module, or what computes its own output if it is one of a folded pair."""
    forward = vars(module).get("forward")
    return forward.plain if isinstance(forward, _FoldedConv | _SkippedNorm) else module


class _Pair:
    """A folded pair, and whether its convolution has just done the work of both."""

    def __init__(self, conv: nn.Conv2d, norm: nn.BatchNorm2d, parent: nn.Module, child: str) -> None:
        self.conv, self.norm, self.parent, self.child = conv, norm, parent, child
        self.is_done = False
        self._key: object = None
        self._folded: tuple[Tensor, Tensor] | None = None

    def __getstate__(self) -> dict[str, Any]:
        return vars(self) | {"is_done": False, "_key": None, "_folded": None}

    def weights(self) -> tuple[Tensor, Tensor] | None:
        """Weight and bias of the folded convolution; None while the pair has to run as two layers."""
        conv, norm = self.conv, self.norm
        if norm.training or is_watched(conv) or is_watched(norm) or getattr(self.parent, self.child, None) is not norm:
            return None
        own = (conv.weight, conv.bias, norm.weight, norm.bias, norm.running_mean, norm.running_var)
        if are_functions_replaced() or (torch.is_grad_enabled() and any(one is not None and one.requires_grad for one in own)):
            return None
        try:
            key = [(one.data_ptr(), 0 if one.is_inference() else one._version) for one in own if one is not None]
        except RuntimeError:  # tensors of a function transform have no storage
            return None
        if (found := (key, conv.weight.dtype, conv.weight.device)) != self._key:
            self._key, self._folded = found, self._scaled()
        return self._folded

    def _scaled(self) -> tuple[Tensor, Tensor]:
        conv, norm = self.conv, self.norm
        mean, variance = norm.running_mean, norm.running_var
        assert mean is not None
        assert variance is not None
        with torch.inference_mode(mode=False), torch.no_grad():
            weight, bias = fuse_conv_bn_weights(conv.weight, conv.bias, mean, variance, norm.eps, norm.weight, norm.bias)
        return weight.detach(), bias.detach()


class _FoldedConv:
    """Forward of the convolution of a pair."""

    def __init__(self, pair: _Pair) -> None:
        self._pair = pair

    def __call__(self, inputs: Tensor) -> Tensor:
        pair = self._pair
        pair.is_done = False
        if (weights := pair.weights()) is None:
            return self.plain(inputs)
        output = cast("Any", pair.conv)._conv_forward(inputs, *weights)
        pair.is_done = True
        return output

    def plain(self, inputs: Tensor) -> Tensor:
        """The convolution alone."""
        return nn.Conv2d.forward(self._pair.conv, inputs)


class _SkippedNorm:
    """Forward of the batch norm of a pair."""

    def __init__(self, pair: _Pair) -> None:
        self._pair = pair

    def __call__(self, inputs: Tensor) -> Tensor:
        if self._pair.is_done:
            self._pair.is_done = False
            return inputs
        return self.plain(inputs)

    def plain(self, inputs: Tensor) -> Tensor:
        """The batch norm alone."""
        return nn.BatchNorm2d.forward(self._pair.norm, inputs)


def _is_candidate(module: nn.Module) -> bool:
    if is_watched(module) or "forward" in vars(module):
        return False
    return type(module) is nn.Conv2d or (type(module) is nn.BatchNorm2d and module.running_mean is not None)


def _node_of(seen: CapturedOutput | None) -> Node | None:
    """Operation of a module that ran once; None for others."""
    return seen.node if seen is not None and seen.calls == 1 else None


def _readers(end: Any) -> dict[Any, int]:
    """How often each operation of the autograd graph is read on the way to `end`."""
    found, waiting, seen = dict[Any, int](), [end], {end}
    while waiting:
        node = waiting.pop()
        for source, _ in () if node is None else node.next_functions:
            if source is not None:
                found[source] = found.get(source, 0) + 1
                if source not in seen:
                    seen.add(source)
                    waiting.append(source)
    return found
