"""Joint transforms of images and annotations: resize and crop, equal to those of torchvision.transforms.v2 on Pillow images.

Pillow resizes the images, PyTorch the masks: importing torchvision.transforms would load torchvision.models and torch._dynamo.

Boxes are xyxy in pixels with exclusive ends everywhere in camdbench: x1 - x0 is the width, and the box of a whole image of
W x H pixels is (0, 0, W, H). `FileBoxes` converts the convention of a file, and keeps its numbers.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from functools import cached_property
from typing import TYPE_CHECKING, NamedTuple

import numpy as np
import torch
from PIL import Image
from torch import Tensor
from torch.nn.functional import interpolate, pad

from camdbench.core.errors import SampleError
from camdbench.datasets.geometry import Geometry, geometry_of
from camdbench.functional.file_boxes import FileBoxes, Placement

if TYPE_CHECKING:
    from camdbench.datasets.samples import Interventions

_MIN_SIDE = 1.0  # smallest width and height of a box after a crop, in pixels
_FILTERS = {"bilinear": Image.Resampling.BILINEAR, "bicubic": Image.Resampling.BICUBIC}


@dataclass(frozen=True)
class Annotations:
    """Annotations of an image in its pixels; None if unknown.

    Attributes:
        boxes: (N, 4) float32 xyxy, ends exclusive.
        mask: (H, W) bool, True on the object.
        class_map: (H, W) uint8, class of each pixel plus one; 0 background, 255 void.
        present: (C,) bool, the classes that the image shows.
        void: (H, W) bool, unlabelled pixels.
        file_boxes: the boxes as their file states them; None for boxes without such a file.
        background: class index of the background; -1: of a random class.
        group: index of the pair of label and background.
        parts: (H, W) uint8, part of each pixel.
        interventions: other versions of the image.
        group_share: fraction of the training images with this pair of label and background.
    """

    boxes: Tensor | None = None
    mask: Tensor | None = None
    class_map: Tensor | None = None
    present: Tensor | None = None
    void: Tensor | None = None
    file_boxes: FileBoxes | None = None
    background: int | None = None
    group: int | None = None
    parts: Tensor | None = None
    interventions: Interventions | None = None
    group_share: float | None = None

    @classmethod
    def of_file(cls, boxes: FileBoxes) -> Annotations:
        """Boxes of an annotation file, alone."""
        return cls(boxes=boxes.exclusive(), file_boxes=boxes)


class TransformedSample(NamedTuple):
    """A preprocessed image and its transformed annotations.

    Attributes:
        image: (3, h, w) float32 in [0, 1].
        annotations: annotations in pixels of the image.
        boxes_dropped: number of dropped boxes, with less than one pixel in the image.
    """

    image: Tensor
    annotations: Annotations
    boxes_dropped: int


@dataclass(frozen=True)
class SpatialTransform:
    """A named preprocessing protocol.

    - `resize256_crop224`: short side to round(size * 256 / 224), then centre crop `size` x `size`.
    - `resize224_distort`: to `size` x `size`, aspect ratio not kept.
    - `short448`: short side to 2 * size, no crop (CGC's content heatmap).
    - `keep`: unchanged.
    - `fit(short=256, crop=224, resample=bicubic)`, `fit(size=224)`: in pixels, whatever `size` is (see `Geometry`).

    Images are resized with antialiasing, by default bilinearly; masks by nearest-exact.

    Attributes:
        how: the protocol.
        size: side of the input in pixels, 224 in the names.
    """

    how: str = "resize256_crop224"
    size: int = 224

    def __post_init__(self) -> None:
        _ = self.geometry  # a wrong protocol is refused before an image is read

    @cached_property
    def geometry(self) -> Geometry:
        """The protocol in pixels.

        Raises:
            UsageError: unknown protocol.
        """
        return geometry_of(self.how, self.size)

    def fit(self, picture: Image.Image, known: Annotations) -> TransformedSample:
        """Resize and crop an RGB image and its annotations.

        Raises:
            SampleError: a mask differs in size from the image, or the resized image would be too large.
        """
        width, height = picture.size
        for mask in (known.mask, known.class_map, known.void, known.parts):
            if mask is not None and mask.shape != (height, width):
                raise SampleError(f"the mask has {mask.shape[1]} x {mask.shape[0]} pixels, the image {width} x {height}")
        self._check_aspect(width, height)
        placement = self.placement((height, width))
        boxes, lost = _fit_boxes(known.boxes, placement, self.geometry.crop)
        mask = None if known.mask is None else self._fit_map(known.mask.to(torch.uint8), placement).bool()
        class_map = None if known.class_map is None else self._fit_map(known.class_map, placement)
        void = None if known.void is None else self._fit_map(known.void.to(torch.uint8), placement).bool()
        stated = None if known.file_boxes is None else known.file_boxes.placed(placement)
        parts = None if known.parts is None else self._fit_map(known.parts, placement)
        fitted = replace(known, boxes=boxes, mask=mask, class_map=class_map, void=void, file_boxes=stated, parts=parts)
        return TransformedSample(self._fit_picture(picture, placement), fitted, lost)

    def placement(self, file: tuple[int, int]) -> Placement:
        """Place of the pixels of a file of (height, width) in the preprocessed image."""
        resized = self._resized(file)
        return Placement(file, resized, self.geometry.top_left(*resized))

    def _resized(self, file: tuple[int, int]) -> tuple[int, int]:
        """Height and width before the crop."""
        short, size = self.geometry.short, self.geometry.size
        if size is not None:
            return size, size
        if short is None:
            return file
        height, width = file
        return (short, int(short * width / height)) if height < width else (int(short * height / width), short)

    def _fit_picture(self, picture: Image.Image, placement: Placement) -> Tensor:
        height, width = placement.resized
        if placement.resized != placement.file:
            picture = picture.resize((width, height), _FILTERS[self.geometry.resample])
        if (side := self.geometry.crop) is not None:
            top, left = placement.corner
            picture = picture.crop((left, top, left + side, top + side))  # black outside
        return torch.from_numpy(np.array(picture, dtype=np.uint8)).permute(2, 0, 1).float().div(255)

    def _fit_map(self, values: Tensor, placement: Placement) -> Tensor:
        if placement.resized != placement.file:
            values = interpolate(values[None, None], placement.resized, mode="nearest-exact")[0, 0]
        if (side := self.geometry.crop) is None:
            return values
        (top, left), (height, width) = placement.corner, placement.resized
        return pad(values, (-left, left + side - width, -top, top + side - height))  # 0 outside

    def _check_aspect(self, width: int, height: int) -> None:
        """Raise SampleError for a narrow image that would grow to gigabytes at its aspect ratio."""
        short = self.geometry.short
        if short is None or Image.MAX_IMAGE_PIXELS is None:
            return
        if short * short * max(width, height) / min(width, height) > Image.MAX_IMAGE_PIXELS:
            raise SampleError(
                f"an image of {width} x {height} pixels is too narrow for {self.how}: its long side would not fit into memory"
            )


def _fit_boxes(boxes: Tensor | None, placement: Placement, crop: int | None) -> tuple[Tensor | None, int]:
    """Boxes after resize and crop, and the number of those with less than a pixel in it."""
    if boxes is None:
        return None, 0
    if not len(boxes):
        return boxes.reshape(0, 4), 0
    moved = _clamped(boxes.float(), placement.file)
    (height, width), (tall, wide), (top, left), _ = placement
    moved = moved * torch.tensor([wide / width, tall / height] * 2)
    inside = _clamped(moved - torch.tensor([left, top] * 2), placement.resized if crop is None else (crop, crop))
    kept = (inside[:, 2:] - inside[:, :2] >= _MIN_SIDE).all(1)
    return inside[kept], int((~kept).sum())


def _clamped(boxes: Tensor, size: tuple[int, int]) -> Tensor:
    """Boxes cut off at the edges of an image of (height, width)."""
    return boxes.clamp(min=0).minimum(torch.tensor([size[1], size[0]] * 2))


def box_of(mask: Tensor) -> Tensor:
    """Tight box of a mask, (1, 4) with exclusive ends; (0, 4) for an empty mask.

    >>> mask = torch.zeros(6, 8, dtype=torch.bool)
    >>> mask[1:3, 4:8] = True
    >>> box_of(mask)
    tensor([[4., 1., 8., 3.]])
    """
    rows, columns = mask.any(1).nonzero().flatten(), mask.any(0).nonzero().flatten()
    if not len(rows):
        return torch.zeros(0, 4)
    return torch.stack([columns[0], rows[0], columns[-1] + 1, rows[-1] + 1]).float()[None]
