"""Initial classifier of a training run: random or given weights, and surgery."""

from __future__ import annotations

from pathlib import Path

import torch
from torch import nn

from camdbench.core.errors import UsageError
from camdbench.models.classifier import Classifier
from camdbench.models.last_layer import with_classes
from camdbench.models.meta_network import on_meta_device
from camdbench.models.network_check import count_classes
from camdbench.models.network_source import NetworkSource
from camdbench.models.networks import build_network, input_of, without_side_heads
from camdbench.models.shortcuts_net import LAYER, ShortcutsNetwork
from camdbench.models.surgery import apply_surgery, check_additive, surgery_of
from camdbench.models.torchvision_zoo import wake_head
from camdbench.models.weights_file import load_state, read_state
from camdbench.models.zoo import load_classifier
from camdbench.trainer.recipe import TrainingRecipe
from camdbench.trainer.split_data import Split


def build_initial_classifier(
    recipe: TrainingRecipe, images: Split, before: Path | None = None, source: NetworkSource | None = None
) -> Classifier:
    """The initial classifier of a recipe, on the CPU, by the recipe's seed.

    Args:
        recipe: network, weights and surgery.
        images: training images.
        before: checkpoint of the pretraining run; replaces the recipe's `init`.
        source: network of the user's; replaces the recipe's `network`.

    Raises:
        UsageError: the initial weights belong to another network, or the network does not accept the image size.
        CamdbenchError: after surgery the class maps do not sum to the logits.
    """
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(recipe.seed)
        if source is not None:
            classifier = _own(recipe, images, before, source)
        else:
            classifier = _fresh(recipe, images) if before is None and recipe.init is None else _from_weights(recipe, images, before)
    count = count_classes(classifier, images.size)
    if source is not None and count != len(images.classes):
        raise UsageError(
            f"recipe {recipe.name}: network={source.name}: {count} logits for {len(images.classes)} classes; "
            "give its function a parameter `classes`, which receives their number"
        )
    classifier.name, classifier.class_names, classifier.input_size = recipe.name, images.classes, images.size[1]
    classifier.requires_grad_(True)
    if recipe.surgery is not None:
        sample = next(images.batches(2)).images
        check_additive(classifier, sample)
    return classifier


def _fresh(recipe: TrainingRecipe, images: Split) -> Classifier:
    surgery = None if recipe.surgery is None else recipe.surgery.model_dump()
    network = build_network(recipe.network, len(images.classes), surgery)
    wake_head(network)
    layer, spec = LAYER if isinstance(network, ShortcutsNetwork) else None, input_of(recipe.network)
    return Classifier(network, layer, mean=spec.mean, std=spec.std, name=recipe.network, input_size=spec.size)


def _own(recipe: TrainingRecipe, images: Split, before: Path | None, source: NetworkSource) -> Classifier:
    """A network of the user's, with the weights that its function gives or those of `init`."""
    classifier = source.build(len(images.classes))
    if before is None and recipe.init is None:
        return classifier
    init = str(before or recipe.init)
    is_file = init.endswith(".safetensors")
    state = read_state(Path(init)) if is_file else load_classifier(init, device="cpu").network.state_dict()
    load_state(classifier.network, state, f"recipe {recipe.name}: init={init}")
    return classifier


def _from_weights(recipe: TrainingRecipe, images: Split, before: Path | None) -> Classifier:
    init = str(before or recipe.init)
    classifier = load_classifier(init, device="cpu")
    network = with_classes(without_side_heads(classifier.network), len(images.classes))
    wanted = on_meta_device(lambda: build_network(recipe.network, len(images.classes), surgery_of(network)))
    if _shapes(network) != _shapes(wanted):
        raise UsageError(f"recipe {recipe.name}: init={init}: not a checkpoint of network={recipe.network}; name its network")
    if recipe.surgery is not None and not (before and surgery_of(network)):  # pretraining may have included the surgery
        apply_surgery(network, **recipe.surgery.model_dump())
    return classifier


def _shapes(network: nn.Module) -> dict[str, tuple[int, ...]]:
    return {name: tuple(tensor.shape) for name, tensor in network.state_dict().items()}
