"""Maps of other tools as explainers of a run: arrays, files and folders, read by image id."""

from __future__ import annotations

import hashlib
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, cast

import numpy as np
from torch import Tensor

from camdbench.core.errors import UsageError
from camdbench.core.files import reading
from camdbench.core.spec import Spec
from camdbench.explainers.common.saliency import Saliency
from camdbench.explainers.common.trace import Trace
from camdbench.runner.saved_maps import map_of, maps_in_order, read_maps, to_saliency

MapsLike = Any  # str | Path | array (N, h, w) | Mapping[id, array (h, w)]
ALONE = "the maps were given; without their explainer, altered images cannot be explained"
_SHOWN = 3  # unknown ids that an error names


class JointMaps:
    """Given maps of one explainer, each normalised to its range.

    Args:
        name: name of the explainer in rows.
        given: an array (N, h, w) in the order of the data set's images; a mapping from image ids to arrays (h, w); a file
            `.npy`, `.npz` or `.h5`; or a folder of `ID.npy` or `ID.png`.
        ids: ids of the data set's images.

    Raises:
        UsageError: unreadable or unsuitable maps, or an id that is no image of the data set.
    """

    def __init__(self, name: str, given: MapsLike, ids: Sequence[str]) -> None:
        self._what = Path(given) if isinstance(given, str | Path) else Path(f"maps {name}")
        self._maps = _maps(given, self._what, ids)
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
        return to_saliency(trace, [self._maps.get(name) for name in trace.batch.ids], "range", self._what)

    def digest(self) -> str:
        """Hash of all maps by image id; the format of their file has no effect."""
        found = hashlib.sha256()
        for name in sorted(self._maps):
            own = self._maps[name].contiguous()
            found.update(f"{name}\0{tuple(own.shape)}\0".encode(errors="surrogateescape"))
            found.update(own.numpy().tobytes())
        return found.hexdigest()[:16]


def _maps(given: MapsLike, what: Path, ids: Sequence[str]) -> dict[str, Tensor]:
    """Return the maps (h, w) by image id."""
    if isinstance(given, Mapping):
        own = cast("Mapping[Any, Any]", given)
        return {str(name): map_of(_to_array(one, f"{what}, {name}"), f"{what}, {name}") for name, one in own.items()}
    if not isinstance(given, str | Path):
        return maps_in_order(_to_array(given, str(what)), what, ids)
    if what.is_dir():
        return _of_folder(what)
    return _of_hdf5(what, ids) if what.suffix in (".h5", ".hdf5") else read_maps(what, ids)


def _to_array(given: Any, what: str) -> np.ndarray:
    try:
        return given.detach().cpu().numpy() if isinstance(given, Tensor) else np.asarray(given)
    except (TypeError, ValueError, RuntimeError):
        raise UsageError(f"{what} is {type(given).__name__}: expected an array of numbers") from None


def _of_folder(folder: Path) -> dict[str, Tensor]:
    """Read `ID.npy` and `ID.png`, also in folders below; the id is the path without its ending, with slashes."""
    found = dict[str, Tensor]()
    for file in sorted(path for path in folder.rglob("*") if path.suffix in (".npy", ".png")):
        name = file.relative_to(folder).with_suffix("").as_posix()
        if name in found:
            raise UsageError(f"{folder}: two maps of image {name}; keep {name}.npy or {name}.png")
        with reading(file, "map", fix="give numbers (h, w), or a grey picture"):
            found[name] = map_of(_array_of(file), str(file))
    if not found:
        raise UsageError(f"{folder}: no maps; expected ID.npy or ID.png for each image")
    return found


def _array_of(file: Path) -> np.ndarray:
    if file.suffix == ".npy":
        return np.load(file, allow_pickle=False)
    from PIL import Image

    with Image.open(file) as picture:
        return np.asarray(picture)


def _of_hdf5(file: Path, ids: Sequence[str]) -> dict[str, Tensor]:
    """Read the data sets `maps` (N, h, w) and `ids`, or one data set (h, w) per image id."""
    if not file.is_file():
        raise UsageError(f"{file}: no such file")
    try:
        import h5py
    except ImportError:
        raise UsageError(f"{file}: reading HDF5 needs h5py: pip install 'camdbench[maps]'; or give a .npz file") from None
    arrays = dict[str, Any]()

    def keep(name: str, item: Any) -> None:
        if isinstance(item, h5py.Dataset):
            arrays[name] = item.asstr()[()] if h5py.check_string_dtype(item.dtype) else item[()]

    fix = "give an HDF5 file with the data sets maps (N, h, w) and ids, or one (h, w) per image id"
    with reading(file, "maps", fix=fix), h5py.File(file, "r") as opened:
        opened.visititems(keep)
    if set(arrays) <= {"maps", "ids"} and "maps" in arrays:
        if "ids" not in arrays:
            return maps_in_order(arrays["maps"], file, ids)
        names = [str(name) for name in arrays["ids"].tolist()]
        if len(names) != len(arrays["maps"]) or len(set(names)) != len(names):
            raise UsageError(f"{file}: {len(arrays['maps'])} maps and {len(set(names))} different ids; expected one id per map")
        return {name: map_of(own, f"{file}, {name}") for name, own in zip(names, arrays["maps"], strict=True)}
    return {name: map_of(own, f"{file}, {name}") for name, own in arrays.items()}
