"""Files of explained images: an overlay per image and explainer, an archive of maps per image, sheets of all overlays."""

from __future__ import annotations

import io
import math
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
from PIL import Image

from camdbench.core.written_files import write_whole
from camdbench.explainers.common.explanation import Explanation
from camdbench.reporting.explained import Explained
from camdbench.reporting.given_images import GivenImage, Pixels, stems_of
from camdbench.reporting.overlay import draw_sheet, save_picture
from camdbench.reporting.page import TALLEST, WIDTH

_COLUMNS, _ROWS = 9, 16  # explainers side by side and images below each other on a sheet
_DPI = 220
_ON_PAGE = 640  # pixels along the long side of a picture on the page


def write_files(
    images: Sequence[GivenImage], found: Mapping[str, Explanation], items: Sequence[Explained], out: Path, colours: str
) -> list[Pixels]:
    """Write OUT/STEM-EXPLAINER.png, OUT/STEM.npz, and OUT/gallery.png; more images than fit go to OUT/gallery-2.png, ….

    Returns:
        A small copy of every picture with the frame of its crop, (H, W, 3).
    """
    maps = {spec: own.numpy() for spec, own in found.items()}
    archives = [out / f"{stem}.npz" for stem in stems_of(images)]
    rows = max(1, _ROWS // math.ceil(len(found) / _COLUMNS))
    pictures = list[Pixels]()
    for start in range(0, len(images), rows):
        shown, drawn = list[Pixels](), {spec: list[Pixels]() for spec in found}
        own = items[start * len(found) : (start + rows) * len(found)]
        for index in range(start, min(start + rows, len(images))):
            image, pixels = images[index], images[index].pixels()
            _save_maps(archives[index], image, {spec: (maps[spec][index], found[spec].raw[index].cpu().numpy()) for spec in found})
            for item in items[index * len(found) : (index + 1) * len(found)]:
                overlay = image.draw(pixels, maps[item.explainer][index], colours)
                save_picture(item.overlay, overlay, f"{item.explainer}, {item.title}. {item.caption}")
                drawn[item.explainer].append(_for_sheet(overlay))
            shown.append(_for_sheet(pixels))
            pictures.append(_reduced(image.frame(pixels), (_ON_PAGE, _ON_PAGE)))
        _draw(shown, drawn, own, out / f"gallery{f'-{start // rows + 1}' if start else ''}.png")
    return pictures


def _draw(shown: Sequence[Pixels], drawn: Mapping[str, Sequence[Pixels]], items: Sequence[Explained], file: Path) -> None:
    captions = {spec: [item.caption for item in items if item.explainer == spec] for spec in drawn}
    titles = [item.title for item in items[:: len(drawn)]]
    overlays = {spec: own.__getitem__ for spec, own in drawn.items()}
    draw_sheet(shown, overlays, titles, file, captions=captions, columns=_COLUMNS, dpi=_DPI)


def _for_sheet(pixels: Pixels) -> Pixels:
    side = round(WIDTH * _DPI)
    return _reduced(pixels, (side, round(TALLEST * side)))


def _reduced(pixels: Pixels, most: tuple[int, int]) -> Pixels:
    """A copy of at most (width, height) pixels, at the same aspect ratio."""
    picture = Image.fromarray(pixels)
    picture.thumbnail(most, Image.Resampling.LANCZOS)
    return np.asarray(picture)


def _save_maps(path: Path, image: GivenImage, maps: Mapping[str, tuple[np.ndarray, np.ndarray]]) -> None:
    arrays: dict[str, Any] = {"image": image.input.numpy()}
    for name, (finished, raw) in maps.items():
        arrays |= {name: finished, f"{name}/raw": raw}
    content = io.BytesIO()
    np.savez_compressed(content, **arrays)
    write_whole(path, content.getbuffer())
