"""Re-rendering: images of `shortcuts` whose object, shape, material or background comes from another image.

Every result is composed by the operations that render the data set; nothing is masked, blurred or pasted. The shadow and the brightness
of the background follow the object, as in the data. The light is the image's own.
"""

from __future__ import annotations

from collections.abc import Collection
from dataclasses import dataclass, field
from functools import lru_cache

import numpy as np
from numpy.typing import NDArray

from camdbench.datasets.shortcuts.dataset import Shortcuts
from camdbench.datasets.shortcuts.drawing import Outline, Scene, compose, draw_outline

PARTS = ("object", "shape", "material", "background")
_HELD = 256  # scenes of at most 128 pixels that stay in memory, 0.4 MB each at 96 pixels; of larger images as many as fill the same memory


@dataclass(frozen=True)
class Redrawing:
    """An image whose parts can come from other images.

    Attributes:
        own: draws of the image.
    """

    own: Scene
    _outlines: dict[str, Outline] = field(default_factory=dict, repr=False)

    def picture(self, replaced: Collection[str], objects: Scene, backgrounds: Scene) -> NDArray[np.uint8]:
        """The image with some of its parts replaced.

        Args:
            replaced: any of `object`, `shape` (at the image's own place), `material` and `background`; `object` is the shape at the
                other image's place, and the material.
            objects: scene that gives object, shape and material.
            backgrounds: scene that gives the background.

        Returns:
            (size, size, 3) 8-bit RGB.
        """
        outline = self.own.outline
        if "object" in replaced:
            outline = objects.outline
        elif "shape" in replaced:
            outline = self._outline(objects.shape)
        material = objects.material if {"object", "material"} & set(replaced) else self.own.material
        behind = backgrounds.background if "background" in replaced else self.own.background
        return compose(outline, material, behind, self.own.light).image

    def _outline(self, shape: str) -> Outline:
        """A shape at the place of the image's own."""
        if shape not in self._outlines:
            self._outlines[shape] = draw_outline(shape, self.own.setting, len(self.own.light))
        return self._outlines[shape]


def scene_of(data: Shortcuts, index: int) -> Scene:
    """The draws of an image; those of the last images stay in memory.

    Raises:
        IndexError: there is no such image.
    """
    return _keeper(max(1, min(_HELD, _HELD * 128**2 // data.size**2)))(data, index)


@lru_cache(maxsize=1)
def _keeper(count: int):  # noqa: ANN202 - a cached function of a data set and an index
    return lru_cache(maxsize=count)(Shortcuts.scene)
