"""Boxes as an annotation file states them: the numbers, how the file counts, and the readings of released codes.

`Sample.boxes` holds one reading, xyxy with exclusive ends. A protocol that reproduces other code asks for the numbers instead,
so that its values do not depend on the reading with which a data set was opened.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import NamedTuple

import torch
from torch import Tensor


class Placement(NamedTuple):
    """How the pixels of a file became those of the network's input: resize, crop, flip.

    Attributes:
        file: height and width of the image file.
        resized: height and width after the resize.
        corner: top and left of the crop in the resized image.
        flipped: width of the input if it was flipped horizontally afterwards.
    """

    file: tuple[int, int]
    resized: tuple[int, int]
    corner: tuple[int, int] = (0, 0)
    flipped: int | None = None

    def apply(self, boxes: Tensor) -> Tensor:
        """Boxes (N, 4) xyxy in pixels of the file, float64, in pixels of the input; not clipped.

        >>> Placement((8, 10), (4, 5), (0, 1)).apply(torch.tensor([[2.0, 2.0, 10.0, 8.0]], dtype=torch.float64)).tolist()
        [[0.0, 1.0, 4.0, 4.0]]
        """
        (height, width), (tall, wide), (top, left) = self.file, self.resized, self.corner
        new, old, shift = (boxes.new_tensor(edges * 2) for edges in ([wide, tall], [width, height], [left, top]))
        x0, y0, x1, y1 = (boxes * new / old - shift).unbind(1)  # multiplied first: 125 * 224 / 500 is exactly 56
        if self.flipped is not None:
            x0, x1 = self.flipped - x1, self.flipped - x0
        return torch.stack([x0, y0, x1, y1], 1)


@dataclass(frozen=True)
class FileBoxes:
    """Boxes of one image as its annotation file states them.

    Attributes:
        numbers: (N, 4) float64 xmin, ymin, xmax, ymax of the file, N may be 0.
        first: coordinate of the first pixel in the file, 0 or 1.
        inclusive: whether xmax is the last pixel of the box, not the pixel after it.
        placement: place of the file's pixels in the network's input; None before preprocessing.
    """

    numbers: Tensor
    first: int
    inclusive: bool
    placement: Placement | None = None

    @classmethod
    def of(cls, boxes: object, *, first: int, inclusive: bool) -> FileBoxes:
        """Boxes from N rows of four numbers."""
        return cls(torch.as_tensor(boxes, dtype=torch.float64).reshape(-1, 4), first, inclusive)

    def exclusive(self) -> Tensor:
        """Boxes (N, 4) float32 in pixels of the file, counted from 0 with exclusive ends: the reading of `Sample.boxes`.

        >>> FileBoxes.of([[1, 1, 10, 20]], first=1, inclusive=True).exclusive().tolist()
        [[0.0, 0.0, 10.0, 20.0]]
        """
        return (self.numbers - self.first + self._ends(self.inclusive)).float()

    def stated(self) -> Tensor:
        """The numbers as coordinates counted from 0, (N, 4) float64 in pixels of the input; not clipped."""
        return self._place(self.numbers - self.first)

    def with_ends(self) -> Tensor:
        """Boxes of code that takes every number as a pixel of the box, xmax and ymax included: (N, 4) float64, not clipped."""
        return self._place(self.numbers - self.first + self._ends(True))

    def voc_slices(self) -> Tensor:
        """Boxes of code that subtracts 1 from all edges of a VOC file and slices [min : max + 1]: (M, 4) float64, M <= N.

        A slice that starts at -1, the last pixel, holds nothing: boxes that start at 0 in the file are missing.

        Raises:
            ValueError: the boxes have no placement.
        """
        if self.placement is None:
            raise ValueError("slices need the size of the image file; set placement")
        height, width = self.placement.file
        found = list[list[int]]()
        for x0, y0, x1, y1 in self.numbers.long().tolist():
            columns, rows = range(*slice(x0 - 1, x1).indices(width)), range(*slice(y0 - 1, y1).indices(height))
            if columns and rows:
                found.append([columns.start, rows.start, columns.stop, rows.stop])
        return self._place(self.numbers.new_tensor(found).reshape(-1, 4))

    def placed(self, placement: Placement) -> FileBoxes:
        """The boxes of a preprocessed image."""
        return replace(self, placement=placement)

    def flipped(self, width: int) -> FileBoxes:
        """The boxes of the input flipped horizontally, or flipped back."""
        if self.placement is None:
            raise ValueError("a flip needs the preprocessed image; set placement")
        return self.placed(self.placement._replace(flipped=width if self.placement.flipped is None else None))

    def _ends(self, inclusive: bool) -> Tensor:
        return self.numbers.new_tensor([0, 0, inclusive, inclusive])

    def _place(self, boxes: Tensor) -> Tensor:
        return boxes if self.placement is None else self.placement.apply(boxes)
