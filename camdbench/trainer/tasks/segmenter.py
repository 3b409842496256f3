"""Segmenter: torchvision's FCN head on the output of a classifier's layer."""

from __future__ import annotations

from collections.abc import Generator
from contextlib import contextmanager
from pathlib import Path
from typing import Literal

import torch
import torch.nn.functional as F
from pydantic import BaseModel
from torch import Tensor, nn
from torchvision.models.segmentation.fcn import FCNHead

from camdbench.core.errors import UsageError
from camdbench.core.files import read_json
from camdbench.models.classifier import Classifier
from camdbench.models.network_check import count_classes
from camdbench.models.weights_file import read_state
from camdbench.models.zoo import load_classifier

Backbone = Literal["frozen", "trained"]
_MIN_CHANNELS = 4  # the head keeps a quarter of them


class _Recipe(BaseModel):
    model: str
    backbone: Backbone


class _Sidecar(BaseModel):
    recipe: _Recipe
    layer: str
    weights: str
    classes: list[str]


class Segmenter(nn.Module):
    """FCN head on the output of a layer, with scores up-sampled bilinearly to the image.

    The head of `torchvision.models.segmentation.fcn_resnet50`; the backbone is not dilated, in contrast to torchvision's.

    Args:
        classifier: backbone, on the device of the head.
        channels: channels of the layer's output.
        classes: number of classes of a pixel, background included.
        layer: name of the layer.
        backbone: `frozen`: unchanged and in eval mode; `trained`: trained with the head.
    """

    def __init__(self, classifier: Classifier, channels: int, classes: int, *, layer: str, backbone: Backbone) -> None:
        super().__init__()
        self.classifier, self.layer, self.backbone = classifier, layer, backbone
        self.head = FCNHead(channels, classes)

    def forward(self, images: Tensor) -> Tensor:
        """Logits (B, classes, H, W) of images (B, 3, H, W) in [0, 1]."""
        grid = features(self.classifier, images, self.layer, attached=self.backbone == "trained")
        return F.interpolate(self.head(grid), size=images.shape[-2:], mode="bilinear", align_corners=False)

    def trained_state(self) -> dict[str, Tensor]:
        """State dict of the head, and of the backbone if it is trained."""
        parts = {"head": self.head} | ({"network": self.classifier.network} if self.backbone == "trained" else {})
        return {f"{name}.{key}": tensor for name, part in parts.items() for key, tensor in part.state_dict().items()}

    def load_trained_state(self, state: dict[str, Tensor]) -> None:
        """Load a `trained_state`."""
        for name, part in (("head", self.head), ("network", self.classifier.network)):
            own = {key.removeprefix(f"{name}."): tensor for key, tensor in state.items() if key.startswith(f"{name}.")}
            if own:
                part.load_state_dict(own)

    def trained_parameters(self) -> list[nn.Parameter]:
        """Parameters of the head, and of the backbone if it is trained."""
        return [*self.head.parameters(), *(self.classifier.network.parameters() if self.backbone == "trained" else ())]

    @contextmanager
    def training_mode(self) -> Generator[None]:
        """Training mode of the head, and of the backbone if it is trained; restores modes and flags after the block."""
        with self.classifier.frozen():
            self.head.train()
            if self.backbone == "trained":
                self.classifier.train().requires_grad_(True)
            yield

    @contextmanager
    def evaluating(self) -> Generator[None]:
        """Eval mode without gradients; restores the classifier's modes and flags after the block."""
        with self.classifier.frozen(), torch.no_grad():
            self.head.eval()
            yield


def features(classifier: Classifier, images: Tensor, layer: str, *, attached: bool = False) -> Tensor:
    """Output of a layer as feature maps (B, K, h, w); differentiable if `attached`.

    Raises:
        UsageError: unknown layer, or its output has no grid.
    """
    with torch.set_grad_enabled(attached and torch.is_grad_enabled()), classifier.captured(layer, attached=attached) as seen:
        classifier(images)
    output = seen.output() if attached else seen.output().detach()
    return classifier.layout(output, (images.shape[-2], images.shape[-1]), layer).to_grid(output)


def channels_at(classifier: Classifier, layer: str, image: Tensor) -> int:
    """Number of channels of a layer on an image (3, H, W) in [0, 1]; the classifier is left unchanged.

    Raises:
        UsageError: wrong image size, unknown layer, or an output without a grid or with too few channels.
    """
    classifier.module(layer)
    count_classes(classifier, (image.shape[-2], image.shape[-1]))
    with classifier.frozen():
        count = features(classifier, image[None].to(classifier.device), layer).shape[1]
    if count < _MIN_CHANNELS:
        raise UsageError(f"layer {layer!r} has {count} channels, and the head needs {_MIN_CHANNELS}; choose a later one")
    return count


def load_segmenter(path: str | Path, *, device: str = "auto") -> Segmenter:
    """Load a trained probe in eval mode; its logits are (B, classes, H, W), the background first.

    Args:
        path: NAME.safetensors with NAME.json beside it; the recipe in it names the classifier.
        device: `auto`, `cpu`, `cuda`, `cuda:1`, `mps`.

    Raises:
        UsageError: a file is missing or damaged, or the weights of the classifier have changed since the training.
    """
    file = Path(path)
    facts = read_json(file.with_suffix(".json"), _Sidecar, "probe", fix="train the probe again")
    recipe, layer, weights, count = facts["recipe"], facts["layer"], facts["weights"], len(facts["classes"])
    classifier = load_classifier(recipe["model"], device=device)
    if classifier.weights_hash() != weights:
        raise UsageError(f"probe {file}: the weights of {recipe['model']} have changed since its training; train it again")
    state = read_state(file)
    channels = state["head.0.weight"].shape[1]
    segmenter = Segmenter(classifier, channels, count, layer=layer, backbone=recipe["backbone"])
    segmenter.load_trained_state(state)
    return segmenter.to(classifier.device).eval()
