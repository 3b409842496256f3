"""Copies of a classifier whose layers have random weights, from the logits downwards; the classifier itself is not touched."""

from __future__ import annotations

from collections.abc import Iterator
from copy import deepcopy
from itertools import pairwise
from typing import NamedTuple
from weakref import WeakKeyDictionary

import torch
from torch import nn

from camdbench.core.errors import NotApplicable
from camdbench.functional.seeding import generator_for
from camdbench.models.classifier import Classifier

_TOKEN_SCALE = 0.02  # standard deviation at which vision transformers start their tokens and positions


class RandomisedModel(NamedTuple):
    """One model of a cascade: how many layers of it are random, and the model, which the next step changes."""

    randomised: int
    classifier: Classifier


def cascade(classifier: Classifier, steps: int | None, seed: int) -> Iterator[RandomisedModel]:
    """Models in which ever more layers are random, from the last one downwards; the last model is random throughout.

    A layer is a module with parameters of its own, and the order is that of registration, backwards. The layers are
    divided evenly among the steps. Weights come from the module's own `reset_parameters`, which also sets a batch
    norm's statistics to 0 and 1; parameters without one, such as tokens, from N(0, 0.02^2). They depend on the seed and on
    the layer's name alone. Two copies of the network are kept for as long as the classifier lives.

    Args:
        classifier: the trained model.
        steps: number of models; one for each layer where None, or where there are fewer layers.
        seed: of the random weights.

    Raises:
        NotApplicable: the network has no weights.
    """
    kept = _COPIES.setdefault(classifier, {})
    if seed not in kept:
        kept[seed] = _Copies(_random_network(classifier.network, seed), deepcopy(classifier).eval().requires_grad_(False))
    random, copy = kept[seed]
    copy.to(classifier.device).load_state_dict(classifier.state_dict())  # what was done to the classifier since, and the last cascade
    copy.layer, copy.precision = classifier.layer, classifier.precision
    names = layers_from_above(classifier.network)
    count = min(steps or len(names), len(names))
    for start, stop in pairwise([round(len(names) * step / count) for step in range(count + 1)]):
        for name in names[start:stop]:
            _take_over(copy.network.get_submodule(name), random.get_submodule(name))
        yield RandomisedModel(stop, copy)


def layers_from_above(network: nn.Module) -> list[str]:
    """Names of the modules that have parameters of their own, the last registered first.

    >>> layers_from_above(nn.Sequential(nn.Linear(2, 2), nn.ReLU(), nn.Linear(2, 2)))
    ['2', '0']

    Raises:
        NotApplicable: there are none.
    """
    names = [name for name, module in network.named_modules() if list(module.parameters(recurse=False))]
    if not names:
        raise NotApplicable("the network has no weights that could be randomised")
    return names[::-1]


class _Copies(NamedTuple):
    random: nn.Module
    mixed: Classifier


_COPIES: WeakKeyDictionary[Classifier, dict[int, _Copies]] = WeakKeyDictionary()


def _random_network(network: nn.Module, seed: int) -> nn.Module:
    """A copy with random weights everywhere; drawn on the CPU, so that every device has the same ones."""
    copy = deepcopy(network).cpu()
    for name in layers_from_above(network):
        module = copy.get_submodule(name)
        reset = getattr(module, "reset_parameters", None) or getattr(module, "_reset_parameters", None)
        with torch.random.fork_rng(devices=[]), torch.no_grad():
            torch.default_generator.manual_seed(generator_for(seed, name, "random weights").initial_seed())
            if reset is not None:
                reset()
            else:
                for parameter in module.parameters(recurse=False):
                    parameter.normal_(0, _TOKEN_SCALE)
    return copy


@torch.no_grad()
def _take_over(module: nn.Module, source: nn.Module) -> None:
    """Set a module's own parameters and buffers to those of another."""
    for mine, theirs in (
        *zip(module.parameters(recurse=False), source.parameters(recurse=False), strict=True),
        *zip(module.buffers(recurse=False), source.buffers(recurse=False), strict=True),
    ):
        mine.copy_(theirs)
