"""Segmenter: torchvision's FCN head on the output of a classifier's layer."""

from __future__ import annotations

import json
from collections.abc import Generator
from contextlib import contextmanager
from pathlib import Path
from typing import Literal

import torch
import torch.nn.functional as F
from torch import Tensor, nn
from torchvision.models.segmentation.fcn import FCNHead

from camdbench.core.errors import UsageError
from camdbench.models.classifier import Classifier
from camdbench.models.tensor_layout import find_layout
from camdbench.models.weights_file import read_state
from camdbench.models.zoo import load_classifier

Backbone = Literal["frozen", "trained"]
_FEWEST = 4  # channels: the head keeps a quarter of them


class Segmenter(nn.Module):
    """A fully convolutional head on the layer's grid, its scores brought to the size of the image bilinearly.

    A convolution to a quarter of the channels, normalisation, ReLU, dropout and a convolution to the classes, as in
    `torchvision.models.segmentation.fcn_resnet50`, whose backbone, other than here, is dilated. What comes after the layer
    in the classifier has no part in it.

    Args:
        classifier: whose features; it is on the device of the head.
        channels: of the layer's output.
        classes: what a pixel can be, the background among them.
        layer: its name.
        backbone: `frozen`, the classifier is never changed and always in eval mode, or `trained`, it learns with the head.
    """

    def __init__(self, classifier: Classifier, channels: int, classes: int, *, layer: str, backbone: Backbone) -> None:
        super().__init__()
        self.classifier, self.layer, self.backbone = classifier, layer, backbone
        self.head = FCNHead(channels, classes)

    def forward(self, images: Tensor) -> Tensor:
        """Scores (B, classes, H, W) of images (B, 3, H, W) in [0, 1]."""
        grid = features(self.classifier, images, self.layer, attached=self.backbone == "trained")
        return F.interpolate(self.head(grid), size=images.shape[-2:], mode="bilinear", align_corners=False)

    def learned(self) -> dict[str, Tensor]:
        """What training changes, by name: the head's weights and statistics, and the network's where it is trained too."""
        parts = {"head": self.head} | ({"network": self.classifier.network} if self.backbone == "trained" else {})
        return {f"{name}.{key}": tensor for name, part in parts.items() for key, tensor in part.state_dict().items()}

    def learn(self, state: dict[str, Tensor]) -> None:
        """Take over what `learned` of another segmenter gave."""
        for name, part in (("head", self.head), ("network", self.classifier.network)):
            own = {key.removeprefix(f"{name}."): tensor for key, tensor in state.items() if key.startswith(f"{name}.")}
            if own:
                part.load_state_dict(own)

    def parameters_that_learn(self) -> list[nn.Parameter]:
        """The head's, and those of the network where it is trained too."""
        return [*self.head.parameters(), *(self.classifier.network.parameters() if self.backbone == "trained" else ())]

    @contextmanager
    def training_mode(self) -> Generator[None]:
        """Training mode inside the block, of the classifier only where it is trained; modes and flags come back after it."""
        with self.classifier.frozen():
            self.head.train()
            if self.backbone == "trained":
                self.classifier.train().requires_grad_(True)
            yield

    @contextmanager
    def evaluating(self) -> Generator[None]:
        """Eval mode and no gradients inside the block; the classifier's modes and flags come back after it."""
        with self.classifier.frozen(), torch.no_grad():
            self.head.eval()
            yield


def features(classifier: Classifier, images: Tensor, layer: str, *, attached: bool = False) -> Tensor:
    """Output of a layer as channels on a grid (B, K, h, w); differentiable if `attached`.

    Raises:
        UsageError: there is no such layer, or there is no grid in what it returns.
    """
    with torch.set_grad_enabled(attached and torch.is_grad_enabled()), classifier.captured(layer, attached=attached) as seen:
        classifier(images)
    output = seen.output() if attached else seen.output().detach()
    size = (images.shape[-2], images.shape[-1])
    return find_layout(tuple(output.shape), size, classifier.module(layer), classifier.network, layer).to_grid(output)


def channels_at(classifier: Classifier, layer: str, image: Tensor) -> int:
    """How many channels a layer has.

    Args:
        classifier: the model; it is left as it was.
        layer: its name.
        image: (3, H, W) in [0, 1].

    Raises:
        UsageError: the classifier does not take images of that size, there is no such layer, or no grid with channels enough
            for a head in what it returns.
    """
    classifier.module(layer)
    classifier.count_classes((image.shape[-2], image.shape[-1]))
    with classifier.frozen():
        count = features(classifier, image[None].to(classifier.device), layer).shape[1]
    if count < _FEWEST:
        raise UsageError(f"layer {layer!r} has {count} channels, and the head needs {_FEWEST}; choose a later one")
    return count


def load_segmenter(path: str | Path, *, device: str = "auto") -> Segmenter:
    """The segmenter of a probe, in eval mode: scores (B, classes, H, W) of images in [0, 1], the background first.

    Args:
        path: NAME.safetensors with its NAME.json beside it; the classifier is found as the probe's recipe names it.
        device: `auto`, `cpu`, `cuda`, `cuda:1`, `mps`.

    Raises:
        UsageError: a file is missing or damaged, or the classifier's weights are no longer those that the head was trained on.
    """
    file = Path(path)
    try:
        facts = json.loads(file.with_suffix(".json").read_text(encoding="utf-8"))
        recipe, layer, weights, count = facts["recipe"], facts["layer"], facts["weights"], len(facts["classes"])
    except (OSError, ValueError, KeyError, TypeError) as error:
        raise UsageError(f"probe {file}: {file.with_suffix('.json').name} beside it is missing or damaged ({error!r})") from None
    classifier = load_classifier(recipe["model"], device=device)
    if classifier.weights_hash() != weights:
        raise UsageError(f"probe {file}: the weights of {recipe['model']} are no longer those that it was trained on; train it again")
    state = read_state(file)
    channels = state["head.0.weight"].shape[1]
    segmenter = Segmenter(classifier, channels, count, layer=layer, backbone=recipe["backbone"])
    segmenter.learn(state)
    return segmenter.to(classifier.device).eval()
