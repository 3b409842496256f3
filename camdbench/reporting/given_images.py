"""Images to explain: as the network sees them, and whole, with maps placed on them."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from numpy.typing import NDArray
from PIL import Image
from torch import Tensor

from camdbench.core.errors import SampleError, UsageError
from camdbench.datasets.preprocess import read_picture
from camdbench.datasets.transforms import Annotations, SpatialTransform
from camdbench.functional.file_boxes import Placement
from camdbench.functional.map_overlay import overlay
from camdbench.functional.map_placement import covered, place_map
from camdbench.reporting.explained import distinct

Pixels = NDArray[np.uint8]
_FRAME = 300  # short side of an image over the width of the frame around its crop


@dataclass(frozen=True)
class GivenImage:
    """An image to explain; its pixels are read again when they are drawn.

    Attributes:
        name: as it was given.
        file: its file.
        input: (3, h, w) float32 in [0, 1], resized and cropped for the network.
        size: height and width of the file's picture, upright.
        placement: place of the pixels that are drawn in the input; of a large picture, they are fewer than those of the file.
    """

    name: str
    file: Path
    input: Tensor
    size: tuple[int, int]
    placement: Placement

    @property
    def crop(self) -> tuple[slice, slice]:
        """Rows and columns of the drawn pixels that the network sees."""
        return covered(self.placement, (self.input.shape[1], self.input.shape[2]))

    def pixels(self) -> Pixels:
        """Return the whole picture (H, W, 3), upright.

        Raises:
            SampleError: the file cannot be decoded any more.
        """
        picture, (height, width) = read_picture(self.file), self.placement.file
        return np.asarray(picture if picture.size == (width, height) else picture.resize((width, height), Image.Resampling.LANCZOS))

    def draw(self, pixels: Pixels, saliency: NDArray[np.float32], colours: str) -> Pixels:
        """Draw the map of the input over the whole picture: coloured inside the crop, unchanged outside, a thin frame between.

        Args:
            pixels: (H, W, 3), from `pixels()`.
            saliency: (h, w) in [0, 1] at the size of the input; a map that is not finite is left out.
            colours: name of a matplotlib colour map.
        """
        found, (rows, columns) = pixels.copy(), self.crop
        if np.isfinite(saliency).all():
            placed = place_map(saliency, self.placement)[rows, columns]
            found[rows, columns] = overlay(pixels[rows, columns] / np.float32(255), placed, colours=colours)
        return self.frame(found)

    def frame(self, pixels: Pixels) -> Pixels:
        """Return a copy of the whole picture (H, W, 3) with a thin frame just inside the crop."""
        found = pixels.copy()
        _draw_frame(found, *self.crop)
        return found


def read_images(names: Sequence[str], transform: SpatialTransform, longest: int) -> tuple[list[GivenImage], dict[str, str]]:
    """Read images; return them, and the reason for each that cannot be read.

    Args:
        names: files, or names of images bundled with scikit-image such as `chelsea`; a repeated one is read once.
        transform: preprocessing for the network.
        longest: most pixels along a side that are drawn.

    Raises:
        UsageError: neither a file nor an image of scikit-image.
    """
    images, damaged = list[GivenImage](), dict[str, str]()
    for name in dict.fromkeys(names):
        try:
            images.append(_read(name, transform, longest))
        except SampleError as error:
            damaged[name] = str(error)
    return images, damaged


def stems_of(images: Sequence[GivenImage]) -> list[str]:
    """Return the names of files without folder and suffix, numbered if not unique."""
    return distinct([image.file.stem for image in images])


def _read(name: str, transform: SpatialTransform, longest: int) -> GivenImage:
    file = _file_of(name)
    picture = read_picture(file)
    width, height = picture.size
    scale = min(1.0, longest / max(width, height))
    drawn = max(1, round(scale * height)), max(1, round(scale * width))
    placement = transform.placement((height, width))._replace(file=drawn)
    return GivenImage(name, file, transform.fit(picture, Annotations()).image, (height, width), placement)


def _file_of(name: str) -> Path:
    path = Path(name)
    if path.is_file():
        return path
    import skimage.data

    bundled = sorted(file for file in Path(skimage.data.__file__).parent.glob("*.*") if file.suffix in (".png", ".jpg"))
    by_stem = {file.stem: file for file in bundled}
    if name in by_stem:
        return by_stem[name]
    raise UsageError(f"image {name}: no such file; give a file or an image of scikit-image: {', '.join(by_stem)}")


def _draw_frame(pixels: Pixels, rows: slice, columns: slice) -> None:
    """Draw a white and a black line just inside those edges of the crop that are not edges of the picture."""
    height, width = pixels.shape[:2]
    wide = max(1, round(min(height, width) / _FRAME))
    inside = pixels[rows, columns]
    for shade, line in ((0, slice(wide, 2 * wide)), (255, slice(wide))):
        if rows.start:
            inside[line] = shade
        if rows.stop < height:
            inside[::-1][line] = shade
        if columns.start:
            inside[:, line] = shade
        if columns.stop < width:
            inside[:, ::-1][:, line] = shade
