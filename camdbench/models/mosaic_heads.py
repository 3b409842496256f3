"""Networks that see a mosaic as several disconnected images: the settings DiFull and DiPart of Rao et al. 2022 (arXiv:2205.10435).

The network is split into features, up to its target layer, and a head of global average pooling and a linear layer. Head i reads the
features of cell i alone. In DiFull the features of each cell come from this cell alone, in DiPart those of all cells from the mosaic.
"""

from __future__ import annotations

from typing import cast

import torch
from torch import Tensor, nn

from camdbench.core.errors import NotApplicable
from camdbench.models import capture
from camdbench.models.classifier import Classifier
from camdbench.models.linear_head import linear_layer
from camdbench.models.network_output import tensor_of

_FEATURES = "features"


def cell_classifiers(classifier: Classifier, images: Tensor, n: int, *, apart: bool) -> list[Classifier]:
    """A classifier for each cell of mosaics (B, 3, H, W), whose logits are those of the head that reads this cell; n * n in all.

    Their target layer returns the features of all cells, (B, K, n h, n w).

    Args:
        classifier: a frozen model.
        images: mosaics, which are its inputs.
        n: number of rows and of columns.
        apart: whether the features of a cell come from this cell alone (DiFull) or from the whole mosaic (DiPart).

    Raises:
        NotApplicable: the head is another one, or images or features do not divide into n x n equal cells.
    """
    if any(side % n for side in images.shape[-2:]):
        raise NotApplicable(f"images of {images.shape[-2]} x {images.shape[-1]} pixels do not divide into {n} x {n} equal cells")
    features = _Features(classifier, n, apart=apart)
    with torch.no_grad():
        grid, logits = features.with_logits(classifier.normalised(images[:1]))
    plain = grid.ndim == 4 and classifier.output in (None, "logits") and classifier.read is None
    layer = linear_layer(classifier, grid, logits) if plain else None
    if layer is None:
        raise NotApplicable(f"model {classifier.name}: no head of global average pooling and a linear layer behind {classifier.layer}")
    if not apart and any(side % n for side in grid.shape[-2:]):
        raise NotApplicable(f"features of {grid.shape[-2]} x {grid.shape[-1]} places do not divide into {n} x {n} equal cells")
    heads = (_CellNetwork(features, layer, n, index) for index in range(n * n))
    return [_like(classifier, head.eval().requires_grad_(False)) for head in heads]


def _like(classifier: Classifier, network: nn.Module) -> Classifier:
    """A classifier with another network and the same input."""
    mean, std = (values.flatten().tolist() for values in (classifier.mean, classifier.std))
    return Classifier(
        network,
        _FEATURES,
        mean=mean,
        std=std,
        name=classifier.name,
        class_names=classifier.class_names,
        input_size=classifier.input_size,
        output="logits",
        batch_mates=classifier.batch_mates,
        channels=classifier.channels,
    ).to(classifier.device)


class _Features(nn.Module):
    """Features (B, K, n h, n w) of normalised mosaics, of each cell alone or of the whole."""

    def __init__(self, classifier: Classifier, n: int, *, apart: bool) -> None:
        super().__init__()
        self.network, self.n, self.apart = classifier.network, n, apart
        self.name = classifier.layer_name()

    def with_logits(self, inputs: Tensor) -> tuple[Tensor, Tensor]:
        """Output of the target layer, in the graph, and logits of the network for inputs (B, 3, H, W)."""
        module = self.network.get_submodule(self.name.partition("[")[0])
        with capture.capture_output(module, self.name, attached=True) as seen:
            logits = tensor_of(self.network(inputs), None)
        return seen.output(), logits

    def forward(self, inputs: Tensor) -> Tensor:
        if not self.apart:
            return self.with_logits(inputs)[0]
        rows = inputs.unflatten(2, (self.n, -1)).unflatten(4, (self.n, -1))  # (B, 3, n, h, n, w)
        cells = rows.permute(0, 2, 4, 1, 3, 5).flatten(0, 2)
        found = self.with_logits(cells)[0].unflatten(0, (len(inputs), self.n, self.n))  # (B, n, n, K, h, w)
        return found.permute(0, 3, 1, 4, 2, 5).flatten(4, 5).flatten(2, 3)


class _CellNetwork(nn.Module):
    """Logits (B, C) of one cell of mosaics."""

    def __init__(self, features: _Features, layer: nn.Linear | nn.Conv2d, n: int, index: int) -> None:
        super().__init__()
        self.features, self.n, self.index = features, n, index
        classes, channels = layer.weight.flatten(1).shape
        options = {"bias": layer.bias is not None, "device": layer.weight.device, "dtype": layer.weight.dtype}
        self.head = cast(
            "nn.Linear", nn.utils.skip_init(nn.Linear, channels, classes, **options)
        )  # drawn weights would move the global generator
        with torch.no_grad():
            self.head.weight.copy_(layer.weight.flatten(1))
            if layer.bias is not None:
                self.head.bias.copy_(layer.bias)

    def forward(self, inputs: Tensor) -> Tensor:
        grid = self.features(inputs)
        height, width = grid.shape[-2] // self.n, grid.shape[-1] // self.n
        row, column = divmod(self.index, self.n)
        own = grid[..., row * height : (row + 1) * height, column * width : (column + 1) * width]
        return self.head(own.mean((2, 3)))
