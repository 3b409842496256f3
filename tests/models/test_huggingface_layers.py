"""Every image classifier of transformers: default layer, places of its tokens, and refusals; on tiny random networks."""

from __future__ import annotations

from functools import cache
from typing import Any

import pytest
import torch
from helpers.hf_families import TINY, build
from torch import Tensor, nn

from camdbench.core.errors import UsageError
from camdbench.datasets.in_memory import make_batch
from camdbench.explainers.common.explain import explain
from camdbench.explainers.common.trace import Trace
from camdbench.models.classifier import Classifier
from camdbench.models.huggingface_layers import FAMILIES, REFUSED, WITHOUT_GRID
from camdbench.models.target_layers import Layer, check_layer, list_layers

transformers: Any = pytest.importorskip("transformers")

# networks whose default layer is before attention and a class token; in all others the mean of places enters a linear layer
READ_BY_ATTENTION = {"beit", "cvt", "data2vec-vision", "deit", "dinov2", "dinov2_with_registers", "pvt", "vit", "vit_msn"}
_ONE = ("beit", "clip", "cvt", "data2vec-vision", "dinov2", "metaclip_2", "pvt", "vit", "vit_msn")
PREFIX = dict.fromkeys(_ONE, 1) | {"deit": 2, "dinov2_with_registers": 4}


@cache
def classifier_of(family: str) -> Classifier:
    return Classifier(build(family), mean=0.5, std=0.5, name=family)


@cache
def layers_of(family: str) -> list[Layer]:
    side = TINY[family][1]
    return list_layers(classifier_of(family), (side, side))


def images_of(family: str, count: int = 2) -> Tensor:
    return torch.rand(count, 3, *(TINY[family][1],) * 2, generator=torch.Generator().manual_seed(2))


def test_every_family_of_the_library_is_explained_or_refused() -> None:
    from transformers.models.auto.modeling_auto import MODEL_FOR_IMAGE_CLASSIFICATION_MAPPING_NAMES

    assert set(MODEL_FOR_IMAGE_CLASSIFICATION_MAPPING_NAMES) == {*FAMILIES, *REFUSED, *WITHOUT_GRID}
    assert set(TINY) == set(FAMILIES)


@pytest.mark.parametrize("family", FAMILIES)
def test_the_default_layer_is_found_and_its_maps_are_not_rounding(family: str) -> None:
    classifier, images = classifier_of(family), images_of(family)
    before = classifier(images).detach()
    name = check_layer(classifier, None, layers_of(family))
    assert name == classifier.layer
    trace = Trace(classifier, make_batch(images), target=1)
    product = trace.gradients * trace.activations
    assert len(product) == len(images)
    assert product.shape[2] == product.shape[3] >= 2
    rest = product.sum(1).abs().flatten(1).amax(1) / product.abs().sum(1).flatten(1).amax(1)
    assert rest.min() > 1e-3
    found, averaged = (explain(classifier, images, f"{cam}(relu=False)", targets=1).raw for cam in ("hirescam", "gradcam"))
    difference = float((found - averaged).abs().max() / averaged.abs().max())
    assert (difference > 1e-2) if family in READ_BY_ATTENTION else (difference < 1e-4)
    assert torch.equal(classifier(images).detach(), before)
    with classifier.captured() as seen:
        classifier(images)
    assert classifier.layout(seen.output(), (images.shape[2], images.shape[3])).prefix == PREFIX.get(family, 0)


# share of altered blocks at whose own place the layer of the narrow network changes most, if below 0.75: these networks have
# large receptive fields, squeeze and excitation or group norm
FOUND_BELOW = {
    "bit": 0.5,
    "efficientnet": 0.11,
    "hgnet_v2": 0.56,
    "levit": 0.25,
    "mobilenet_v1": 0.22,
    "mobilenet_v2": 0.22,
    "mobilevit": 0.11,
    "mobilevitv2": 0.11,
    "pp_lcnet": 0.0,
    "pvt_v2": 0.56,
    "regnet": 0.44,
    "resnet": 0.44,
    "swiftformer": 0.33,
    "textnet": 0.44,
}


def changes_of(family: str, blocks: list[tuple[slice, slice]]) -> Tensor:
    """(P, h, w), how much the layer changes when each block of an image is altered."""
    classifier, image = classifier_of(family), images_of(family, 1)
    altered = image.repeat(len(blocks), 1, 1, 1)
    for number, (rows, columns) in enumerate(blocks):
        altered[number, :, rows, columns] = 1 - altered[number, :, rows, columns]
    plain, changed = (Trace(classifier, make_batch(images), target=1).activations.detach() for images in (image, altered))
    return (changed - plain).abs().sum(1)


@pytest.mark.parametrize("family", [family for family in FAMILIES if family not in FOUND_BELOW])
def test_an_altered_block_changes_the_tokens_of_its_place_most(family: str) -> None:
    count = Trace(classifier_of(family), make_batch(images_of(family, 1)), target=1).activations.shape[2]
    side = TINY[family][1] // count
    parts = [slice(start * side, (start + 1) * side) for start in range(count)]
    change = changes_of(family, [(rows, columns) for rows in parts for columns in parts]).flatten(1)
    assert float((change.argmax(1) == torch.arange(count * count)).float().mean()) >= 0.75


@pytest.mark.parametrize("family", ["bit", "hgnet_v2", "pvt_v2", "regnet", "resnet", "swiftformer", "textnet"])
def test_an_altered_half_of_the_image_changes_that_side_most(family: str) -> None:
    """Of the others, those whose narrow network reacts at every place: ratios of change grow towards the altered half."""
    first, second, every = slice(0, TINY[family][1] // 2), slice(TINY[family][1] // 2, None), slice(None)
    left, right, top, bottom = changes_of(family, [(every, first), (every, second), (first, every), (second, every)])
    across, down = (right / left).log(), (bottom / top).log()
    for ratio, other in ((across, down), (down.T, across.T)):
        growth, astray = (float(own[:, -1].mean() - own[:, 0].mean()) for own in (ratio, other))
        assert growth > max(0.2, 2 * abs(astray))


class TestRefusals:
    def test_layers_of_hiera_before_its_last_stage(self) -> None:
        early = [layer for layer in layers_of("hiera") if layer.name.startswith(("hiera.encoder.stages.0", "hiera.encoder.stages.1"))]
        assert early
        assert all("mask units" in layer.problem or "runs 2 times" in layer.problem for layer in early)
        with pytest.raises(UsageError, match=r"stages.1.layers.0' of hiera .* mask units .* use layer='hiera.encoder.stages.2.layers.1'"):
            check_layer(classifier_of("hiera"), "hiera.encoder.stages.1.layers.0", layers_of("hiera"))

    def test_windows_pooled_vectors_and_attention_are_no_grids(self) -> None:
        problems = {layer.name: layer.problem for layer in layers_of("swin")}
        windows = [problem for name, problem in problems.items() if "layers.0" in name and name.endswith(".v_proj")]
        assert windows
        assert all("items for one image, such as windows" in problem for problem in windows)
        assert problems["swin.pooler"] == "no grid of places in its output"
        attention = [layer.problem for layer in layers_of("pvt") if layer.name.endswith("attention.self.dropout")]
        assert any("attention probabilities" in problem for problem in attention)
        assert all(attention)

    @pytest.mark.parametrize("family", ["swin", "hiera", "pvt", "donut-swin", "focalnet", "vit"])
    def test_a_recommended_layer_can_be_explained(self, family: str) -> None:
        classifier, known = classifier_of(family), layers_of(family)
        bad = next(layer.name for layer in known if layer.problem and "times" not in layer.problem)
        with pytest.raises(UsageError, match="use layer=") as refusal:
            check_layer(classifier, bad, known)
        layer = str(refusal.value).rpartition("use layer=")[2].strip("'")
        found = explain(classifier, images_of(family), "gradcam", targets=1, layer=layer)
        assert len(found.raw) == 2
        assert found.raw[0].numel() >= 4

    @pytest.mark.parametrize("family", [*REFUSED, *WITHOUT_GRID])
    def test_families_that_take_no_images_are_refused_with_the_reason(self, family: str) -> None:
        kind = type("Network", (nn.Linear,), {"__module__": f"transformers.models.{family}.modeling"})
        network = kind(3, 2)
        vars(network)["config"] = type("Config", (), {"model_type": family})()
        with pytest.raises(UsageError) as refusal:
            Classifier(network, mean=0.5, std=0.5).layer_name()
        assert (REFUSED | WITHOUT_GRID)[family] in str(refusal.value)
