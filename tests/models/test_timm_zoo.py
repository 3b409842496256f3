"""timm's networks by name: which there are, what their weights say of them, and what is said where something is missing."""

from __future__ import annotations

import importlib.util
from collections.abc import Iterator
from pathlib import Path
from typing import NamedTuple

import pytest
import torch
from safetensors.torch import save_file

from camdbench.core.catalogue import explainers
from camdbench.core.errors import UsageError
from camdbench.datasets.memory import batch_in_memory
from camdbench.explainers.saliency import saliency
from camdbench.explainers.trace import Trace
from camdbench.models import timm_zoo
from camdbench.models.classifier import Classifier
from camdbench.models.target_layers import _TIMM_FAMILIES, survey
from camdbench.models.zoo import check_model, load_classifier, load_untrained, model_names

timm = pytest.importorskip("timm")


class TestNames:
    def test_are_those_of_timm(self) -> None:
        assert set(timm_zoo.names()) == {f"timm/{name}" for name in timm.list_models()}
        assert set(timm_zoo.names()) < set(model_names())

    @pytest.mark.parametrize("name", ["timm/vit_base_patch16_224", "timm/vit_tiny_patch16_224@random", "timm/resnet50.a1_in1k"])
    def test_that_exist_pass(self, name: str) -> None:
        check_model(name)

    def test_that_do_not_get_the_nearest(self) -> None:
        with pytest.raises(UsageError, match=r"no model 'timm/vit_base_patch16_225'; did you mean .*'timm/vit_base_patch16_224'"):
            check_model("timm/vit_base_patch16_225")


@pytest.fixture
def no_timm(monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    """A machine without the extra."""
    found = importlib.util.find_spec
    monkeypatch.setattr(importlib.util, "find_spec", lambda name, *more: None if name == "timm" else found(name, *more))
    timm_zoo.names.cache_clear()
    yield
    timm_zoo.names.cache_clear()


def test_without_timm_one_line_says_how_to_get_it(no_timm: None) -> None:
    with pytest.raises(UsageError, match=r"^model timm/resnet18: timm is not installed; run: pip install 'camdbench\[timm\]'$"):
        load_classifier("timm/resnet18@random")
    assert not any(name.startswith("timm/") for name in model_names())


class TestStatistics:
    @pytest.mark.parametrize(
        ("name", "mean", "size"),
        [
            ("timm/vit_tiny_patch16_224", 0.5, 224),
            ("timm/deit_tiny_patch16_224", 0.485, 224),
            ("timm/vit_tiny_patch16_384", 0.5, 384),
        ],
    )
    def test_are_those_of_timms_configuration(self, name: str, mean: float, size: int) -> None:
        classifier = load_classifier(f"{name}@random", device="cpu")
        assert classifier.mean.flatten()[0].item() == pytest.approx(mean)
        assert classifier.input_size == size
        assert classifier.class_names[0] == "tench"
        assert classifier.name == f"{name}@random"

    def test_others_can_be_given(self) -> None:
        classifier = load_classifier("timm/resnet10t@random", mean=0, std=(0.1, 0.2, 0.3), layer="layer3", device="cpu")
        assert classifier.mean.flatten().tolist() == [0] * 3
        assert classifier.layer == "layer3"


class TestWeights:
    def test_random_ones_are_always_the_same_and_leave_the_global_generator_alone(self) -> None:
        torch.manual_seed(1)
        before = torch.random.get_rng_state()
        first = load_classifier("timm/resnet10t@random", device="cpu").weights_hash()
        assert torch.equal(torch.random.get_rng_state(), before)
        torch.manual_seed(2)
        assert load_classifier("timm/resnet10t@random", device="cpu").weights_hash() == first

    @pytest.mark.parametrize("name", ["timm/vit_base_patch16_224", "timm/vit_base_patch16_224@augreg_in1k"])
    def test_that_are_missing_are_named_with_the_mends(self, name: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
        monkeypatch.setattr("huggingface_hub.constants.HF_HUB_CACHE", str(tmp_path))
        with pytest.raises(UsageError, match=r"of timm/vit_base_patch16_224 are not on this machine: give --download, --weights FILE"):
            load_classifier(name)

    def test_in_the_cache_of_the_hub_are_used(self, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
        source = load_classifier("timm/resnet10t@random", device="cpu")
        file = tmp_path / "model.safetensors"
        save_file(source.network.state_dict(), file)
        asked = list[tuple[str, str]]()

        def cached(repository: str, name: str) -> str:
            asked.append((repository, name))
            return str(file)

        monkeypatch.setattr("huggingface_hub.try_to_load_from_cache", cached)
        found = load_classifier("timm/resnet10t", device="cpu")
        assert asked == [("timm/resnet10t.c3_in1k", "model.safetensors")]
        assert found.name == "timm/resnet10t@c3_in1k"
        assert found.weights_hash() == source.weights_hash()

    def test_are_fetched_by_timm_when_asked_for(self, monkeypatch: pytest.MonkeyPatch) -> None:
        build, asked = timm.create_model, list[tuple[str, bool]]()

        def create(name: str, *, pretrained: bool, **options: object) -> torch.nn.Module:
            asked.append((name, pretrained))
            return build(name.partition(".")[0], pretrained=False, **options)

        monkeypatch.setattr(timm, "create_model", create)
        found = load_classifier("timm/resnet10t", download=True, device="cpu")
        assert asked == [("resnet10t.c3_in1k", True), ("resnet10t", False)]
        assert found.name == "timm/resnet10t@c3_in1k"

    def test_of_a_file_say_how_many_classes_there_are(self, tmp_path: Path) -> None:
        network = timm.create_model("vit_tiny_patch16_224", num_classes=7)
        save_file(network.state_dict(), tmp_path / "mine.safetensors")
        classifier = load_classifier("timm/vit_tiny_patch16_224", weights=tmp_path / "mine.safetensors", device="cpu")
        assert classifier(torch.rand(1, 3, 224, 224)).shape == (1, 7)
        assert classifier.class_names == ()
        assert classifier.name == "timm/vit_tiny_patch16_224@mine.safetensors"

    def test_of_another_network_are_refused(self, tmp_path: Path) -> None:
        save_file(timm.create_model("resnet10t").state_dict(), tmp_path / "w.safetensors")
        with pytest.raises(UsageError, match="the weights do not fit timm/vit_tiny_patch16_224: they lack"):
            load_classifier("timm/vit_tiny_patch16_224", weights=tmp_path / "w.safetensors")

    @pytest.mark.parametrize(
        ("name", "message"),
        [
            ("timm/resnet18@a1_in2k", r"no weights of timm/resnet18 'a1_in2k'; did you mean 'a1_in1k'"),
            ("timm/resnet18.a1_in1k@random", r"names two weights; write timm/resnet18@random"),
            ("timm/vit_base_patch16_siglip_224@random", "has no classes: timm knows it as a feature extractor"),
        ],
    )
    def test_that_make_no_sense_are_refused(self, name: str, message: str) -> None:
        with pytest.raises(UsageError, match=message):
            load_classifier(name)

    def test_are_not_needed_for_questions_of_shape(self) -> None:
        assert load_untrained("timm/resnet10t").name == "timm/resnet10t@random"
        assert load_untrained("timm/resnet10t.c3_in1k").name == "timm/resnet10t@random"


class Member(NamedTuple):
    """One network of a family: its class, the side of the images, its target layer, and that layer's channels and grid."""

    family: str
    side: int
    layer: str
    channels: int
    grid: int


MEMBERS = {
    "beit_base_patch16_224": Member("Beit", 224, "blocks.11.norm1", 768, 14),
    "repvgg_a0": Member("ByobNet", 96, "final_conv", 1280, 3),
    "convnext_atto": Member("ConvNeXt", 96, "stages.3", 320, 3),
    "densenet121": Member("DenseNet", 96, "features", 1024, 3),
    "efficientnet_b0": Member("EfficientNet", 96, "bn2", 1280, 3),
    "eva02_tiny_patch14_336": Member("Eva", 336, "blocks.11.norm1", 192, 24),
    "inception_v3": Member("InceptionV3", 128, "Mixed_7c", 2048, 2),
    "maxvit_nano_rw_256": Member("MaxxVit", 256, "stages.3", 512, 8),
    "mixer_s32_224": Member("MlpMixer", 224, "blocks.7", 512, 7),
    "mobilenetv2_050": Member("EfficientNet", 96, "bn2", 1280, 3),
    "mobilenetv3_small_050": Member("MobileNetV3", 96, "blocks.5", 288, 3),
    "regnetx_002": Member("RegNet", 96, "final_conv", 368, 3),
    "resnet10t": Member("ResNet", 96, "layer4.0", 512, 3),
    "resnetv2_50": Member("ResNetV2", 96, "norm", 2048, 3),
    "swin_tiny_patch4_window7_224": Member("SwinTransformer", 224, "layers.3.blocks.1", 768, 7),
    "swinv2_tiny_window8_256": Member("SwinTransformerV2", 256, "layers.3.blocks.1", 768, 8),
    "vgg11": Member("VGG", 96, "features.19", 512, 6),
    "deit_tiny_distilled_patch16_224": Member("VisionTransformer", 224, "blocks.11.norm1", 192, 14),
    "vit_tiny_patch16_224": Member("VisionTransformer", 224, "blocks.11.norm1", 192, 14),
}


def test_every_family_has_a_member() -> None:
    assert {member.family for member in MEMBERS.values()} == set(_TIMM_FAMILIES)


def trace_of(name: str, count: int) -> Trace:
    side = MEMBERS[name].side
    classifier = load_classifier(f"timm/{name}@random", device="cpu")
    images = torch.rand(count, 3, side, side, generator=torch.Generator().manual_seed(0))
    return Trace(classifier, batch_in_memory(images), target=1)


@pytest.mark.parametrize("name", MEMBERS)
def test_the_default_layer_of_a_family_can_be_explained(name: str) -> None:
    member, trace = MEMBERS[name], trace_of(name, 1)
    assert member.family in {kind.__name__ for kind in type(trace.classifier.network).__mro__}
    assert trace.classifier.layer == member.layer
    found = next(layer for layer in survey(trace.classifier, trace.size) if layer.name == member.layer)
    assert not found.problem
    assert trace.activations.shape == (1, member.channels, member.grid, member.grid)
    assert trace.gradients.abs().max() > 0


@pytest.mark.parametrize(
    "name", ["vit_tiny_patch16_224", "deit_tiny_distilled_patch16_224", "swin_tiny_patch4_window7_224", "convnext_atto"]
)
def test_cams_have_a_map_on_every_kind_of_grid(name: str) -> None:
    trace = trace_of(name, 2)
    for spec in ("gradcam(relu=False)", "hirescam(relu=False)", "opticam(iterations=2)"):
        found = saliency(trace, explainers.parse_one(spec))
        assert found.raw.shape == (2, MEMBERS[name].grid, MEMBERS[name].grid)
        assert found.status == ("ok", "ok")


def test_places_of_a_grid_are_not_transposed() -> None:
    """Swin keeps channels last: brighten one corner, and the activations change most in that corner."""
    trace = trace_of("swin_tiny_patch4_window7_224", 1)
    images = trace.images.clone()
    images[:, :, :32, -32:] = 1 - images[:, :, :32, -32:]
    other = Trace(trace.classifier, batch_in_memory(images), target=1)
    change = (trace.activations - other.activations).abs().sum(1)[0]  # (h, w)
    assert change.flatten().argmax() == 6  # top right


def test_a_network_outside_the_families_is_refused_with_a_way_out() -> None:
    classifier = load_classifier("timm/pit_ti_224@random", device="cpu")
    assert classifier.layer is None
    with pytest.raises(UsageError, match=r"no target layer is known for timm/pit_ti_224@random .*; name one with layer="):
        classifier.layer_name()


def test_a_family_whose_variant_lacks_the_layer_has_no_default() -> None:
    network = timm.create_model("vit_tiny_patch16_224", depth=1)
    del network.blocks[-1].norm1
    assert Classifier(network, mean=0.5, std=0.5).layer is None


@pytest.mark.parametrize("name", ["deit_tiny_distilled_patch16_224", "swin_tiny_patch4_window7_224", "convnext_atto"])
def test_maps_are_those_of_captum_laid_out_by_hand(name: str) -> None:
    """captum keeps the layer's own layout: DeiT's two prefix tokens, Swin's channels last, ConvNeXt's channels first."""
    from captum.attr import LayerGradientXActivation

    trace = trace_of(name, 2)
    inputs = ((trace.images - trace.classifier.mean) / trace.classifier.std).requires_grad_()
    layer = trace.classifier.module(trace.classifier.layer_name())
    witness = LayerGradientXActivation(trace.classifier.network, layer).attribute(inputs, 1)
    by_hand = {"deit": lambda: witness[:, 2:].sum(2).reshape(2, 14, 14), "swin": lambda: witness.sum(3), "conv": lambda: witness.sum(1)}
    expected = by_hand[name[:4]]().detach()
    found = saliency(trace, explainers.parse_one("hirescam(relu=False)")).raw
    torch.testing.assert_close(found / expected.abs().max(), expected / expected.abs().max(), rtol=0, atol=1e-4)
