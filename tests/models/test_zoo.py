"""Classifiers by name: what is checked without torch, what is refused, and in which state they come."""

from __future__ import annotations

from pathlib import Path

import pytest
import torch
from torch import nn

from camdbench.core.errors import UsageError
from camdbench.core.registries import models
from camdbench.models.zoo import check_model, load_classifier, model_names, to_classifier


def test_names_start_with_the_registered_models() -> None:
    names = model_names()
    assert names[: len(models.names())] == models.names()
    assert "shortcuts-ce" in models.names()
    assert {"resnet50", "vit_b_16"} <= set(names)
    assert len(names) == len(set(names))


@pytest.mark.parametrize("name", ["shortcuts-ce", "resnet50", "resnet50@IMAGENET1K_V2", "vit_b_16@random"])
def test_a_name_that_exists_passes(name: str) -> None:
    check_model(name)


@pytest.mark.parametrize(
    ("name", "message"),
    [
        ("resnet5O", r"no model 'resnet5O'; did you mean 'resnet50'.*\(see: camdbench list models\)"),
        ("shortcuts", r"no model 'shortcuts'; did you mean .*'shortcuts-ce'"),
        ("nowhere.safetensors", r"model nowhere\.safetensors: no such checkpoint"),
        ("", "no model ''"),
    ],
)
def test_a_name_that_does_not_is_refused_with_the_fix(name: str, message: str) -> None:
    with pytest.raises(UsageError, match=message):
        check_model(name)


def test_a_missing_weights_file_is_named(tmp_path: Path) -> None:
    with pytest.raises(UsageError, match=r"--weights .*none\.pth: no such file"):
        load_classifier("resnet18", weights=tmp_path / "none.pth")


def test_a_classifier_comes_frozen_and_in_eval_mode() -> None:
    classifier = load_classifier("resnet18@random", device="cpu")
    assert not classifier.training
    assert not any(module.training for module in classifier.modules())
    assert not any(parameter.requires_grad for parameter in classifier.parameters())
    assert classifier.device == torch.device("cpu")


def test_layer_and_statistics_can_be_given() -> None:
    classifier = load_classifier("resnet18@random", layer="layer3", mean=[0.1, 0.2, 0.3], std=0.5, device="cpu")
    assert classifier.layer == "layer3"
    torch.testing.assert_close(classifier.mean.flatten(), torch.tensor([0.1, 0.2, 0.3]))


class TestTheEmbeddedModel:
    def test_it_needs_no_file_of_the_users(self) -> None:
        classifier = load_classifier(device="cpu")
        assert classifier.name == "shortcuts-ce"
        assert classifier(torch.rand(2, 3, 96, 96)).shape == (2, len(classifier.class_names)) == (2, 8)

    def test_only_its_layer_may_be_another(self) -> None:
        assert load_classifier("shortcuts-ce", layer="layer2", device="cpu").layer == "layer2"
        with pytest.raises(UsageError, match="knows its own mean and std"):
            load_classifier("shortcuts-ce", mean=0.5, device="cpu")
        with pytest.raises(UsageError, match="carries its own weights"):
            load_classifier("shortcuts-ce@random", device="cpu")
        with pytest.raises(UsageError, match="shortcuts-ce: no layer 'layer9'"):
            load_classifier("shortcuts-ce", layer="layer9", device="cpu")


class TestAsClassifier:
    def test_a_classifier_stays_itself(self) -> None:
        classifier = load_classifier("resnet18@random", device="cpu")
        assert to_classifier(classifier) is classifier

    def test_a_bare_network_is_refused_because_nobody_knows_its_statistics(self) -> None:
        with pytest.raises(UsageError, match="Conv2d: mean and std are unknown; give mean=, std="):
            to_classifier(nn.Conv2d(3, 4, 1))
