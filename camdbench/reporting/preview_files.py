"""Preview files of a training run: images with outlined objects, and saliency maps."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from camdbench.reporting.overlay import gallery

if TYPE_CHECKING:
    from camdbench.trainer.training_previews import Preview

_LINE = (1.0, 1.0, 0.0)


class PreviewWriter:
    """Writes previews as one folder per run, `DIR/NAME-maps/epoch-001.png`, ….

    Args:
        out: output folder of the training runs.
        also: callback with name, epoch and pixels (H, W, 3) of every preview.
    """

    def __init__(self, out: str | Path, also: Callable[[str, int, NDArray[np.uint8]], None] | None = None) -> None:
        self._out, self._also = Path(out), also

    def add(self, preview: Preview) -> None:
        """Draw and save a preview."""
        file = self._out / f"{preview.run}-maps" / f"{preview.name}.png"
        draw(preview, file)
        if self._also is not None:
            from PIL import Image

            with Image.open(file) as drawn:
                self._also(preview.name.split("-")[0], preview.epoch, np.asarray(drawn.convert("RGB")))


def draw(preview: Preview, file: Path) -> None:
    """Draw a row per image: the image with its outlined object and class, then its maps with captions."""
    images: list[NDArray[Any]] = [image.permute(1, 2, 0).cpu().double().numpy() for image in preview.images]
    if preview.masks is not None:
        images = [outline(image, mask.cpu().numpy()) for image, mask in zip(images, preview.masks, strict=True)]
    maps = {name: seen.maps.double().numpy() for name, seen in preview.seen.items()}
    gallery(images, maps, preview.titles, file, captions={name: seen.captions for name, seen in preview.seen.items()})


def outline(image: NDArray[Any], mask: NDArray[np.bool_]) -> NDArray[Any]:
    """Return an image (H, W, 3) in [0, 1] with a line along the inner edge of a mask (H, W)."""
    from skimage.segmentation import mark_boundaries

    return np.asarray(mark_boundaries(image, mask.astype(int), color=_LINE, mode="inner", background_label=0))
