"""Other libraries as references: their raw maps, before they are rectified, scaled and resized."""

from __future__ import annotations

from contextlib import AbstractContextManager, nullcontext
from typing import Any

import numpy as np
import pytorch_grad_cam
import torch
import torchcam.methods
from pytorch_grad_cam.utils.model_targets import ClassifierOutputTarget
from torch import Tensor, nn

from camdbench.datasets.samples import Batch
from camdbench.models.classifier import Classifier


def inputs_of(classifier: Classifier, batch: Batch) -> Tensor:
    """What the bare network sees of the images."""
    return ((batch.images - classifier.mean) / classifier.std).requires_grad_()


def map_of_grad_cam(classifier: Classifier, batch: Batch, method: str, layers: tuple[str, ...]) -> Tensor:
    """(B, H, W) in [0, 1], the finished map that pytorch-grad-cam makes for the batch's labels."""
    modules = [classifier.module(layer) for layer in layers]
    with getattr(pytorch_grad_cam, method)(classifier.network, modules) as cam:
        return torch.from_numpy(cam(inputs_of(classifier, batch), _targets(batch))).to(batch.images)  # it rounds to float32


def raw_map_of_grad_cam(classifier: Classifier, batch: Batch, method: str) -> Tensor:
    """(B, h, w) of a method of pytorch-grad-cam, signed, for the batch's labels."""
    inputs, targets, layer = inputs_of(classifier, batch), _targets(batch), classifier.module(classifier.layer_name())
    with getattr(pytorch_grad_cam, method)(classifier.network, [layer], reshape_transform=_as_grid) as cam:
        kept = list[Tensor]()
        computed = cam.get_cam_image

        def keep(*arguments: object) -> np.ndarray:
            kept.append(torch.from_numpy(np.asarray(computed(*arguments))).to(inputs.dtype))  # an eigenvector comes in float32
            return kept[-1].numpy()

        cam.get_cam_image = keep
        cam(inputs, targets)
    return kept[0]


def raw_map_of_torchcam(classifier: Classifier, batch: Batch, method: str, **options: Any) -> Tensor:
    """(B, h, w) of a method of torchcam, for the batch's labels; its distribution is exchanged where `_distrib` is given."""
    noise = options.pop("_distrib", None)
    options.setdefault("target_layer", classifier.layer_name())
    with getattr(torchcam.methods, method)(classifier.network, **options) as extractor:
        if noise is not None:
            extractor._distrib = noise
        return extractor(batch.labels.tolist(), classifier.network(inputs_of(classifier, batch)), normalized=False)[0].detach()


class GivenCams:
    """What metrics of torch-cam take for an extractor: its maps are the ones at hand."""

    def __init__(self, model: nn.Module, maps: Tensor) -> None:
        self.model, self._maps = model, maps

    def __call__(self, class_idx: object, scores: object) -> list[Tensor]:
        return [self._maps]

    def fuse_cams(self, cams: list[Tensor]) -> Tensor:
        return cams[0]

    def _hooks_off(self) -> AbstractContextManager[None]:
        return nullcontext()


def _as_grid(output: Tensor) -> Tensor:
    """A layer's output as (B, K, h, w); a vision transformer's by its paper: a class token, then a square of patches."""
    if output.ndim == 4:
        return output
    side = round((output.shape[1] - 1) ** 0.5)
    return output[:, 1:].reshape(len(output), side, side, -1).permute(0, 3, 1, 2)


def _targets(batch: Batch) -> list[ClassifierOutputTarget]:
    return [ClassifierOutputTarget(int(label)) for label in batch.labels]
