"""Raw maps of a unit in a file until its parts are written, so that memory holds those of the last batches alone."""

from __future__ import annotations

from collections.abc import Generator
from contextlib import contextmanager
from dataclasses import replace
from math import prod
from pathlib import Path
from tempfile import TemporaryFile

import numpy as np
import torch
from torch import Tensor

from camdbench.core.errors import CamdbenchError
from camdbench.runner.results import BatchResult

_BYTES = 4  # of a number in float32


class MapSpool:
    """Raw maps of the explainers of one unit, in a file without a name, which `close` ends.

    Args:
        folder: folder of the file, which is made with the first maps; None: results keep their maps.
    """

    def __init__(self, folder: Path | None) -> None:
        self._folder, self._file = folder, None
        self._places = dict[str, list[tuple[tuple[str, ...], tuple[int, ...], int]]]()

    def take(self, result: BatchResult) -> BatchResult:
        """Keep the maps of a result, and return it without them.

        Raises:
            CamdbenchError: the file cannot be written.
        """
        if result.raw is None or self._folder is None:
            return result
        numbers = result.raw.float().contiguous().numpy()
        with _writing(self._folder):
            if self._file is None:
                self._file = TemporaryFile(dir=self._folder)  # noqa: SIM115 - closed by `close`
            place = self._file.seek(0, 2)
            self._file.write(numbers.data)
            self._file.flush()
        self._places.setdefault(result.explainer, []).append((result.ids, numbers.shape, place))
        return replace(result, raw=None)

    def maps(self, explainer: str) -> dict[str, Tensor]:
        """Raw maps (h, w) of an explainer by image, float32."""
        found = dict[str, Tensor]()
        for ids, shape, place in self._places.get(explainer, ()):
            assert self._file is not None
            self._file.seek(place)
            numbers = np.frombuffer(bytearray(self._file.read(prod(shape) * _BYTES)), np.float32)
            found |= dict(zip(ids, torch.from_numpy(numbers).reshape(shape), strict=True))
        return found

    def close(self) -> None:
        """Remove the file."""
        if self._file is not None:
            self._file.close()


@contextmanager
def _writing(folder: Path) -> Generator[None]:
    try:
        yield
    except OSError as error:
        raise CamdbenchError(
            f"{folder}: maps cannot be written ({error.strerror}); finished work is kept, run the same command again"
        ) from error
