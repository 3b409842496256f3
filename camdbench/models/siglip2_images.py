"""SigLIP 2 with variable grids (NaFlex; Tschannen et al. 2025, arXiv:2502.14786) on images; imports transformers."""

from __future__ import annotations

import copy
from typing import Any, cast

import torch
from torch import Tensor
from transformers import Siglip2ForImageClassification

from camdbench.core.errors import UsageError


class Siglip2OnImages(Siglip2ForImageClassification):
    """The classifier on normalised images (B, 3, H, W), whose patches fill the grid: none is padding."""

    def forward(self, images: Tensor) -> Any:  # pyright: ignore[reportIncompatibleMethodOverride]
        """Output with `.logits` (B, C).

        Raises:
            UsageError: a side is not a multiple of the patch size.
        """
        arguments: dict[str, Any] = patches_of(images, cast("int", self.vision_model.embeddings.patch_size))
        return super().forward(**arguments)


def on_images(network: Siglip2ForImageClassification) -> Siglip2OnImages:
    """The network on images; it shares all layers with the given one, which is left as it is."""
    if isinstance(network, Siglip2OnImages):
        return network
    shared = copy.copy(network)
    shared.__class__ = Siglip2OnImages
    return cast("Siglip2OnImages", shared)


def patches_of(images: Tensor, side: int) -> dict[str, Any]:
    """Arguments of a NaFlex network: patches (B, h w, 3 side side), no mask, and h, w of each image (B, 2).

    >>> {name: None if own is None else tuple(own.shape) for name, own in patches_of(torch.rand(2, 3, 32, 48), 16).items()}
    {'pixel_values': (2, 6, 768), 'pixel_attention_mask': None, 'spatial_shapes': (2, 2)}

    Raises:
        UsageError: a side is not a multiple of the patch size.
    """
    rows, columns = images.shape[2] // side, images.shape[3] // side
    if images.shape[2:] != (rows * side, columns * side):
        raise UsageError(
            f"images of {images.shape[2]} x {images.shape[3]} pixels: not multiples of the patch size {side}; give another size"
        )
    cut = images.unflatten(3, (columns, side)).unflatten(2, (rows, side))  # (B, 3, h, side, w, side)
    patches = cut.permute(0, 2, 4, 3, 5, 1).flatten(3).flatten(1, 2)
    shapes = torch.tensor([[rows, columns]], device=images.device).expand(len(images), 2)
    return {"pixel_values": patches, "pixel_attention_mask": None, "spatial_shapes": shapes}
