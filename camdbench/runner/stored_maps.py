"""Saliency maps that a run has stored, finished as they were scored."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
from PIL import Image
from torch import Tensor

from camdbench.core.spec import parse_spec
from camdbench.explainers.common.saliency import finish, normalisation_of
from camdbench.functional.normalise import Normalisation
from camdbench.runner.run_directory import PartKey, part_file
from camdbench.runner.saved_maps import maps_of_part
from camdbench.runner.view_maps import decoded, has_views, view_of_part


class StoredMaps:
    """Stored maps by model, explainer and image, each read when it is asked for.

    Args:
        run: the run directory.
        about: its record.
    """

    def __init__(self, run: Path, about: Mapping[str, Any]) -> None:
        self._run = run
        self._place_of = {name: divmod(place, about["chunk_size"]) for place, name in enumerate(about["ids"])}
        self._recorded: dict[str, Normalisation] = {
            name: own["normalisation"] for name, own in about["explainers"].items() if "normalisation" in own
        }

    def finished(self, model: str, explainer: str, image: str, size: tuple[int, int]) -> np.ndarray | None:
        """Return a map (H, W) in [0, 1] as it was scored, 0 if it is not finite; None if the run has none.

        Of a map that was stored to be seen, the picture, enlarged.

        Args:
            model: name of the model in rows.
            explainer: canonical spec.
            image: id of the image.
            size: height and width of the image in pixels.

        Raises:
            CamdbenchError: the file of the map is damaged.
        """
        if (stored := self.view(model, explainer, image)) is None:
            return self.exact(model, explainer, image, size)
        return np.asarray(Image.fromarray(decoded(stored)).resize((size[1], size[0]), Image.Resampling.BILINEAR))

    def exact(self, model: str, explainer: str, image: str, size: tuple[int, int]) -> np.ndarray | None:
        """Return a map that was stored raw; None for other maps. Arguments and errors as of `finished`."""
        file, place = self._file(model, explainer, image)
        raw = None if file is None else maps_of_part(file, {place}).get(place)
        if raw is None:
            return None
        how = self._recorded.get(explainer) or normalisation_of(parse_spec(explainer))
        return finish(raw[None], size, how).maps[0].numpy()

    def raw(self, model: str, explainer: str, images: Sequence[str]) -> dict[str, Tensor]:
        """Return the raw maps (h, w), signed and unscaled, of the images that have one, by id.

        Raises:
            CamdbenchError: a file of maps is damaged.
        """
        wanted, found = dict[Path, dict[int, str]](), dict[str, Tensor]()
        for image in images:
            file, place = self._file(model, explainer, image)
            if file is not None:
                wanted.setdefault(file, {})[place] = image
        for file, places in wanted.items():
            found |= {places[place]: own for place, own in maps_of_part(file, places).items()}
        return found

    def view(self, model: str, explainer: str, image: str) -> bytes | None:
        """Return the picture of a map that was stored to be seen, as WebP; None for other maps.

        Raises:
            CamdbenchError: the file of the map is damaged.
        """
        file, place = self._file(model, explainer, image)
        return None if file is None else view_of_part(file, place)

    def _file(self, model: str, explainer: str, image: str) -> tuple[Path | None, int]:
        """The file of a map, which may not exist, and the position of the image in it."""
        if image not in self._place_of:
            return None, 0
        chunk, place = self._place_of[image]
        return part_file(self._run, "maps", PartKey(model, explainer, chunk)), place


def shows_maps(run: Path, about: Mapping[str, Any], explainer: str) -> bool:
    """Whether a part of an explainer holds maps that are to be seen; arguments as of `StoredMaps`.

    Raises:
        CamdbenchError: a part is damaged.
    """
    folders = [part_file(run, "maps", PartKey(model, explainer, 0)).parent for model in about["models"]]
    return any(has_views(file) for folder in folders for file in sorted(folder.glob("part-*.safetensors")))
