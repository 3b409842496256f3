"""The default target layer of each family of torchvision and timm: which it is, and that it can be explained."""

from __future__ import annotations

from collections.abc import Callable
from typing import NamedTuple

import pytest
import torch
import torchvision
from torch import nn

from camdbench.core.errors import UsageError
from camdbench.core.registries import explainers
from camdbench.datasets.in_memory import make_batch
from camdbench.explainers.common.saliency import saliency
from camdbench.explainers.common.trace import Trace
from camdbench.explainers.hirescam import hirescam
from camdbench.models.classifier import Classifier
from camdbench.models.target_layers import _FAMILIES, _TIMM_FAMILIES, check_layer, default_layer, list_layers
from camdbench.models.zoo import load_classifier

timm = pytest.importorskip("timm")


class Member(NamedTuple):
    """One network of a family: its class, the side of the images, its target layer, and that layer's channels and grid."""

    family: str
    side: int
    layer: str
    channels: int
    grid: int


MEMBERS = {
    "alexnet": Member("AlexNet", 96, "features.11", 256, 5),
    "convnext_tiny": Member("ConvNeXt", 96, "features.7", 768, 3),
    "densenet121": Member("DenseNet", 96, "features", 1024, 3),
    "efficientnet_b0": Member("EfficientNet", 96, "features.8", 1280, 3),
    "efficientnet_v2_s": Member("EfficientNet", 96, "features.7", 1280, 3),
    "googlenet": Member("GoogLeNet", 96, "inception5b", 1024, 3),
    "inception_v3": Member("Inception3", 128, "Mixed_7c", 2048, 2),
    "maxvit_t": Member("MaxVit", 224, "blocks.3", 64, 7),
    "mnasnet0_5": Member("MNASNet", 96, "layers", 1280, 3),
    "mobilenet_v2": Member("MobileNetV2", 96, "features.18", 1280, 3),
    "mobilenet_v3_small": Member("MobileNetV3", 96, "features.12", 576, 3),
    "regnet_y_400mf": Member("RegNet", 96, "trunk_output", 440, 3),
    "resnet18": Member("ResNet", 96, "layer4.1", 512, 3),
    "resnext50_32x4d": Member("ResNet", 96, "layer4.2", 2048, 3),
    "shufflenet_v2_x0_5": Member("ShuffleNetV2", 96, "conv5", 1024, 3),
    "squeezenet1_1": Member("SqueezeNet", 96, "features.12", 512, 5),
    "swin_t": Member("SwinTransformer", 96, "norm", 192, 3),
    "swin_v2_t": Member("SwinTransformer", 96, "norm", 768, 3),
    "vgg11": Member("VGG", 96, "features.19", 512, 6),
    "vgg16_bn": Member("VGG", 96, "features.42", 512, 6),
    "vit_b_32": Member("VisionTransformer", 224, "encoder.layers.encoder_layer_1.ln_1", 48, 7),
}

TIMM_MEMBERS = {
    "timm/beit_base_patch16_224": Member("Beit", 224, "blocks.1.norm1", 48, 14),
    "timm/repvgg_a0": Member("ByobNet", 96, "final_conv", 1280, 3),
    "timm/convnext_atto": Member("ConvNeXt", 96, "stages.3", 320, 3),
    "timm/densenet121": Member("DenseNet", 96, "features", 1024, 3),
    "timm/efficientnet_b0": Member("EfficientNet", 96, "bn2", 1280, 3),
    "timm/eva02_tiny_patch14_336": Member("Eva", 336, "blocks.1.norm1", 48, 24),
    "timm/inception_v3": Member("InceptionV3", 128, "Mixed_7c", 2048, 2),
    "timm/maxvit_nano_rw_256": Member("MaxxVit", 256, "norm", 64, 8),
    "timm/mixer_s32_224": Member("MlpMixer", 224, "norm", 512, 7),
    "timm/mobilenetv2_050": Member("EfficientNet", 96, "bn2", 1280, 3),
    "timm/mobilenetv3_small_050": Member("MobileNetV3", 96, "blocks.5", 288, 3),
    "timm/regnetx_002": Member("RegNet", 96, "final_conv", 368, 3),
    "timm/resnet10t": Member("ResNet", 96, "layer4.0", 512, 3),
    "timm/resnetv2_50": Member("ResNetV2", 96, "norm", 64, 3),
    "timm/swin_tiny_patch4_window7_224": Member("SwinTransformer", 224, "norm", 768, 7),
    "timm/swinv2_tiny_window8_256": Member("SwinTransformerV2", 256, "norm", 192, 8),
    "timm/vgg11": Member("VGG", 96, "features.13", 32, 6),
    "timm/deit_tiny_distilled_patch16_224": Member("VisionTransformer", 224, "blocks.1.norm1", 48, 14),
    "timm/vit_tiny_patch16_224": Member("VisionTransformer", 224, "blocks.1.norm1", 48, 14),
}
ALL = MEMBERS | TIMM_MEMBERS

# members with fewer and narrower blocks, as the whole ones take seconds each
SMALL: dict[str, Callable[[], nn.Module]] = {
    "maxvit_t": lambda: torchvision.models.MaxVit((224, 224), 16, 7, [16, 32, 32, 64], [1, 1, 1, 1], 16, 0.0),
    "swin_t": lambda: torchvision.models.SwinTransformer([4, 4], 24, [1, 1, 1, 2], [1, 1, 2, 2], [7, 7]),
    "vit_b_32": lambda: torchvision.models.VisionTransformer(224, 32, 2, 2, 48, 96),
    "timm/beit_base_patch16_224": lambda: timm.create_model("beit_base_patch16_224", embed_dim=48, depth=2, num_heads=3),
    "timm/deit_tiny_distilled_patch16_224": lambda: timm.create_model("deit_tiny_distilled_patch16_224", embed_dim=48, depth=2),
    "timm/eva02_tiny_patch14_336": lambda: timm.create_model("eva02_tiny_patch14_336", embed_dim=48, depth=2),
    "timm/maxvit_nano_rw_256": lambda: timm.create_model("maxvit_nano_rw_256", embed_dim=(32, 32, 64, 64), depths=(1, 1, 1, 1)),
    "timm/resnetv2_50": lambda: timm.create_model("resnetv2_50", layers=(1, 1, 1, 1), channels=(32, 32, 64, 64)),
    "timm/swin_tiny_patch4_window7_224": lambda: timm.create_model("swin_tiny_patch4_window7_224", depths=(1, 1, 1, 2)),
    "timm/swinv2_tiny_window8_256": lambda: timm.create_model("swinv2_tiny_window8_256", embed_dim=24, depths=(1, 1, 1, 2)),
    "timm/vgg11": lambda: timm.models.vgg.VGG([16, "M", 16, "M", 32, "M", 32, "M", 32, "M"]),
    "timm/vit_tiny_patch16_224": lambda: timm.create_model("vit_tiny_patch16_224", embed_dim=48, depth=2),
}


def classifier_of(name: str) -> Classifier:
    """A member with random weights, frozen for good."""
    if name not in SMALL:
        return load_classifier(f"{name}@random", device="cpu").requires_grad_(False)
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(0)
        network = SMALL[name]()
        if isinstance(getattr(network, "heads", None), nn.Module):  # torchvision's is zero, which gives no map
            nn.init.normal_(network.heads.head.weight, std=0.1)
    return Classifier(network.eval(), mean=0.5, std=0.5, name=name).requires_grad_(False)


def trace_of(classifier: Classifier, side: int, count: int = 1, layer: str | None = None) -> Trace:
    """Noise images through a layer of a network."""
    images = torch.rand(count, 3, side, side, generator=torch.Generator().manual_seed(0))
    return Trace(classifier, make_batch(images), target=1, layer=layer)


@pytest.mark.parametrize(("members", "families"), [(MEMBERS, _FAMILIES), (TIMM_MEMBERS, _TIMM_FAMILIES)])
def test_every_family_has_a_member(members: dict[str, Member], families: dict[str, str]) -> None:
    assert {member.family for member in members.values()} == set(families)


@pytest.mark.parametrize("name", ALL)
def test_the_default_layer_of_a_family_can_be_explained(name: str) -> None:
    member, classifier = ALL[name], classifier_of(name)
    assert member.family in {kind.__name__ for kind in type(classifier.network).__mro__}
    assert classifier.layer == member.layer
    assert check_layer(classifier, None, list_layers(classifier, (member.side, member.side))) == member.layer
    trace = trace_of(classifier, member.side)
    assert trace.activations.shape == (1, member.channels, member.grid, member.grid)
    assert trace.gradients.abs().max() > 0
    assert cancelled(trace) > 1e-3, "HiResCAM at this layer is made of rounding"


def cancelled(trace: Trace) -> float:
    """What is left of sum_k |G_k A_k| where the sign counts, at the place where most is left."""
    product = trace.gradients * trace.activations
    return float((product.sum(1).abs() / product.abs().sum(1).clamp_min(1e-20)).max())


INPUTS_OF_NORMS = {
    "swin_t": "features.7.1",
    "timm/swin_tiny_patch4_window7_224": "layers.3.blocks.1",
    "timm/mixer_s32_224": "blocks.7",
    "timm/maxvit_nano_rw_256": "stages.3",
}


@pytest.mark.parametrize("name", INPUTS_OF_NORMS)
def test_a_layer_norm_averaged_over_places_is_the_layer_because_at_its_input_hirescam_cancels(name: str) -> None:
    """LN(s x) = LN(x), so x . d LN(x) / dx = 0 at every place; behind the norm the map adds up to the logit."""
    classifier, side = classifier_of(name), ALL[name].side
    assert cancelled(trace_of(classifier, side, layer=INPUTS_OF_NORMS[name])) < 1e-5
    trace = trace_of(classifier, side)
    heads = [module for module in classifier.network.modules() if isinstance(module, nn.Linear)]
    bias = heads[-1].bias[1]
    torch.testing.assert_close(hirescam(trace, relu=False).sum(), trace.target_logits[0] - bias, rtol=1e-3, atol=1e-4)


@pytest.mark.parametrize(
    "name", ["vit_tiny_patch16_224", "deit_tiny_distilled_patch16_224", "swin_tiny_patch4_window7_224", "convnext_atto"]
)
def test_cams_have_a_map_on_every_kind_of_grid(name: str) -> None:
    member = ALL[f"timm/{name}"]
    trace = trace_of(classifier_of(f"timm/{name}"), member.side, 2)
    for spec in ("gradcam(relu=False)", "hirescam(relu=False)", "opticam(iterations=2)"):
        found = saliency(trace, explainers.parse_one(spec))
        assert found.raw.shape == (2, member.grid, member.grid)
        assert found.status == ("ok", "ok")


@pytest.mark.parametrize("name", ["swin_t", "timm/swin_tiny_patch4_window7_224"])
def test_places_of_a_grid_are_not_transposed(name: str) -> None:
    """Swin keeps channels last: brighten one corner, and the activations change most in that corner."""
    trace = trace_of(classifier_of(name), 224)
    images = trace.images.clone()
    images[:, :, :32, -32:] = 1 - images[:, :, :32, -32:]
    other = Trace(trace.classifier, make_batch(images), target=1)
    change = (trace.activations - other.activations).abs().sum(1)[0]  # (h, w)
    assert change.flatten().argmax() == 6  # top right


@pytest.mark.parametrize("name", ["deit_tiny_distilled_patch16_224", "swin_tiny_patch4_window7_224", "convnext_atto"])
def test_maps_are_those_of_captum_laid_out_by_hand(name: str) -> None:
    """captum keeps the layer's own layout: DeiT's two prefix tokens, Swin's channels last, ConvNeXt's channels first."""
    from captum.attr import LayerGradientXActivation

    trace = trace_of(classifier_of(f"timm/{name}"), ALL[f"timm/{name}"].side, 2)
    inputs = ((trace.images - trace.classifier.mean) / trace.classifier.std).requires_grad_()
    layer = trace.classifier.module(trace.classifier.layer_name())
    reference = LayerGradientXActivation(trace.classifier.network, layer).attribute(inputs, 1)
    by_hand = {
        "deit": lambda: reference[:, 2:].sum(2).reshape(2, 14, 14),
        "swin": lambda: reference.sum(3),
        "conv": lambda: reference.sum(1),
    }
    expected = by_hand[name[:4]]().detach()
    found = saliency(trace, explainers.parse_one("hirescam(relu=False)")).raw
    torch.testing.assert_close(found / expected.abs().max(), expected / expected.abs().max(), rtol=0, atol=1e-4)


class TestOutsideTheFamilies:
    def test_a_network_of_another_house_has_no_default(self) -> None:
        assert default_layer(nn.Sequential(nn.Conv2d(3, 4, 1))) is None
        classifier = Classifier(nn.Sequential(nn.Conv2d(3, 4, 1), nn.AdaptiveAvgPool2d(1), nn.Flatten()), mean=0, std=1)
        with pytest.raises(UsageError, match=r"no target layer is known for custom \(Sequential\); name one with layer="):
            check_layer(classifier, None, list_layers(classifier, (8, 8)))

    def test_another_network_of_timm_is_refused_with_a_way_out(self) -> None:
        classifier = classifier_of("timm/pit_ti_224")
        assert classifier.layer is None
        with pytest.raises(UsageError, match=r"no target layer is known for timm/pit_ti_224@random .*; name one with layer="):
            classifier.layer_name()

    def test_a_variant_that_lacks_the_layer_has_no_default(self) -> None:
        network = timm.create_model("vit_tiny_patch16_224", depth=1)
        del network.blocks[-1].norm1
        assert Classifier(network, mean=0.5, std=0.5).layer is None
