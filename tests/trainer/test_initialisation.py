"""Where training begins: any architecture of the zoo, with the data set's classes, and a checkpoint that is read back."""

from __future__ import annotations

import csv
from pathlib import Path
from typing import Any

import pytest
import torch
from safetensors.torch import load_file

from camdbench.core.errors import UsageError
from camdbench.models.last_layer import last_layers
from camdbench.models.zoo import load_classifier
from camdbench.trainer.in_memory_split import InMemorySplit
from camdbench.trainer.initialisation import build_initial_classifier
from camdbench.trainer.recipe import check_recipe
from camdbench.trainer.train import train


def images_of(size: int, classes: int = 3) -> InMemorySplit:
    random = torch.Generator().manual_seed(0)
    pixels = torch.randint(0, 256, (4, 3, size, size), generator=random, dtype=torch.uint8)
    return InMemorySplit(pixels, torch.arange(4) % classes, tuple("abcdefgh"[:classes]), "f", tuple("wxyz"))


def recipe_of(size: int = 64, **changes: Any):
    data = {"dataset": f"shortcuts(size={size}, classes=3)", "limit": 8, "evaluation": ["val"], "evaluation_limit": 4}
    plain = {"name": "tiny", "data": data, "epochs": 1, "batch_size": 4, "optimiser": {"lr": 1e-3, "schedule": "constant"}}
    return check_recipe(plain | changes, "tiny")


@pytest.mark.parametrize(
    ("network", "size"),
    [
        ("squeezenet1_1", 64),
        ("mobilenet_v2", 64),
        ("densenet121", 64),
        ("regnet_x_400mf", 64),
        ("googlenet", 64),
        ("timm/test_convnext", 64),
        ("timm/test_vit", 160),
    ],
)
def test_an_architecture_is_trained_and_read_back(network: str, size: int, tmp_path: Path) -> None:
    layer = load_classifier(f"{network}@random", device="cpu").layer
    for init in (None, f"{network}@random"):
        path = train(recipe_of(size, network=network, init=init), out=tmp_path / str(init), device="cpu")
        found = load_classifier(str(path), device="cpu")
        assert found.class_names == ("disc", "triangle", "square")
        assert found.layer == layer, init
        kept = load_file(path)
        assert all(torch.equal(kept[name], tensor) for name, tensor in found.network.state_dict().items())
        with torch.no_grad():
            assert found(torch.rand(2, 3, size, size)).shape == (2, 3)


def test_weights_are_kept_and_the_last_layer_is_fresh() -> None:
    known = load_classifier("mobilenet_v2@random", device="cpu").network.state_dict()
    found = build_initial_classifier(recipe_of(network="mobilenet_v2", init="mobilenet_v2@random"), images_of(64)).network.state_dict()
    head = {"classifier.1.weight", "classifier.1.bias"}
    assert all(torch.equal(found[name], known[name]) for name in set(known) - head)
    assert found["classifier.1.weight"].shape == (3, 1280)
    assert bool(found["classifier.1.weight"].any())


def test_the_last_layer_follows_the_seed() -> None:
    one, again, other = (
        build_initial_classifier(recipe_of(network="mobilenet_v2", init="mobilenet_v2@random", seed=seed), images_of(64)).weights_hash()
        for seed in (1, 1, 2)
    )
    assert one == again != other


@pytest.mark.parametrize(
    ("network", "names"),
    [
        ("squeezenet1_1", {"classifier.1.weight", "classifier.1.bias"}),
        ("mobilenet_v2", {"classifier.1.weight", "classifier.1.bias"}),
        ("timm/test_convnext", {"head.fc.weight", "head.fc.bias"}),
    ],
)
def test_a_first_stage_trains_the_last_layer_alone(network: str, names: set[str], tmp_path: Path) -> None:
    """The second stage, which there must be, moves nothing at a rate of 1e-30."""
    still = {"lr": 1e-30, "weight_decay": 0.0, "schedule": "constant"}
    recipe = recipe_of(network=network, head_stage={"epochs": 1, "lr": 0.01}, optimiser=still)
    begun = build_initial_classifier(recipe, images_of(64)).network
    ended = load_file(train(recipe, out=tmp_path, device="cpu"))
    moved = {name for name, weight in begun.named_parameters() if float((ended[name] - weight.detach()).abs().max()) > 1e-6}
    assert moved == names


@pytest.mark.parametrize("network", ["vit_b_16", "timm/test_vit"])
def test_a_fresh_transformer_has_a_head_that_a_map_can_come_out_of(network: str) -> None:
    found = build_initial_classifier(recipe_of(network=network), images_of(224 if network == "vit_b_16" else 160))
    [head] = last_layers(found.network)
    assert any(bool(parameter.any()) for parameter in head.parameters())
    assert str(found.layer).rpartition(".")[2] in ("ln_1", "norm1")


def test_images_of_a_size_that_the_network_does_not_take_are_refused() -> None:
    with pytest.raises(UsageError, match=r"does not take images of 64 x 64 pixels .* made for 224 x 224"):
        build_initial_classifier(recipe_of(network="vit_b_16"), images_of(64))


def test_timms_own_mean_and_std_are_taken() -> None:
    found = build_initial_classifier(recipe_of(network="timm/vit_tiny_patch16_224"), images_of(224))
    assert found.mean.flatten().tolist() == found.std.flatten().tolist() == [0.5, 0.5, 0.5]
    found = build_initial_classifier(recipe_of(network="timm/test_convnext"), images_of(64))
    assert found.mean.flatten().tolist() == pytest.approx(
        load_classifier("timm/test_convnext@random", device="cpu").mean.flatten().tolist()
    )


def test_weights_of_another_architecture_are_refused() -> None:
    with pytest.raises(UsageError, match=r"init=mobilenet_v2@random: not a checkpoint of network=vgg11"):
        build_initial_classifier(recipe_of(network="vgg11", init="mobilenet_v2@random"), images_of(64))


def test_a_transformer_learns_to_look_at_the_object_by_the_map_alone(tmp_path: Path) -> None:
    """SO-Loss without cross-entropy: Grad-CAM of the patch tokens at the last block's first norm."""
    data = {"dataset": "shortcuts(size=160, classes=3)", "limit": 24, "evaluation": ["val"], "evaluation_limit": 8}
    changes: dict[str, Any] = {"data": data, "loss": "so(beta=0.0, views=1, kernel=0)", "epochs": 3, "batch_size": 8}
    recipe = recipe_of(network="timm/test_vit", optimiser={"lr": 3e-3, "schedule": "constant", "weight_decay": 0.0}, **changes)
    with train(recipe, out=tmp_path, device="cpu").with_suffix(".csv").open() as file:
        apart = [float(line["train_so"]) for line in csv.DictReader(file)]
    assert apart[-1] < apart[0] - 0.2  # measured: 0.69, 0.41, 0.37
