"""Saliency maps that a run has stored, finished as they were scored."""

from __future__ import annotations

from collections.abc import Mapping
from functools import lru_cache
from pathlib import Path
from typing import Any

import numpy as np
from torch import Tensor

from camdbench.core.errors import CamdbenchError
from camdbench.core.files import reading
from camdbench.core.spec import parse_spec
from camdbench.explainers.common.saliency import finish, normalisation_of
from camdbench.functional.normalise import Normalisation
from camdbench.runner.run_directory import PartKey, part_file
from camdbench.runner.saved_maps import unpack


class StoredMaps:
    """Stored maps by model, explainer and image.

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
        """Return a map (H, W) in [0, 1] as it was scored, NaN where it is not finite; None if the run has none.

        Args:
            model: name of the model in rows.
            explainer: canonical spec.
            image: id of the image.
            size: height and width of the image in pixels.

        Raises:
            CamdbenchError: the file of the map is damaged.
        """
        if image not in self._place_of:
            return None
        chunk, place = self._place_of[image]
        raw = _maps_of(part_file(self._run, "maps", PartKey(model, explainer, chunk))).get(place)
        if raw is None:
            return None
        how = self._recorded.get(explainer) or normalisation_of(parse_spec(explainer))
        return finish(raw[None], size, how).maps[0].numpy()


@lru_cache(maxsize=64)
def _maps_of(file: Path) -> dict[int, Tensor]:
    from safetensors.torch import load_file

    if not file.is_file():
        return {}
    with reading(file, fix="delete the run directory and repeat the run", error=CamdbenchError):
        return unpack(load_file(file))
