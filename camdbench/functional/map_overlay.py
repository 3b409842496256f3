"""Overlay of a saliency map on its image."""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray

from camdbench.core.errors import UsageError, unknown

Array = np.ndarray[Any, Any]
COLOURS = "viridis"  # readable with any colour vision and in grey: its lightness rises evenly


def overlay(image: Array, saliency: Array, *, colours: str = COLOURS, strength: float = 0.7) -> NDArray[np.uint8]:
    """Blend a coloured map over its image; the image is unchanged where the map is 0.

    The opacity is `strength` times the map.

    >>> overlay(np.ones((1, 2, 3)), np.array([[0.0, 1.0]]), colours="gray", strength=1.0).tolist()
    [[[255, 255, 255], [255, 255, 255]]]

    Args:
        image: (H, W, 3) in [0, 1].
        saliency: (H, W) in [0, 1].
        colours: name of a matplotlib colour map: viridis, cividis, turbo, jet, ….
        strength: opacity where the map is 1, in [0, 1].

    Returns:
        (H, W, 3).

    Raises:
        UsageError: invalid shape or range, or unknown colour map.
    """
    from matplotlib import colormaps

    check_picture(image, saliency)
    check_colours(colours)
    if not 0 <= strength <= 1:
        raise UsageError(f"strength = {strength}: expected a number in [0, 1]")
    opacity = strength * saliency[..., None]
    colour = colormaps[colours](saliency)[..., :3]
    return np.rint(255 * ((1 - opacity) * image + opacity * colour)).astype(np.uint8)


def check_colours(colours: str) -> None:
    """Check that a colour map exists.

    Raises:
        UsageError: matplotlib has none of this name.
    """
    from matplotlib import colormaps

    if colours not in colormaps:
        raise unknown("colour map", colours, colormaps)


def check_picture(image: Array, saliency: Array) -> None:
    """Check that an image and a map fit.

    Raises:
        UsageError: the image is not (H, W, 3), the map not of its size, or a value lies outside [0, 1].
    """
    if image.ndim != 3 or image.shape[2] != 3:
        raise UsageError(f"an image of shape {image.shape}: expected (height, width, 3)")
    if saliency.shape != image.shape[:2]:
        raise UsageError(f"a map of shape {saliency.shape} for an image of {image.shape[:2]}: up-sample it first")
    for name, values in (("image", image), ("map", saliency)):
        if not (values.size and values.min() >= 0 and values.max() <= 1):  # false for NaN as well
            raise UsageError(f"the {name} must have values in [0, 1]; divide 8-bit values by 255, normalise a raw map")
