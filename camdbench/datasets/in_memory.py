"""Images in memory, with checks of shapes and ranges."""

from __future__ import annotations

import hashlib
from collections.abc import Sequence
from typing import TYPE_CHECKING

import torch
from torch import Tensor

from camdbench.core.errors import UsageError
from camdbench.datasets.containers import to_images, to_planes, to_tensor
from camdbench.datasets.samples import Batch, Sample, object_pixels
from camdbench.functional.targets import class_indices

if TYPE_CHECKING:
    import numpy as np


def make_batch(
    images: Tensor | np.ndarray,
    *,
    labels: Sequence[int | str] | Tensor | np.ndarray | None = None,
    boxes: Sequence[Tensor | Sequence[Sequence[float]]] | None = None,
    masks: Tensor | np.ndarray | None = None,
    class_names: Sequence[str] = (),
) -> Batch:
    """A batch of images (N, 3, H, W) or one image (3, H, W), with ids "0", "1", …; the arguments are copied.

    `camdbench/datasets/containers.py` converts arrays, lists, Pillow images, pandas columns, bytes and images with channels last.

    Raises:
        UsageError: wrong shape or type, values outside [0, 1], or labels, boxes or masks that do not match the images.
    """
    images = to_images(images)
    masks = None if masks is None else to_planes(masks, len(images), "masks")
    low, high = (float(value) for value in images.detach().aminmax())
    if not (low >= 0 and high <= 1):  # also refuses NaN
        raise UsageError(f"images have values from {low:.3g} to {high:.3g}; expected [0, 1], before any mean/std normalisation")
    with torch.inference_mode(mode=False):  # tensors created in inference mode have no gradients
        unknown = torch.full((len(images),), -1)
        known = unknown if labels is None else class_indices(labels, len(images), "labels", class_names)
        if boxes is not None and len(boxes) != len(images):
            raise UsageError(f"{len(boxes)} sets of boxes for {len(images)} images; give one for each")
        if masks is not None and masks.shape != (len(images), *images.shape[2:]):
            raise UsageError(f"masks have shape {tuple(masks.shape)}; expected {(len(images), *images.shape[2:])}, one for each image")
        return Batch(
            ids=tuple(str(index) for index in range(len(images))),
            images=images.detach().clone().float(),
            labels=known,
            boxes=None if boxes is None else tuple(map(check_boxes, boxes)),
            masks=None if masks is None else object_pixels(masks.detach().clone()),
        )


class InMemoryDataset:
    """A batch of `make_batch` as a data set; its classes have no names."""

    classes: Sequence[str] = ()
    name = "memory"

    def __init__(self, batch: Batch) -> None:
        self.batch, self.ids, self.labels = batch, batch.ids, tuple(batch.labels.tolist())

    def __getitem__(self, index: int) -> Sample:
        """The sample at a position."""
        own = self.batch
        boxes, mask = None if own.boxes is None else own.boxes[index], None if own.masks is None else own.masks[index]
        return Sample(own.ids[index], own.images[index], self.labels[index], boxes, mask)

    def fingerprint(self) -> str:
        """A hash of images, labels, boxes and masks."""
        own, digest = self.batch, hashlib.sha256()
        for tensor in (own.images, own.labels, *(own.boxes or ()), *(() if own.masks is None else (own.masks,))):
            digest.update(f"{tuple(tensor.shape)}{tensor.dtype}".encode() + tensor.contiguous().numpy().tobytes())
        return digest.hexdigest()[:16]


def check_boxes(given: Tensor | Sequence[Sequence[float]]) -> Tensor:
    """The boxes (n, 4) of one image, each of positive width and height.

    Raises:
        UsageError: another shape, or an empty box.
    """
    own = torch.zeros(0, 4) if isinstance(given, list | tuple) and not given else to_tensor(given, "boxes")
    if own.ndim != 2 or own.shape[1] != 4:
        raise UsageError(f"boxes have shape {tuple(own.shape)}; expected (n, 4) for each image, as x0, y0, x1, y1 in pixels")
    if wrong := own[~((own[:, 2:] > own[:, :2]).all(1) & own.isfinite().all(1))].tolist():  # comparisons with NaN are false
        raise UsageError(f"the box {wrong[0]} is empty; expected x0, y0, x1, y1 with x1 > x0 and y1 > y0")
    return own
