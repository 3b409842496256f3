"""Which layers can be explained: defaults for the families of torchvision and timm, and a survey of any network."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, NamedTuple

import torch
from torch import Tensor, nn

from camdbench.core.errors import UsageError
from camdbench.models.capture import surveyed
from camdbench.models.tensor_layout import TensorLayout, readings

if TYPE_CHECKING:
    from camdbench.models.classifier import Classifier

# The class of the network -> its target layer; -1 is the last child. Reasons, where there is a choice:
# VGG and AlexNet: the last ReLU before the last pooling (Opti-CAM's "layer 42" of VGG16-BN), not the pooled grid.
# DenseNet: the last norm, before its functional ReLU. Swin: the last norm, whose places the head averages. A layer norm
# does not hear the size of what it normalises, so at its input sum_k G_k A_k is zero at every place, up to its epsilon:
# Swin's last block would give HiResCAM and its kin nothing but rounding.
# ViT: the first norm of the last block; after that block only the class token reaches the head.
_FAMILIES = {
    "AlexNet": "features.-2",
    "ConvNeXt": "features.-1",
    "DenseNet": "features",
    "EfficientNet": "features.-1",
    "GoogLeNet": "inception5b",
    "Inception3": "Mixed_7c",
    "MaxVit": "blocks.-1",
    "MNASNet": "layers",
    "MobileNetV2": "features.-1",
    "MobileNetV3": "features.-1",
    "RegNet": "trunk_output",
    "ResNet": "layer4.-1",
    "ShuffleNetV2": "conv5",
    "SqueezeNet": "features.-1",
    "SwinTransformer": "norm",
    "VGG": "features.-2",
    "VisionTransformer": "encoder.layers.-1.ln_1",
}


# timm: the same rules. Where a last norm or convolution with its activation ends the network, that is the layer; where
# it is left out, timm keeps an identity in its place. MobileNetV3's last convolution comes after the pooling.
_TIMM_FAMILIES = {
    "Beit": "blocks.-1.norm1",
    "ByobNet": "final_conv",
    "ConvNeXt": "stages.-1",
    "DenseNet": "features",
    "EfficientNet": "bn2",
    "Eva": "blocks.-1.norm1",
    "InceptionV3": "Mixed_7c",
    "MaxxVit": "norm",
    "MlpMixer": "norm",
    "MobileNetV3": "blocks.-1",
    "RegNet": "final_conv",
    "ResNet": "layer4.-1",
    "ResNetV2": "norm",
    "SwinTransformer": "norm",
    "SwinTransformerV2": "norm",
    "VGG": "features.-2",
    "VisionTransformer": "blocks.-1.norm1",
}


def default_layer(network: nn.Module) -> str | None:
    """The target layer of a classifier of torchvision or timm, or None for a network of another house."""
    for kind in type(network).__mro__:
        families = next((table for house, table in _HOUSES.items() if kind.__module__.startswith(house)), {})
        if kind.__name__ in families:
            return _named(network, families[kind.__name__])
    return None


_HOUSES = {"torchvision.models.": _FAMILIES, "timm.models.": _TIMM_FAMILIES}


def _named(network: nn.Module, pattern: str) -> str | None:
    """Replace negative positions by the names of the children they stand for; None where a variant has no such child."""
    module, names = network, list[str]()
    for step in pattern.split("."):
        children = dict(module.named_children())
        name = list(children)[int(step)] if step.startswith("-") else step
        if name not in children:
            return None
        names.append(name)
        module = children[name]
    return ".".join(names)


class Layer(NamedTuple):
    """One layer as the survey saw it.

    Attributes:
        name: its name in the network.
        kind: its class.
        channels: channels of its output; 0 where the layout is unclear.
        height: rows of its grid; 0 likewise.
        width: columns of its grid; 0 likewise.
        problem: why it cannot be explained; empty where it can.
    """

    name: str
    kind: str
    channels: int
    height: int
    width: int
    problem: str


def list_layers(classifier: Classifier, image_size: tuple[int, int]) -> list[Layer]:
    """All layers in the order of the network, with shapes, and with the reason where one cannot be explained.

    Costs two forward passes and one backward pass of one image; none is counted.

    Raises:
        UsageError: the network does not take images of that size.
    """
    modules = dict(classifier.network.named_modules())
    layouts = dict[str, list[TensorLayout]]()

    def places_only(name: str, gradient: Tensor) -> Tensor | None:
        layouts[name] = readings(tuple(gradient.shape), image_size, modules[name], classifier.network)
        return layouts[name][0].to_grid(gradient).ne(0).any() if len(layouts[name]) == 1 else None

    classifier.count_classes(image_size)  # refuses a size that the network does not take
    generator = torch.Generator().manual_seed(0)
    image = torch.rand(1, 3, *image_size, generator=generator).to(classifier.device).requires_grad_()
    passes = classifier.passes
    with torch.inference_mode(mode=False), classifier.frozen(), surveyed(classifier.network, places_only) as seen:
        logits = classifier(image)
        weights = torch.randn(logits.shape, generator=generator).to(logits.device)  # so that no two classes cancel
        torch.autograd.backward((logits * weights).sum(), inputs=[image])
    classifier.passes = passes
    layers = list[Layer]()
    for name, sighting in seen.items():
        found, shape = layouts.get(name, []), sighting.shape or ()
        layout = found[0] if len(found) == 1 else None
        channels = 0 if layout is None else shape[{"nchw": 1, "nhwc": 3, "tokens": 2}[layout.kind]]
        height, width = (0, 0) if layout is None else (layout.height, layout.width)
        problem = _problem(sighting.calls, found, sighting.gradient)
        layers.append(Layer(name, type(modules[name]).__name__, channels, height, width, problem))
    return layers


def _problem(calls: int, layouts: Sequence[TensorLayout], reached: Tensor | None) -> str:
    if calls == 0:
        return "does not run in a forward pass"
    if calls > 1:
        return f"runs {calls} times in a forward pass"
    if len(layouts) != 1:
        return "more than one reading of its output as a grid" if layouts else "no grid of places in its output"
    if layouts[0].height * layouts[0].width == 1:
        return "its grid has a single cell"
    if reached is None or not bool(reached):
        return "its gradient is exactly zero at every place"
    return ""


def check_layer(classifier: Classifier, layer: str | None, layers: Sequence[Layer]) -> str:
    """The name of the layer (the target layer where None), after making sure by the survey that it can be explained.

    Raises:
        UsageError: it cannot; the message says why and names a layer that works.
    """
    name = classifier.layer_name(layer)
    classifier.module(name)
    found = next(item for item in layers if item.name == name)
    if found.problem:
        works = [item.name for item in layers if not item.problem]
        known = [default for default in (classifier.layer, default_layer(classifier.network)) if default in works]
        better = (known + works[::-1] + [None])[0]
        mend = f"use layer={better!r}" if better else "no layer of this network can be explained"
        raise UsageError(f"layer {name!r} of {classifier.name} cannot be explained: {found.problem}; {mend}")
    return name
