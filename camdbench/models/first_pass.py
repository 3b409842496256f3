"""First look at a network: one pass of one image forwards and backwards, in which all layers are observed."""

from __future__ import annotations

from collections.abc import Mapping
from contextlib import nullcontext
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

import torch
from torch import Tensor
from torch.autograd.graph import Node

from camdbench.core.errors import UsageError, first_line
from camdbench.models.capture import CapturedOutput, survey
from camdbench.models.network_output import to_logits
from camdbench.models.pass_counts import PassCounts
from camdbench.models.tensor_layout import TensorLayout, possible_layouts

if TYPE_CHECKING:
    from camdbench.models.classifier import Classifier

_AFFINE = ("AddmmBackward0", "MmBackward0", "ConvolutionBackward0")
_VIEWS = ("ViewBackward0", "ReshapeAliasBackward0", "SqueezeBackward0", "SqueezeBackward1", "ToCopyBackward0")

# In names of autograd nodes; `hardtanh` is ReLU6.
_ACTIVATIONS = ("relu", "elu", "silu", "swish", "mish", "hardtanh", "softplus", "sigmoid", "tanh")


@dataclass
class Observed:
    """What the layers of a network did in the pass.

    Attributes:
        records: by name of a module.
        layouts: possible layouts of the gradient at the output of a module, by its name.
        followers: activation function that the output of a module enters directly, by its name.
        problem: why the layers cannot be observed; empty if they can.
    """

    records: dict[str, CapturedOutput] = field(default_factory=dict[str, CapturedOutput])
    layouts: dict[str, list[TensorLayout]] = field(default_factory=dict[str, list[TensorLayout]])
    followers: dict[str, str] = field(default_factory=dict[str, str])
    problem: str = ""


@dataclass(frozen=True)
class FirstPass:
    """Result of the pass.

    Attributes:
        outputs: (1, C), before any conversion.
        gradient_problem: why they have no gradient; empty if they have one.
        affine: whether a linear layer or a convolution is the last step.
        layers: what the layers did.
    """

    outputs: Tensor
    gradient_problem: str
    affine: bool
    layers: Observed


def check_outputs(classifier: Classifier, images: Tensor) -> Tensor:
    """What the network returns for images (B, 3, H, W); counted among the passes of checks."""
    classifier.check_passes += PassCounts(forward=len(images))
    return classifier.outputs(images)


def first_pass(classifier: Classifier, image: Tensor) -> FirstPass:
    """Pass one image (1, 3, H, W) forwards and backwards; a network that fails while it is observed has another pass alone.

    Raises:
        Exception: as the network does without observation.
    """
    seen = Observed()
    try:
        found = _pass(classifier, image, seen)
        seen.problem = found.gradient_problem if found.outputs.requires_grad else ""
    except torch.OutOfMemoryError:
        raise
    except Exception as error:  # raised by the network
        found, seen.problem = None, first_line(error)
    if found is None or seen.problem:
        alone = _pass(classifier, image, None)
        if found is not None and alone.gradient_problem:
            seen.problem = ""  # with or without observation
        found = FirstPass(alone.outputs, alone.gradient_problem, alone.affine, seen)
    return FirstPass(found.outputs.detach(), found.gradient_problem, found.affine, seen)


def _pass(classifier: Classifier, image: Tensor, seen: Observed | None) -> FirstPass:
    leaf = image.clone().requires_grad_()
    modules, size = dict(classifier.network.named_modules()), (image.shape[-2], image.shape[-1])

    def any_gradient(name: str, gradient: Tensor) -> Tensor | None:
        assert seen is not None
        seen.layouts[name] = layouts_of(classifier, modules[name], tuple(gradient.shape), size)
        return seen.layouts[name][0].to_grid(gradient).ne(0).any() if len(seen.layouts[name]) == 1 else None

    with torch.enable_grad(), nullcontext({}) if seen is None else survey(classifier.network, any_gradient) as records:
        outputs = check_outputs(classifier, leaf)
        if len(outputs) != 1:
            raise UsageError(f"{classifier.name}: {len(outputs)} rows of outputs for one image; return one row per image")
        logits = to_logits(outputs, classifier.output)
        if seen is not None:
            seen.records, seen.followers = records, _followers(logits, records)
        affine = _is_affine(outputs.grad_fn)
        return FirstPass(outputs, _gradient_problem(classifier, logits, leaf), affine, seen or Observed())


def _gradient_problem(classifier: Classifier, logits: Tensor, leaf: Tensor) -> str:
    """Why logits (1, C) have no gradient at the image; computes it by one backward pass."""
    if not logits.requires_grad:
        return "its outputs carry no gradients: they are computed under torch.no_grad, or detached"
    classifier.check_passes += PassCounts(backward=1)
    weights = torch.randn(logits.shape, generator=torch.Generator().manual_seed(0)).to(logits.device)  # avoids cancellation of classes
    try:
        torch.autograd.grad((logits * weights).sum(), leaf)
    except torch.OutOfMemoryError:
        raise
    except Exception as error:  # operations without a derivative raise many types
        return f"it cannot be differentiated ({first_line(error)})"
    return ""


def layouts_of(classifier: Classifier, module: torch.nn.Module, shape: tuple[int, ...], size: tuple[int, int]) -> list[TensorLayout]:
    """Layouts of an output of that shape that fit images of (height, width)."""
    return possible_layouts(shape, size, module, classifier.network, classifier.prefix_tokens)


def _is_affine(step: Any) -> bool:
    """Whether a step of autograd's graph is a linear layer or a convolution, perhaps behind views; False without a graph."""
    while step is not None and step.name() in _VIEWS:
        step = step.next_functions[0][0]
    return step is not None and step.name() in _AFFINE


def _followers(logits: Tensor, records: Mapping[str, CapturedOutput]) -> dict[str, str]:
    """Activation functions in the autograd graph whose input is the output of a module, by the module's name; lets go of the graph."""
    makers = dict[Node, list[str]]()
    for name, record in records.items():
        if record.node is not None:
            makers.setdefault(record.node, []).append(name)
    found = dict[str, str]()
    seen, waiting = set[Node](), [logits.grad_fn]
    while waiting:
        node = waiting.pop()
        if node is None or node in seen:
            continue
        seen.add(node)
        sources = [source for source, _ in node.next_functions]
        kind = node.name().rpartition("::")[2].partition("Backward")[0].lower()
        if sources and sources[0] is not None and any(function in kind for function in _ACTIVATIONS):
            found |= dict.fromkeys(makers.get(sources[0], []), kind)
        waiting += sources
    for record in records.values():
        record.node = None  # the graph is not needed any more
    return found
