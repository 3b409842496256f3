"""Cascading randomisation of weights, from the logits downwards, on copies of a classifier (MPRT)."""

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

_TOKEN_SCALE = 0.02  # initial standard deviation of tokens and position embeddings in vision transformers


class RandomisedModel(NamedTuple):
    """Model of a cascade: number of randomised layers, and the model, which the next step modifies."""

    randomised: int
    classifier: Classifier


def cascade(classifier: Classifier, steps: int | None, seed: int) -> Iterator[RandomisedModel]:
    """Models with progressively randomised layers, from the last one downwards; the last model is fully random.

    A layer is a module with own parameters, in reverse order of registration; layers are divided evenly among the steps.
    Weights come from `reset_parameters`, which also resets batch-norm statistics to 0 and 1; other parameters, such as
    tokens, from N(0, 0.02^2). They depend on seed and layer name alone. Two copies of the network live as long as the
    classifier.

    Args:
        classifier: trained model.
        steps: number of models; default and maximum: one per layer.
        seed: seed of the random weights.

    Raises:
        NotApplicable: the network has no weights.
    """
    kept = _COPIES.setdefault(classifier, {})
    if seed not in kept:
        kept[seed] = _Copies(_random_network(classifier.network, seed), deepcopy(classifier).eval().requires_grad_(False))
    random, copy = kept[seed]
    copy.to(classifier.device).load_state_dict(classifier.state_dict())  # undoes the last cascade, follows later changes
    copy.layer, copy.precision = classifier.layer, classifier.precision
    names = layers_from_above(classifier.network)
    for start, stop in pairwise([0, *random_layers(classifier.network, steps)]):
        for name in names[start:stop]:
            _copy_weights(copy.network.get_submodule(name), random.get_submodule(name))
        yield RandomisedModel(stop, copy)


def random_layers(network: nn.Module, steps: int | None) -> list[int]:
    """Number of random layers of each model of a cascade of `steps` models, by default and at most one per layer.

    >>> random_layers(nn.Sequential(nn.Linear(2, 2), nn.ReLU(), nn.Linear(2, 2), nn.Linear(2, 2)), 2)
    [2, 3]

    Raises:
        NotApplicable: the network has no weights.
    """
    layers = len(layers_from_above(network))
    count = min(steps or layers, layers)
    return [round(layers * step / count) for step in range(1, count + 1)]


def layers_from_above(network: nn.Module) -> list[str]:
    """Names of the modules with own parameters, the last registered first.

    >>> layers_from_above(nn.Sequential(nn.Linear(2, 2), nn.ReLU(), nn.Linear(2, 2)))
    ['2', '0']

    Raises:
        NotApplicable: there are none.
    """
    names = [name for name, module in network.named_modules() if list(module.parameters(recurse=False))]
    if not names:
        raise NotApplicable("the network has no weights to randomise")
    return names[::-1]


class _Copies(NamedTuple):
    random: nn.Module
    mixed: Classifier


_COPIES: WeakKeyDictionary[Classifier, dict[int, _Copies]] = WeakKeyDictionary()


def _random_network(network: nn.Module, seed: int) -> nn.Module:
    """A copy with random weights; drawn on the CPU for identical values on every device."""
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
def _copy_weights(module: nn.Module, source: nn.Module) -> None:
    """Copy a module's own parameters and buffers from another."""
    for mine, theirs in (
        *zip(module.parameters(recurse=False), source.parameters(recurse=False), strict=True),
        *zip(module.buffers(recurse=False), source.buffers(recurse=False), strict=True),
    ):
        mine.copy_(theirs)
