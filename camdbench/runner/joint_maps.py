"""Maps of other tools as explainers of a run."""

from __future__ import annotations

import hashlib
from collections.abc import Sequence
from pathlib import Path

from torch import Tensor

from camdbench.core.errors import UsageError
from camdbench.core.spec import Spec
from camdbench.explainers.common.saliency import Saliency
from camdbench.explainers.common.trace import Trace
from camdbench.runner.map_files import MapsLike, maps_of
from camdbench.runner.saved_maps import to_saliency

ALONE = "the maps were given; without their explainer, altered images cannot be explained"
_SHOWN = 3  # unknown ids that an error names


class JointMaps:
    """Given maps of one explainer, each normalised to its range.

    Args:
        name: name of the explainer in rows.
        given: an array (N, h, w) in the order of the data set's images; a mapping from image ids to arrays (h, w); a file
            `.npy`, `.npz`, `.h5` or `.zarr`; or a folder of `ID.npy` or `ID.png`.
        ids: ids of the data set's images.

    Raises:
        UsageError: unreadable or unsuitable maps, or an id that is not an image of the data set.
    """

    def __init__(self, name: str, given: MapsLike, ids: Sequence[str]) -> None:
        self._what = Path(given) if isinstance(given, str | Path) else Path(f"maps {name}")
        self._maps = maps_of(given, self._what, ids)
        known = set(ids)
        if strangers := [own for own in self._maps if own not in known]:
            shown = ", ".join(strangers[:_SHOWN]) + ", …" * (len(strangers) > _SHOWN)
            raise UsageError(
                f"--maps {name}: {len(strangers)} of {len(self._maps)} maps are of no image of the data set ({shown}); "
                f"name them by image id, such as {', '.join(ids[:_SHOWN])}"
            )

    def __call__(self, trace: Trace, spec: Spec) -> Saliency:
        """Return the maps of a batch; an image without a map has the status `error`."""
        del spec
        return to_saliency(trace, [self.map(name) for name in trace.batch.ids], "range", self._what)

    def map(self, name: str) -> Tensor | None:
        """The map (h, w) of an image, float32; None if there is none."""
        return self._maps.get(name)

    def digest(self) -> str:
        """Hash of all maps by image id; the format of their file has no effect."""
        found = hashlib.sha256()
        for name in sorted(self._maps):
            own = self._maps[name].contiguous()
            found.update(f"{name}\0{tuple(own.shape)}\0".encode(errors="surrogateescape"))
            found.update(own.numpy().tobytes())
        return found.hexdigest()[:16]
