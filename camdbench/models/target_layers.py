"""Target layers: defaults for torchvision and timm, and a survey of the layers of any network."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, NamedTuple

import torch
from torch import nn

from camdbench.core.errors import UsageError
from camdbench.models.capture import CapturedOutput, split_call
from camdbench.models.first_pass import layouts_of
from camdbench.models.huggingface_layers import FAMILIES, family_of, order_problem
from camdbench.models.named_layers import unknown_layer
from camdbench.models.network_check import Look, look_at
from camdbench.models.tensor_layout import TensorLayout, readings

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
    """Default target layer of a classifier of torchvision, timm or transformers; None for others."""
    if (inside := getattr(network, "timm_model", None)) is not None and family_of(network) == "timm_wrapper":
        layer = default_layer(inside)
        return None if layer is None else f"timm_model.{layer}"
    if (family := FAMILIES.get(family_of(network) or "")) is not None:
        return _resolve(network, family.layer)
    for kind in type(network).__mro__:
        families = next((table for library, table in _LIBRARIES.items() if kind.__module__.startswith(library)), {})
        if kind.__name__ in families:
            return _resolve(network, families[kind.__name__])
    return None


_FEWEST_CELLS = 4  # of a layer that an error recommends

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
        followed_by: activation function that its output enters directly; empty if there is none.
        prefix: number of tokens before those of the patches.
    """

    name: str
    kind: str
    channels: int
    height: int
    width: int
    problem: str
    followed_by: str = ""
    prefix: int = 0


def list_layers(classifier: Classifier, image_size: tuple[int, int]) -> list[Layer]:
    """All layers in the order of the network, with shapes and the reason if one cannot be explained.

    A module that runs more than once is followed by its last call, `NAME[-1]`. Costs no pass beside those of `look_at`, which are
    kept.

    Raises:
        UsageError: the network fails on images of that size, contradicts what is stated of it, or cannot be observed.
    """
    return layers_of_look(classifier, look_at(classifier, image_size))


def layers_of_look(classifier: Classifier, look: Look) -> list[Layer]:
    """All layers by a look at their network, as `list_layers` returns them.

    Raises:
        UsageError: the network could not be observed.
    """
    if look.layers.problem:
        why = f"its layers cannot be listed ({look.layers.problem})"
        raise UsageError(f"{classifier.name}: {why}; use an explainer without a layer")
    if "layers" not in look.notes:
        look.notes["layers"] = _layers(classifier, look)
    return list(look.notes["layers"])


def _layers(classifier: Classifier, look: Look) -> list[Layer]:
    modules, layers = dict(classifier.network.named_modules()), list[Layer]()
    differentiable, layouts = not look.check.gradient_problem, look.layers.layouts
    for name, record in look.layers.records.items():
        shape = record.shape or ()
        found = layouts.get(name, [] if differentiable else layouts_of(classifier, modules[name], shape, look.image_size))
        layout = found[0] if len(found) == 1 else None
        channels = 0 if layout is None else shape[{"nchw": 1, "nhwc": 3, "tokens": 2}[layout.kind]]
        height, width = (0, 0) if layout is None else (layout.height, layout.width)
        unreached = differentiable and not (record.gradient is not None and bool(record.gradient))
        problem, kind = _problem(modules[name], record, found, unreached=unreached), type(modules[name]).__name__
        problem = order_problem(classifier.network, name) or problem
        follower = look.layers.followers.get(name, "")
        if record.calls > 1:
            layers.append(Layer(name, kind, 0, 0, 0, f"runs {record.calls} times in a forward pass", follower))
            name = f"{name}[-1]"
        layers.append(Layer(name, kind, channels, height, width, problem, follower, 0 if layout is None else layout.prefix))
    return layers


def _problem(module: nn.Module, record: CapturedOutput, layouts: Sequence[TensorLayout], *, unreached: bool) -> str:
    if isinstance(module, torch.jit.ScriptModule):
        return "TorchScript does not let its layers be captured"
    if record.calls == 0:
        return "does not run in a forward pass"
    if record.shape and record.shape[0] != 1:
        return f"returns {record.shape[0]} items for one image, such as windows"
    if record.is_attention:
        return "returns attention probabilities: its rows and columns are tokens, not places"
    if len(layouts) != 1:
        return readings(layouts) if layouts else "no grid of places in its output"
    single = layouts[0].height * layouts[0].width == 1
    return "its grid has a single cell" if single else "its gradient is exactly zero at every place" if unreached else ""


def check_layer(classifier: Classifier, layer: str | None, layers: Sequence[Layer]) -> str:
    """Name of the layer (default: the target layer), checked against the survey.

    Raises:
        UsageError: it cannot be explained; the message states the reason and a layer that can.
    """
    name = classifier.layer_name(layer)
    classifier.module(name)
    plain, call = split_call(name)
    named = plain if call is None else f"{plain}[-1]"  # the survey looks at the last call
    found = next((item for item in layers if item.name == named), None) or next((item for item in layers if item.name == plain), None)
    if found is None:  # another name of a module that has one already
        raise unknown_layer(classifier.network, name, classifier.name)
    if not found.problem:
        return name
    works = [item for item in layers if not item.problem]
    works = [item for item in works if item.height * item.width >= _FEWEST_CELLS] or works
    names = [item.name for item in works]
    after = [item.name for item in works if not item.followed_by]  # an activation function would change the map
    known = [default for default in (f"{name}[-1]", classifier.layer, default_layer(classifier.network)) if default in names]
    better = (known + after[::-1] + names[::-1] + [None])[0]
    fix = f"use layer={better!r}" if better else "no layer of this network can be explained"
    raise UsageError(f"layer {name!r} of {classifier.name} cannot be explained: {found.problem}; {fix}")
