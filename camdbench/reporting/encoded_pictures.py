"""Pictures of a report as bytes: inputs in colour, saliency maps in grey, masks as outlines."""

from __future__ import annotations

import io
from base64 import b64encode

import numpy as np
from PIL import Image

from camdbench.runner import view_maps

_QUALITY = 80  # of WebP
_SMALL, _LARGE = 224, 112  # side of a map in pixels, of up to `FEW` images and of more
FEW = 64


def colour_webp(image: np.ndarray) -> bytes:
    """Encode an image (H, W, 3) in [0, 1]."""
    buffer = io.BytesIO()
    Image.fromarray(_bytes(image)).save(buffer, "WEBP", quality=_QUALITY, method=6)
    return buffer.getvalue()


def grey_webp(saliency: np.ndarray, side: int) -> bytes:
    """Encode a map (H, W) in [0, 1], averaged to at most `side` pixels; a map that is not finite is black."""
    return view_maps.grey_webp(_bytes(np.nan_to_num(saliency)), side)


def side_of_maps(images: int) -> int:
    """Return the side of maps on a page with so many images, in pixels."""
    return _SMALL if images <= FEW else _LARGE


def top_of(saliency: np.ndarray) -> float:
    """Return the 99th percentile of a map (H, W), at least 0.01, for a stretched display; 1 for a map that is not finite."""
    return max(0.01, round(float(np.quantile(saliency, 0.99)), 3)) if np.isfinite(saliency).all() else 1.0


def mask_png(mask: np.ndarray) -> bytes:
    """Encode the outline of a mask (H, W) bool: its pixels beside one that is outside, transparent elsewhere."""
    from scipy.ndimage import binary_erosion

    edge = mask & ~binary_erosion(mask, iterations=max(1, mask.shape[0] // 112))
    buffer = io.BytesIO()
    Image.fromarray(np.where(edge, 255, 0).astype(np.uint8)).convert("1").save(buffer, "PNG", optimize=True, transparency=0)
    return buffer.getvalue()


def in_text(data: bytes) -> str:
    """Encode bytes for a page: base64."""
    return b64encode(data).decode("ascii")


def _bytes(values: np.ndarray) -> np.ndarray:
    return np.rint(255 * np.clip(values, 0, 1)).astype(np.uint8)
