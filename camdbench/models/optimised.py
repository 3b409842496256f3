"""Copies of classifiers that compute the same network faster, with the effect on the logits."""

from __future__ import annotations

import warnings
from collections.abc import Callable
from copy import deepcopy
from typing import Any

import torch
from torch import Tensor, nn

from camdbench.core.errors import UsageError, first_line
from camdbench.core.network_options import Optimize, check_choice
from camdbench.models.classifier import Classifier
from camdbench.models.folding import fold, foldable_pairs, merge
from camdbench.models.logit_effect import TOLERANCE, LogitEffect, logit_effect
from camdbench.models.network_check import probe_images
from camdbench.models.optimisation import CompiledGraph, Optimisation
from camdbench.models.pass_counts import PassCounts

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
        copy, pairs = _copied(classifier, kind), []
        copy.optimize, copy.optimisation = kind, Optimisation(kind, classifier)
        if kind != "layout":
            pairs = foldable_pairs(copy, size)
            fold(copy.network, pairs)
            copy.optimisation.folded = len(pairs)
        if kind == "compile":
            copy.optimisation.graph = _compiled(copy, pairs, size)
        copy.optimisation.effect = _checked(classifier, copy, size)
    copy.precision = classifier.precision
    return copy


def plain_of(classifier: Classifier) -> Classifier:
    """The classifier that an optimised one was made from; any other one itself."""
    about = classifier.optimisation
    return classifier if about is None or about.plain is None else about.plain


def _copied(classifier: Classifier, kind: Optimize) -> Classifier:
    try:
        copy = deepcopy(classifier).requires_grad_(False)
        copy.network.to(memory_format=torch.channels_last)  # pyright: ignore[reportCallIssue] - of any 4-D weight
    except Exception as error:  # raised by the network's own members
        raise _refusal(kind, classifier, f"it cannot be copied in channels_last ({first_line(error)})") from None
    copy.passes, copy.precision = PassCounts(), "fp32"  # the effect of bfloat16 is another one
    return copy.eval()


def _compiled(classifier: Classifier, pairs: Any, size: tuple[int, int]) -> CompiledGraph:
    """The graph of a classifier's network, with batch norms merged for good, checked with another number of images."""
    images = probe_images(size, classifier)
    try:
        network = deepcopy(classifier.network)
        merge(network, pairs)
        network.requires_grad_(False)
        with torch.no_grad(), warnings.catch_warnings():
            warnings.simplefilter("ignore")  # torch.jit is deprecated; torch.compile on a CPU needs a compiler and is slower
            inputs = classifier.normalised(images)
            graph = _frozen_graph(network, inputs) if inputs.device.type == "cpu" else torch.compile(network)
            for count in (2, 1, 2):
                graph(inputs[:count])
    except torch.OutOfMemoryError:
        raise
    except Exception as error:  # compilers raise many types
        raise _refusal("compile", classifier, f"it cannot be compiled ({first_line(error)})") from None
    return CompiledGraph(graph, classifier.network)


def _frozen_graph(network: nn.Module, inputs: Tensor) -> Callable[[Tensor], Any]:
    return torch.jit.optimize_for_inference(torch.jit.freeze(torch.jit.trace(network, inputs, check_trace=False)))


def _checked(classifier: Classifier, copy: Classifier, size: tuple[int, int]) -> LogitEffect:
    """Difference of logits on two fixed images, together and alone.

    Raises:
        UsageError: passes of the copy fail, or its logits are others.
    """
    images = probe_images(size, classifier)
    parts = [images[:1], images[1:]] if classifier.batch_mates == "alone" else [images[:1], images]
    try:
        effects = [logit_effect(classifier, copy, part) for part in parts]
    except torch.OutOfMemoryError:
        raise
    except Exception as error:  # raised by the network, such as `view` of values in channels_last
        raise _refusal(copy.optimize, classifier, f"a pass fails ({first_line(error)})") from None
    worst = max(effects, key=lambda effect: effect.relative)
    if not worst.is_rounding:
        raise _refusal(copy.optimize, classifier, f"its logits move by {worst.relative:.1g} of their spread, more than {TOLERANCE:g}")
    return worst


def _refusal(kind: Optimize, classifier: Classifier, why: str) -> UsageError:
    return UsageError(f"optimize = {kind}: {classifier.name}: {why}; {_FIXES[kind]}")
