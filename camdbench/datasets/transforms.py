"""Joint transforms of images and annotations: resize and crop by torchvision.transforms.v2.

Boxes are xyxy in pixels with exclusive ends everywhere in camdbench: x1 - x0 is the width, and the box of a whole image of
W x H pixels is (0, 0, W, H). `FileBoxes` converts the convention of a file, and keeps its numbers.
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property
from typing import Any, NamedTuple

import numpy as np
import torch
from PIL import Image
from torch import Tensor
from torchvision.transforms import v2
from torchvision.transforms.v2 import functional as joint
from torchvision.tv_tensors import BoundingBoxes

from camdbench.core.errors import SampleError
from camdbench.datasets.geometry import Geometry, geometry_of
from camdbench.functional.file_boxes import FileBoxes, Placement

_MIN_SIDE = 1.0  # smallest width and height of a box after a crop, in pixels
_FILTERS = {"bilinear": v2.InterpolationMode.BILINEAR, "bicubic": v2.InterpolationMode.BICUBIC}


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
    """

    boxes: Tensor | None = None
    mask: Tensor | None = None
    class_map: Tensor | None = None
    present: Tensor | None = None
    void: Tensor | None = None
    file_boxes: FileBoxes | None = None

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
        for mask in (known.mask, known.class_map, known.void):
            if mask is not None and mask.shape != (height, width):
                raise SampleError(f"the mask has {mask.shape[1]} x {mask.shape[0]} pixels, the image {width} x {height}")
        self._check_aspect(width, height)
        boxes, lost = self._fit_boxes(known.boxes, (height, width))
        mask = None if known.mask is None else self._fit_map(known.mask.to(torch.uint8)).bool()
        class_map = None if known.class_map is None else self._fit_map(known.class_map)
        void = None if known.void is None else self._fit_map(known.void.to(torch.uint8)).bool()
        pixels = np.asarray(self._through(picture, _FILTERS[self.geometry.resample]), dtype=np.uint8)
        image = torch.from_numpy(pixels.copy()).permute(2, 0, 1).float().div(255)
        stated = None if known.file_boxes is None else known.file_boxes.placed(self._placement((height, width)))
        return TransformedSample(image, Annotations(boxes, mask, class_map, known.present, void, stated), lost)

    def _through(self, given: Any, interpolation: v2.InterpolationMode) -> Any:
        resized, side = self._resize(given, interpolation), self.geometry.crop
        if side is None:
            return resized
        top, left = self.geometry.top_left(*joint.get_size(resized))
        return joint.crop(resized, top, left, side, side)

    def _resize(self, given: Any, interpolation: v2.InterpolationMode) -> Any:
        short, size = self.geometry.short, self.geometry.size
        sides = [size, size] if size is not None else [short] if short is not None else None
        if sides is None:
            return given
        return joint.resize(given, sides, interpolation=interpolation)

    def _placement(self, canvas: tuple[int, int]) -> Placement:
        empty = BoundingBoxes(torch.zeros(1, 4), format="XYXY", canvas_size=canvas)  # pyright: ignore[reportCallIssue]
        tall, wide = self._resize(empty, v2.InterpolationMode.NEAREST).canvas_size
        return Placement(canvas, (tall, wide), self.geometry.top_left(tall, wide))

    def _fit_map(self, values: Tensor) -> Tensor:
        # as a plain tensor: older torchvisions resize a tv_tensors.Mask by `nearest`, which is off by half a pixel
        return self._through(values[None], v2.InterpolationMode.NEAREST_EXACT)[0]

    def _fit_boxes(self, boxes: Tensor | None, canvas: tuple[int, int]) -> tuple[Tensor | None, int]:
        if boxes is None:
            return None, 0
        if not len(boxes):
            return boxes.reshape(0, 4), 0
        given = BoundingBoxes(boxes.float(), format="XYXY", canvas_size=canvas)  # pyright: ignore[reportCallIssue]
        clamped = joint.clamp_bounding_boxes(given, clamping_mode="hard")
        moved = self._through(clamped, v2.InterpolationMode.NEAREST)
        inside = joint.clamp_bounding_boxes(moved, clamping_mode="hard").as_subclass(Tensor)
        kept = (inside[:, 2:] - inside[:, :2] >= _MIN_SIDE).all(1)
        return inside[kept], int((~kept).sum())

    def _check_aspect(self, width: int, height: int) -> None:
        """Raise SampleError for a narrow image that would grow to gigabytes at its aspect ratio."""
        short = self.geometry.short
        if short is None or Image.MAX_IMAGE_PIXELS is None:
            return
        if short * short * max(width, height) / min(width, height) > Image.MAX_IMAGE_PIXELS:
            raise SampleError(
                f"an image of {width} x {height} pixels is too narrow for {self.how}: its long side would not fit into memory"
            )


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
