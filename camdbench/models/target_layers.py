"""Target layers: defaults for torchvision and timm, and a survey of the layers of any network."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, NamedTuple

import torch
from torch import Tensor, nn

from camdbench.core.errors import UsageError
from camdbench.models.capture import survey
from camdbench.models.tensor_layout import TensorLayout, possible_layouts

if TYPE_CHECKING:
    from camdbench.models.classifier import Classifier

# Class of the network -> its target layer; -1 is the last child. Choices:
# VGG and AlexNet: the last ReLU before the last pooling (Opti-CAM's "layer 42" of VGG16-BN).
# DenseNet: the last norm, before its functional ReLU. Swin: the last norm, which the head averages. A layer norm is
# invariant to scale: at its input sum_k G_k A_k is zero up to epsilon, and HiResCAM at Swin's last block is rounding noise.
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


# timm: the same rules. The last norm or convolution with its activation if there is one (timm keeps an identity if it is
# omitted). The last convolution of MobileNetV3 follows the pooling.
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
    """Default target layer of a classifier of torchvision or timm; None for others."""
    for kind in type(network).__mro__:
        families = next((table for library, table in _LIBRARIES.items() if kind.__module__.startswith(library)), {})
        if kind.__name__ in families:
            return _resolve(network, families[kind.__name__])
    return None


_LIBRARIES = {"torchvision.models.": _FAMILIES, "timm.models.": _TIMM_FAMILIES}


def _resolve(network: nn.Module, pattern: str) -> str | None:
    """Replace negative positions by names of children; None if a child does not exist."""
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
    """A layer in the survey.

    Attributes:
        name: name in the network.
        kind: class of the module.
        channels: output channels; 0 if the layout is ambiguous.
        height: rows of the grid; 0 if the layout is ambiguous.
        width: columns of the grid; 0 if the layout is ambiguous.
        problem: why it cannot be explained; empty if it can.
    """

    name: str
    kind: str
    channels: int
    height: int
    width: int
    problem: str


def list_layers(classifier: Classifier, image_size: tuple[int, int]) -> list[Layer]:
    """All layers in the order of the network, with shapes and the reason if one cannot be explained.

    Costs two forward passes and one backward pass of one image, which are not counted.

    Raises:
        UsageError: the network does not accept images of that size.
    """
    modules = dict(classifier.network.named_modules())
    layouts = dict[str, list[TensorLayout]]()

    def any_gradient(name: str, gradient: Tensor) -> Tensor | None:
        layouts[name] = possible_layouts(tuple(gradient.shape), image_size, modules[name], classifier.network)
        return layouts[name][0].to_grid(gradient).ne(0).any() if len(layouts[name]) == 1 else None

    classifier.count_classes(image_size)  # raises for unsupported sizes
    generator = torch.Generator().manual_seed(0)
    image = torch.rand(1, 3, *image_size, generator=generator).to(classifier.device).requires_grad_()
    passes = classifier.passes
    with torch.inference_mode(mode=False), classifier.frozen(), survey(classifier.network, any_gradient) as records:
        logits = classifier(image)
        weights = torch.randn(logits.shape, generator=generator).to(logits.device)  # avoids cancellation of classes
        torch.autograd.backward((logits * weights).sum(), inputs=[image])
    classifier.passes = passes
    layers = list[Layer]()
    for name, record in records.items():
        found, shape = layouts.get(name, []), record.shape or ()
        layout = found[0] if len(found) == 1 else None
        channels = 0 if layout is None else shape[{"nchw": 1, "nhwc": 3, "tokens": 2}[layout.kind]]
        height, width = (0, 0) if layout is None else (layout.height, layout.width)
        problem = _problem(record.calls, found, record.gradient)
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
    """Name of the layer (default: the target layer), checked against the survey.

    Raises:
        UsageError: it cannot be explained; the message states the reason and a layer that can.
    """
    name = classifier.layer_name(layer)
    classifier.module(name)
    found = next(item for item in layers if item.name == name)
    if found.problem:
        works = [item.name for item in layers if not item.problem]
        known = [default for default in (classifier.layer, default_layer(classifier.network)) if default in works]
        better = (known + works[::-1] + [None])[0]
        fix = f"use layer={better!r}" if better else "no layer of this network can be explained"
        raise UsageError(f"layer {name!r} of {classifier.name} cannot be explained: {found.problem}; {fix}")
    return name
