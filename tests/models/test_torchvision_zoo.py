"""torchvision's classifiers by name: all of them, random or from a file, and what is said where the weights are missing."""

from __future__ import annotations

import re
from pathlib import Path
from typing import Any

import pytest
import torch
import torchvision
from safetensors.torch import save_file

from camdbench.core.errors import UsageError
from camdbench.models import torchvision_zoo
from camdbench.models.torchvision_zoo import IMAGENET_MEAN, IMAGENET_STD, build


def test_the_names_are_those_of_torchvision() -> None:
    assert list(torchvision_zoo.names()) == sorted(torchvision.models.list_models(module=torchvision.models))


@pytest.fixture
def no_weights(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """An empty cache of torch hub; a download would fail the test."""
    monkeypatch.setattr(torch.hub, "get_dir", lambda: str(tmp_path))
    monkeypatch.setattr(torch.hub, "load_state_dict_from_url", lambda *_, **__: pytest.fail("nothing is downloaded unasked"))
    return tmp_path / "checkpoints"


class TestRandomWeights:
    def test_are_always_the_same_and_leave_the_global_generator_alone(self) -> None:
        torch.manual_seed(1)
        before = torch.random.get_rng_state()
        first = build("resnet18", "random", None, download=False)
        assert torch.equal(torch.random.get_rng_state(), before)
        torch.manual_seed(2)
        assert build("resnet18", "random", None, download=False).weights_hash() == first.weights_hash()
        assert first.name == "resnet18@random"

    def test_classes_have_their_imagenet_names(self) -> None:
        classifier = build("resnet18", "random", None, download=False)
        assert len(classifier.class_names) == 1000
        assert classifier.class_names[0] == "tench"
        assert classifier.input_size == 224

    def test_the_head_of_a_vit_is_awake(self) -> None:
        classifier = build("vit_b_32", "random", None, download=False)
        assert classifier.network.heads.head.weight.abs().max() > 0


class TestOfficialWeights:
    def test_offline_the_message_names_the_file_its_place_and_its_source(self, no_weights: Path) -> None:
        with pytest.raises(UsageError) as error:
            build("resnet50", None, None, download=False)
        message = str(error.value)
        assert "weights IMAGENET1K_V1 of resnet50 are not on this machine" in message
        assert "resnet50-0676ba61.pth" in message
        assert str(no_weights) in message
        assert torchvision.models.ResNet50_Weights.IMAGENET1K_V1.url in message
        for mend in ("--download", "--weights FILE", "resnet50@random"):
            assert mend in message

    def test_the_tag_chooses_the_enums_member(self, no_weights: Path) -> None:
        with pytest.raises(UsageError, match=r"IMAGENET1K_V2 of resnet50.*resnet50-11ad3fa6\.pth"):
            build("resnet50", "IMAGENET1K_V2", None, download=False)
        with pytest.raises(UsageError, match="IMAGENET1K_V2 of resnet50"):
            build("resnet50", "DEFAULT", None, download=False)

    def test_an_unknown_tag_gets_the_nearest(self) -> None:
        with pytest.raises(UsageError, match=r"resnet50: no weights 'IMAGENET1K_V3'"):
            build("resnet50", "IMAGENET1K_V3", None, download=False)

    def test_a_model_without_v1_takes_its_first_weights(self, no_weights: Path) -> None:
        with pytest.raises(UsageError, match="of regnet_y_128gf are not on this machine"):
            build("regnet_y_128gf", None, None, download=False)

    def test_a_file_that_is_in_place_is_used_with_the_enums_own_statistics(self, no_weights: Path) -> None:
        no_weights.mkdir()
        source = build("squeezenet1_1", "random", None, download=False)
        file = Path(torchvision.models.SqueezeNet1_1_Weights.IMAGENET1K_V1.url).name
        torch.save(source.network.state_dict(), no_weights / file)
        found = build("squeezenet1_1", None, None, download=False)
        assert found.name == "squeezenet1_1@IMAGENET1K_V1"
        assert found.weights_hash() == source.weights_hash()
        torch.testing.assert_close(found.mean.flatten(), torch.tensor(IMAGENET_MEAN))


class TestWeightsFromAFile:
    def test_the_number_of_classes_is_that_of_the_file(self, tmp_path: Path) -> None:
        network = torchvision.models.mobilenet_v2(num_classes=7)
        save_file(network.state_dict(), tmp_path / "mine.safetensors")
        classifier = build("mobilenet_v2", None, tmp_path / "mine.safetensors", download=False)
        assert classifier.name == "mobilenet_v2@mine.safetensors"
        assert classifier.eval()(torch.rand(1, 3, 64, 64)).shape == (1, 7)
        assert classifier.class_names == ()
        torch.testing.assert_close(classifier.network.classifier[1].weight, network.classifier[1].weight)

    @pytest.mark.parametrize(
        "name", ["squeezenet1_1", "mobilenet_v3_small", "densenet121", "convnext_tiny", "swin_t", "vit_b_32", "googlenet", "regnet_x_400mf"]
    )
    def test_the_number_of_classes_is_found_whatever_the_head(self, name: str, tmp_path: Path) -> None:
        more = {"aux_logits": False, "init_weights": False} if name == "googlenet" else {}
        torch.save(torchvision.models.get_model(name, num_classes=3, **more).state_dict(), tmp_path / "w.pth")
        classifier = build(name, None, tmp_path / "w.pth", download=False).eval()
        assert classifier(torch.rand(1, 3, 224, 224)).shape == (1, 3)

    @pytest.mark.parametrize("name", ["googlenet", "inception_v3"])
    def test_auxiliary_heads_in_the_file_are_accepted_and_ignored(self, name: str, tmp_path: Path) -> None:
        network = torchvision.models.get_model(name, num_classes=4, aux_logits=True, init_weights=False)
        torch.save(network.state_dict(), tmp_path / "w.pth")
        classifier = build(name, None, tmp_path / "w.pth", download=False).eval()
        assert classifier(torch.rand(1, 3, 224, 224)).shape == (1, 4)

    @pytest.mark.parametrize(
        ("name", "pattern", "old"),
        [
            ("mnasnet0_5", r"^", ""),  # it refuses weights whose version is not stated
            ("densenet121", r"(denselayer\d+\.(?:norm|conv))([12])", r"\1.\2"),
            ("vit_b_32", r"\.mlp\.([03])\.", lambda found: f".mlp.linear_{1 + int(found[1]) // 3}."),
        ],
    )
    def test_names_that_the_official_files_still_have_are_known(self, name: str, pattern: str, old: Any, tmp_path: Path) -> None:
        """As torchvision's own loading: DenseNet's by a pattern, ViT's in the module, both for files older than the code."""
        network = torchvision.models.get_model(name, num_classes=3)
        torch.save({re.sub(pattern, old, key): tensor for key, tensor in network.state_dict().items()}, tmp_path / "w.pth")
        found = build(name, None, tmp_path / "w.pth", download=False)
        assert {key: tensor.tolist() for key, tensor in found.network.state_dict().items() if tensor.numel() < 1000} == {
            key: tensor.tolist() for key, tensor in network.state_dict().items() if tensor.numel() < 1000
        }
        images = torch.rand(1, 3, 224, 224)
        torch.testing.assert_close(found.eval()(images), network.eval()((images - found.mean) / found.std))

    def test_weights_of_another_architecture_are_refused(self, tmp_path: Path) -> None:
        torch.save(torchvision.models.mobilenet_v2(num_classes=7).state_dict(), tmp_path / "w.pth")
        with pytest.raises(UsageError, match="the weights do not fit resnet18: they lack"):
            build("resnet18", None, tmp_path / "w.pth", download=False)

    def test_a_tag_and_a_file_together_are_refused(self, tmp_path: Path) -> None:
        with pytest.raises(UsageError, match="give one of them"):
            build("resnet18", "random", tmp_path / "w.pth", download=False)

    def test_other_statistics_can_be_given(self) -> None:
        classifier = build("resnet18", "random", None, download=False, mean=0.5, std=(0.1, 0.2, 0.3), layer="layer3")
        assert classifier.mean.flatten().tolist() == [0.5] * 3
        torch.testing.assert_close(classifier.std.flatten(), torch.tensor([0.1, 0.2, 0.3]))
        assert classifier.layer == "layer3"

    def test_a_mean_of_zero_is_a_mean(self) -> None:
        classifier = build("resnet18", "random", None, download=False, mean=0, std=1)
        assert classifier.mean.flatten().tolist() == [0] * 3
        torch.testing.assert_close(build("resnet18", "random", None, download=False).std.flatten(), torch.tensor(IMAGENET_STD))


def test_googlenet_sees_what_its_training_saw() -> None:
    """It shifts its input itself, from the ImageNet statistics to mean 0.5 and std 0.5; with other statistics it must not."""
    assert build("googlenet", "random", None, download=False).network.transform_input
    assert not build("googlenet", "random", None, download=False, mean=0.5, std=0.5).network.transform_input
