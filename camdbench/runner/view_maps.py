"""View maps: finished maps as small grey pictures, kept to be seen; maps of a few values are kept raw, which is smaller and exact."""

from __future__ import annotations

import io
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import cast

import numpy as np
import torch
from PIL import Image
from torch import Tensor

from camdbench.core.errors import CamdbenchError
from camdbench.core.files import reading
from camdbench.core.option_types import SaveMaps
from camdbench.explainers.common.saliency import Saliency

FEW = 1024  # values of a raw map that is kept as it is: 7 x 7, 14 x 14 and 32 x 32
SIDE = 112  # largest side of a view map in pixels
QUALITY = 75  # of WebP; it moves a map by 0.003 to 0.015 on average
FIX = "delete the run directory and repeat the run"
_QUICK = 0  # effort of the encoder in a run; 6, the most, takes several times as long and saves a tenth
_PREFIX = "view."


def kept_maps(maps: Saliency, how: SaveMaps, *, given: bool) -> tuple[Tensor | None, tuple[bytes, ...]]:
    """Return the raw maps (B, h, w) and the view maps of a batch that are to be stored; at most one kind.

    Args:
        maps: the maps of one explainer.
        how: none, view or raw.
        given: whether they were given, so that they exist already; `view` stores none of these.
    """
    if how == "none" or (given and how == "view"):
        return None, ()
    if how == "raw" or maps.raw[0].numel() <= FEW:
        return maps.raw.cpu(), ()
    return None, tuple(grey_webp(own, SIDE, effort=_QUICK) for own in maps.maps.mul(255).round().byte().cpu().numpy())


def grey_webp(grey: np.ndarray, side: int, *, effort: int = 6) -> bytes:
    """Encode grey values (H, W) uint8 as WebP, averaged to at most `side` pixels.

    Args:
        grey: the values.
        side: largest side of the picture.
        effort: of the encoder, 0 to 6.
    """
    picture, buffer = Image.fromarray(grey), io.BytesIO()
    if (longest := max(picture.size)) > side:
        scale = side / longest
        size = max(1, round(picture.width * scale)), max(1, round(picture.height * scale))
        picture = picture.resize(size, Image.Resampling.BOX)
    picture.save(buffer, "WEBP", quality=QUALITY, method=effort)
    return buffer.getvalue()


def decoded(view: bytes) -> np.ndarray:
    """Return a view map (h, w) float32 in [0, 1], at most `SIDE` pixels.

    Raises:
        ValueError: no picture of this kind.
    """
    try:
        with Image.open(io.BytesIO(view), formats=("WEBP",)) as picture:
            if max(picture.size) > SIDE:
                raise ValueError(f"a view map of {picture.width} x {picture.height} pixels")
            return np.asarray(picture.convert("L"), np.float32) / 255
    except OSError:  # of Pillow, for content
        raise ValueError("a view map is no WebP picture") from None


def pack_views(views: Mapping[str, bytes], ids: Sequence[str]) -> dict[str, Tensor]:
    """Join view maps by image: their bytes one after another, offsets (n + 1,) in these, and image positions (n,)."""
    if not views:
        return {}
    offsets = np.cumsum([0, *map(len, views.values())])
    return {
        "view.bytes": torch.from_numpy(np.frombuffer(bytearray(b"".join(views.values())), np.uint8)),
        "view.offset": torch.from_numpy(offsets),
        "view.position": torch.tensor([ids.index(name) for name in views]),
    }


def view_of_part(file: Path, place: int) -> bytes | None:
    """Read the view map of one image from a part; None if the part has none.

    Args:
        file: the part of one explainer, which may not exist.
        place: position of the image in its chunk.

    Raises:
        CamdbenchError: the file is damaged.
    """
    from safetensors import safe_open

    if not file.is_file():
        return None
    with reading(file, fix=FIX, error=CamdbenchError), safe_open(file, "pt") as stored:
        positions = stored.get_tensor("view.position").tolist() if "view.position" in stored.keys() else []  # noqa: SIM118 - no mapping
        if place not in positions:
            return None
        row = positions.index(place)
        first, last = stored.get_tensor("view.offset")[row : row + 2].tolist()
        found = cast("bytes", stored.get_slice("view.bytes")[first:last].numpy().tobytes())
        decoded(found)  # a damaged one is named here
        return found


def has_views(file: Path) -> bool:
    """Return whether a part holds view maps.

    Raises:
        CamdbenchError: the file is damaged.
    """
    from safetensors import safe_open

    with reading(file, fix=FIX, error=CamdbenchError), safe_open(file, "pt") as stored:
        return any(name.startswith(_PREFIX) for name in stored.keys())  # noqa: SIM118 - no mapping
