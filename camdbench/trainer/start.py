"""Where a training run begins: a fresh network, or somebody's weights, and the surgery."""

from __future__ import annotations

from typing import Any

import torch
from torch import nn

from camdbench.core.errors import UsageError
from camdbench.models.build import build_network, with_classes
from camdbench.models.classifier import Classifier
from camdbench.models.shortcuts_net import LAYER, MEAN, STD, ShortcutsNetwork
from camdbench.models.surgery import check_additive, core_focused, surgery_of
from camdbench.models.torchvision_zoo import IMAGENET_MEAN, IMAGENET_STD
from camdbench.models.zoo import load_classifier
from camdbench.trainer.images import Images
from camdbench.trainer.recipe import Recipe


def start(recipe: Recipe, images: Images) -> Classifier:
    """The classifier that a recipe begins with, on the CPU; random numbers come from the recipe's seed.

    Raises:
        UsageError: the weights to start from are of another network.
        CamdbenchError: after the surgery the class maps do not add up to the logits.
    """
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(recipe.seed)
        classifier = _fresh(recipe, images) if recipe.init is None else _from_weights(recipe, images)
    classifier.requires_grad_(True)
    if recipe.surgery is not None:
        sample = next(images.batches(2)).images
        check_additive(classifier, sample)
    return classifier


def _fresh(recipe: Recipe, images: Images) -> Classifier:
    network = build_network(recipe.network, len(images.classes), _surgery(recipe))
    plain = isinstance(network, ShortcutsNetwork)
    return Classifier(
        network,
        LAYER if plain else None,
        mean=MEAN if plain else IMAGENET_MEAN,
        std=STD if plain else IMAGENET_STD,
        name=recipe.name,
        class_names=images.classes,
        input_size=images.pixels.shape[-1],
    )


def _from_weights(recipe: Recipe, images: Images) -> Classifier:
    classifier = load_classifier(str(recipe.init), device="cpu")
    network = with_classes(classifier.network, len(images.classes))
    with torch.device("meta"):  # names and shapes only
        wanted = build_network(recipe.network, len(images.classes), surgery_of(network))
    if _shapes(network) != _shapes(wanted):
        raise UsageError(f"recipe {recipe.name}: init={recipe.init} is not of network={recipe.network}; name the network that it is of")
    if recipe.surgery is not None:
        core_focused(network, **recipe.surgery.model_dump())
    classifier.name, classifier.class_names, classifier.input_size = recipe.name, images.classes, images.pixels.shape[-1]
    return classifier


def _surgery(recipe: Recipe) -> dict[str, Any] | None:
    return None if recipe.surgery is None else recipe.surgery.model_dump()


def _shapes(network: nn.Module) -> dict[str, tuple[int, ...]]:
    return {name: tuple(tensor.shape) for name, tensor in network.state_dict().items()}
