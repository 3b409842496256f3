"""Copies of classifiers that compute the same network faster, with the effect on the logits."""

from __future__ import annotations

import warnings
from collections.abc import Callable
from copy import deepcopy
from dataclasses import replace
from typing import Any, TypeVar

import torch
from torch import Tensor, nn

from camdbench.core.errors import UsageError, first_line
from camdbench.core.network_options import Optimize, check_choice
from camdbench.models.classifier import Classifier
from camdbench.models.folding import FoldablePair, fold, foldable_pairs, merge
from camdbench.models.logit_effect import TOLERANCE, LogitEffect, logit_effect
from camdbench.models.network_check import probe_images
from camdbench.models.network_output import tensor_of
from camdbench.models.optimisation import CompiledGraph, Optimisation
from camdbench.models.pass_counts import PassCounts

T = TypeVar("T")
_FIXES = {"layout": "use optimize=none", "fold": "use layout or none", "compile": "use fold, layout or none"}


def optimised(classifier: Classifier, optimize: Optimize = "fold", *, image_size: tuple[int, int] | None = None) -> Classifier:
    """A copy of a classifier whose passes cost less and whose logits differ by rounding; the classifier is left as it is.

    Args:
        classifier: the model. Later changes of its weights do not reach the copy.
        optimize: `layout`: weights in the memory format channels_last; `fold`: also convolutions and the batch norms behind them in one
            step; `compile`: also passes without gradients in a compiled graph, on a CPU by oneDNN in `torch.jit`, elsewhere by
            `torch.compile`; `none`: the classifier itself.
        image_size: height and width of the images; default: the classifier's input size.

    Returns:
        The copy, with its own pass counts. Layers keep their names and outputs: a pair of layers that a method looks into is computed
        as it was. `.optimisation.effect` is the largest difference of logits on two fixed images.

    >>> network = nn.Sequential(nn.Conv2d(3, 4, 3), nn.BatchNorm2d(4), nn.ReLU(), nn.AdaptiveAvgPool2d(1), nn.Flatten(), nn.Linear(4, 5))
    >>> copy = optimised(Classifier(network.eval(), layer="2", mean=0.5, std=0.25, input_size=32), "fold")
    >>> copy.optimisation.folded, copy.optimisation.effect.difference < 1e-5
    (1, True)

    Raises:
        UsageError: unknown word, a classifier that is optimised already, or a network that cannot be optimised so.
    """
    kind = check_choice("optimize", optimize, Optimize)
    if kind == "none":
        return classifier
    if classifier.optimisation is not None:
        raise UsageError(f"optimize = {kind}: {classifier.name} is optimised already ({classifier.optimize}); give the classifier itself")
    size = image_size or (classifier.input_size, classifier.input_size)
    with torch.inference_mode(mode=False):
        copy = _attempt("it cannot be copied in channels_last", kind, classifier, lambda: _copied(classifier))
        copy.optimize, copy.optimisation = kind, Optimisation(kind, classifier)
        if kind != "layout":
            pairs = _attempt("a pass fails", kind, classifier, lambda: foldable_pairs(copy, size))
            fold(copy.network, pairs)
            copy.optimisation.folded = len(pairs)
            if kind == "compile":
                copy.optimisation.graph = _attempt("it cannot be compiled", kind, classifier, lambda: _compiled(copy, pairs, size))
        effect = _attempt("a pass fails", kind, classifier, lambda: _largest_effect(classifier, copy, size))
    if not effect.is_rounding:
        raise _refusal(kind, classifier, f"its logits move by {effect.relative:.1g} of their spread, more than {TOLERANCE:g}")
    copy.optimisation.effect, copy.precision = effect, classifier.precision
    return copy


def _attempt(what: str, kind: Optimize, classifier: Classifier, run: Callable[[], T]) -> T:
    """The result of `run`.

    Raises:
        UsageError: it raises; the message names what failed, and the reason.
    """
    try:
        return run()
    except torch.OutOfMemoryError:
        raise
    except Exception as error:  # raised by the network, such as `view` of values in channels_last, or by a compiler
        raise _refusal(kind, classifier, f"{what} ({first_line(error)})") from None


def _refusal(kind: Optimize, classifier: Classifier, why: str) -> UsageError:
    return UsageError(f"optimize = {kind}: {classifier.name}: {why}; {_FIXES[kind]}")


def _copied(classifier: Classifier) -> Classifier:
    copy = deepcopy(classifier).eval().requires_grad_(False)
    copy.network.to(memory_format=torch.channels_last)  # pyright: ignore[reportCallIssue] - of any 4-D weight
    copy.passes, copy.precision = PassCounts(), "fp32"  # the effect of bfloat16 is another one
    return copy


def _compiled(classifier: Classifier, pairs: list[FoldablePair], size: tuple[int, int]) -> CompiledGraph:
    """The graph of a classifier's network, with batch norms merged for good, for any number of images."""
    network = deepcopy(classifier.network)
    merge(network, pairs)
    network.requires_grad_(False)
    inputs = classifier.normalised(probe_images(size, classifier))
    with torch.no_grad(), warnings.catch_warnings():
        warnings.simplefilter("ignore")  # torch.jit is deprecated; torch.compile on a CPU needs a compiler, and took longer
        graph = _frozen_graph(network, inputs) if inputs.device.type == "cpu" else torch.compile(network)
        for count in (2, 1, 2):
            if len(tensor_of(graph(inputs[:count]), classifier.read)) != count:
                raise ValueError("its graph holds for one number of images")
    return CompiledGraph(graph, classifier.network)


def _frozen_graph(network: nn.Module, inputs: Tensor) -> Callable[[Tensor], Any]:
    return torch.jit.optimize_for_inference(torch.jit.freeze(torch.jit.trace(network, inputs, check_trace=False)))


def _largest_effect(classifier: Classifier, copy: Classifier, size: tuple[int, int]) -> LogitEffect:
    """The effect on two fixed images, with the larger difference of a pass of both and of one alone."""
    images = probe_images(size, classifier)
    alone, both = logit_effect(classifier, copy, images[:1]), logit_effect(classifier, copy, images)
    return replace(both, difference=max(alone.difference, both.difference))
