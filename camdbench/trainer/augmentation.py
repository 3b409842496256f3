"""Random augmentation of training images and their masks."""

from __future__ import annotations

from dataclasses import replace

import torch
from torch import Tensor

from camdbench.datasets.samples import Batch
from camdbench.functional.crops import draw_crop, warp
from camdbench.trainer.distributed import BatchShare
from camdbench.trainer.recipe import Augment


def augment(batch: Batch, how: Augment, random: torch.Generator, share: BatchShare | None = None, colour: Tensor | None = None) -> Batch:
    """Random flips, crops, brightness, greyscale and removal of pixels, drawn per image; masks are transformed alike.

    Args:
        batch: images (B, 3, H, W) in [0, 1].
        how: probabilities and ranges.
        random: generator of all draws; flips, brightness and greyscale draw the same number whatever `how` is.
        colour: (1, 3, 1, 1) in [0, 1], colour of removed pixels; default: black.
        share: places of these images in a larger batch; draws are made for the whole batch, whichever process holds an image.
    """
    count, places = (len(batch), slice(None)) if share is None else (share.whole, share.places)
    mirrored, light, grey = torch.rand((3, count, 1, 1, 1), generator=random)[:, places]
    batch = flip(batch, mirrored < how.flip)
    images, masks, class_masks = batch.images, batch.masks, batch.class_masks
    if how.crop_scale < 1:
        size = (images.shape[-2], images.shape[-1])
        drawn = [draw_crop(size, random, scale=(how.crop_scale, 1.0))._replace(flipped=False) for _ in range(count)]
        crops = [drawn[place] for place in torch.arange(count)[places].tolist()]
        images = warp(images, crops)
        masks, class_masks = (None if mask is None else warp(mask.float(), crops) >= 0.5 for mask in (masks, class_masks))
    images = torch.where(grey < how.grayscale, images.mean(1, keepdim=True), images)
    images = (images * (1 + how.brightness * (2 * light - 1))).clamp(0, 1)
    if how.pixel_dropout:
        size = images.shape[-2:]
        removed = torch.rand((count, 1, *size), generator=random)[places] < how.pixel_dropout
        images = torch.where(removed, torch.zeros(1, 3, 1, 1) if colour is None else colour.to(images), images)
    return replace(batch, images=images, masks=masks, class_masks=class_masks)


def flip(batch: Batch, chosen: Tensor) -> Batch:
    """The batch with the chosen images (B, …) bool and their masks mirrored left to right."""

    def mirrored(tensor: Tensor) -> Tensor:
        return torch.where(chosen.reshape(-1, *(1,) * (tensor.ndim - 1)), tensor.flip(-1), tensor)

    masks, class_masks = (None if mask is None else mirrored(mask) for mask in (batch.masks, batch.class_masks))
    return replace(batch, images=mirrored(batch.images), masks=masks, class_masks=class_masks)
