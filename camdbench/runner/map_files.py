"""Saliency maps of other tools: arrays, files and folders, by image id; each map is read when it is asked for."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any, cast

import numpy as np
import torch
from torch import Tensor

from camdbench.core.errors import CamdbenchError, UsageError
from camdbench.core.files import check_regular, reading, reason_of
from camdbench.runner.numpy_maps import numpy_arrays

MapsLike = Any  # str | Path | array (N, h, w) | Mapping[id, array (h, w)]
_SHOWN = 3  # ids that an error names
_MOST_VALUES = 10**8  # of a map; a small file may claim more than any memory
_FORMS = "a file .npy, .npz, .h5 or .zarr"
_STORE = {"maps", "ids"}  # names of the arrays of a file that holds all maps in one


class Maps(Mapping[str, Tensor]):
    """Maps (h, w) by image id, float32.

    Args:
        readers: functions that read a map, by image id.
        what: where they come from, for messages.
    """

    def __init__(self, readers: Mapping[str, Callable[[], np.ndarray]], what: str) -> None:
        self._readers, self._what = readers, what

    def __getitem__(self, name: str) -> Tensor:
        """Read a map.

        Raises:
            UsageError: it cannot be read, or is not a map.
        """
        what = f"{self._what}, {name}"
        read = self._readers[name]
        try:
            own = read()
        except CamdbenchError:
            raise
        except Exception as error:  # a damaged chunk of HDF5 or Zarr
            raise UsageError(f"{what}: cannot be read ({reason_of(error)}); write the maps again") from None
        _check_map(own.shape, own.dtype, what)
        return torch.from_numpy(own.astype(np.float32))

    def __iter__(self) -> Iterator[str]:
        return iter(self._readers)

    def __len__(self) -> int:
        return len(self._readers)


def maps_of(given: MapsLike, what: Path, ids: Sequence[str]) -> Maps:
    """Maps of an array, a mapping, a file or a folder.

    Args:
        given: an array (N, h, w) in the order of the data set's images; a mapping from image ids to arrays (h, w); a file; or a
            folder of `ID.npy` or `ID.png`.
        what: the file or folder, or a name for messages.
        ids: ids of the data set's images.

    Raises:
        UsageError: unreadable or unsuitable maps.
    """
    if isinstance(given, Mapping):
        own = {str(name): _to_array(one, f"{what}, {name}") for name, one in cast("Mapping[Any, Any]", given).items()}
        return _by_id(own, str(what))
    if not isinstance(given, str | Path):
        return maps_in_order(_to_array(given, str(what)), str(what), ids)
    if what.is_dir() and what.suffix != ".zarr":
        return _of_folder(what)
    return read_maps(what, ids)


def read_maps(path: Path, ids: Sequence[str]) -> Maps:
    """Maps of a file: an array (N, h, w) in the data set's order, or arrays (h, w) named by image id.

    They are read map by map; one array (N, h, w) in a compressed `.npz` is read whole.

    Raises:
        UsageError: the file is missing, unreadable or does not fit the data set.
    """
    if not path.exists():
        raise UsageError(f"{path}: no such file or run directory")
    if path.suffix in (".h5", ".hdf5", ".zarr"):
        return _of_store(_zarr_arrays(path) if path.suffix == ".zarr" else _hdf5_arrays(path), path, ids)
    loaded = numpy_arrays(path)
    if not isinstance(loaded, dict):
        return maps_in_order(loaded, str(path), ids)
    names = list(loaded)
    if len(names) == 1 and len(loaded[names[0]].shape) != 2:
        return maps_in_order(loaded[names[0]], str(path), ids)
    if not set(names) & set(ids):
        raise _strangers(f"{path}: none of its {len(names)} maps", names, ids)
    return _by_id(loaded, str(path))


def _strangers(what: str, names: Sequence[str], ids: Sequence[str]) -> UsageError:
    """Error for maps under names that are no image ids.

    >>> print(_strangers("a.npz: none of its 2 maps", ["b", "c"], ["1", "2", "3", "4"]))
    a.npz: none of its 2 maps is of an image of the data set (b, c); name them by image id, such as 1, 2, 3
    """
    shown = ", ".join(names[:_SHOWN]) + ", …" * (len(names) > _SHOWN)
    return UsageError(f"{what} is of an image of the data set ({shown}); name them by image id, such as {', '.join(ids[:_SHOWN])}")


def maps_in_order(maps: Any, what: str, ids: Sequence[str]) -> Maps:
    """Maps of an array (N, h, w) or (N, 1, h, w), in the order of `ids`; it is sliced map by map.

    Raises:
        UsageError: another shape, or more maps than images.
    """
    shape = tuple(maps.shape)
    flat = (shape[0], *shape[2:]) if len(shape) == 4 and shape[1] == 1 else shape
    if len(flat) != 3 or not 0 < flat[0] <= len(ids):
        raise UsageError(f"{what} has shape {flat}; expected (N, h, w) with at most {len(ids)} maps, in the order of the images")
    _check_map(flat[1:], maps.dtype, f"{what}, map of {ids[0]}")
    return Maps({name: partial(_slice, maps, place, flat[1:]) for place, name in zip(range(flat[0]), ids, strict=False)}, what)


def _slice(maps: Any, place: int, shape: tuple[int, ...]) -> np.ndarray:
    return np.asarray(maps[place]).reshape(shape)


def _by_id(arrays: Mapping[str, Any], what: str) -> Maps:
    """Maps of arrays (h, w) by image id, whose shapes are checked before any is read."""
    for name, own in arrays.items():
        _check_map(tuple(own.shape), own.dtype, f"{what}, {name}")
    return Maps({name: partial(_whole, own) for name, own in arrays.items()}, what)


def _whole(own: Any) -> np.ndarray:
    return np.asarray(own[()])


def _check_map(shape: tuple[int, ...], dtype: Any, what: str) -> None:
    real = np.issubdtype(dtype, np.number) and not np.issubdtype(dtype, np.complexfloating)
    if len(shape) != 2 or not (real or dtype == np.bool_):  # a mask is a map of 0 and 1
        raise UsageError(f"{what} has shape {shape} and type {dtype}; expected numbers (h, w)")
    if shape[0] * shape[1] > _MOST_VALUES:
        raise UsageError(f"{what} has shape {shape}; expected at most {_MOST_VALUES:,} values, give maps of the images' size or smaller")


def _to_array(given: Any, what: str) -> np.ndarray:
    try:
        return given.detach().cpu().numpy() if isinstance(given, Tensor) else np.asarray(given)
    except (TypeError, ValueError, RuntimeError):
        raise UsageError(f"{what} is {type(given).__name__}: expected an array of numbers") from None


def _of_folder(folder: Path) -> Maps:
    """Maps `ID.npy` and `ID.png`, also in folders below; the id is the path without its ending, with slashes."""
    found = dict[str, Callable[[], np.ndarray]]()
    for file in sorted(path for path in folder.rglob("*") if path.suffix in (".npy", ".png")):
        name = file.relative_to(folder).with_suffix("").as_posix()
        if name in found:
            raise UsageError(f"{folder}: two maps of image {name}; keep {name}.npy or {name}.png")
        found[name] = partial(_array_of, file)
    if not found:
        raise UsageError(f"{folder}: no maps; expected ID.npy or ID.png for each image, or {_FORMS}")
    return Maps(found, str(folder))


def _array_of(file: Path) -> np.ndarray:
    from PIL import Image

    with reading(file, "map", fix="give numbers (h, w), or a grey picture"):
        if file.suffix == ".npy":
            return np.load(file, allow_pickle=False)
        with Image.open(file, formats=("PNG",)) as picture:
            return np.asarray(picture)


def _of_store(arrays: Mapping[str, Any], file: Path, ids: Sequence[str]) -> Maps:
    """Maps of the arrays `maps` (N, h, w) and `ids`, of `maps` alone in the data set's order, or of one array (h, w) per image id."""
    if not (set(arrays) <= _STORE and "maps" in arrays):
        if not arrays:
            raise UsageError(f"{file}: no arrays; expected maps (N, h, w) and ids, or one array (h, w) per image id")
        return _by_id(arrays, str(file))
    maps = arrays["maps"]
    if "ids" not in arrays:
        return maps_in_order(maps, str(file), ids)
    names = _names_in(arrays["ids"], file)
    if len(names) != (count := maps.shape[0] if maps.shape else 0) or len(set(names)) != len(names):
        raise UsageError(f"{file}: {count} maps and {len(set(names))} different ids; expected one id per map")
    return maps_in_order(maps, str(file), names)


@dataclass(frozen=True)
class _Reopened:
    """A data set of an HDF5 file, opened for each reading."""

    file: Any
    name: str
    shape: tuple[int, ...]
    dtype: Any

    def __getitem__(self, key: Any) -> Any:
        return self.file[self.name][key]


def _names_in(ids: Any, file: Path) -> list[str]:
    """The texts of an array of ids."""
    try:
        return [name.decode() if isinstance(name, bytes) else str(name) for name in np.asarray(ids[()]).reshape(-1).tolist()]
    except Exception as error:  # damaged, or not UTF-8
        raise UsageError(f"{file}, ids: cannot be read ({reason_of(error)}); write the maps again") from None


def _hdf5_arrays(file: Path) -> dict[str, Any]:
    """The data sets of an HDF5 file, which stays open; one named by image is opened for each reading, as it keeps what it reads."""
    h5py: Any = _library("h5py", file)
    with reading(file, "maps", fix="give an HDF5 file with the data sets maps (N, h, w) and ids, or one (h, w) per image id"):
        opened, found = h5py.File(file, "r"), dict[str, Any]()

        def add(name: str, item: Any) -> None:
            if isinstance(item, h5py.Dataset):
                found[name] = item if name in _STORE else _Reopened(opened, name, item.shape, item.dtype)

        opened.visititems(add)
        return found


def _zarr_arrays(folder: Path) -> dict[str, Any]:
    """The arrays of a Zarr group; an array alone is `maps`."""
    zarr: Any = _library("zarr", folder)
    try:
        for file in folder.rglob("*"):
            if not file.is_dir():
                check_regular(file)
        opened = zarr.open(str(folder), mode="r")
        members = opened.members(max_depth=None) if isinstance(opened, zarr.Group) else [("maps", opened)]
        return {name: item for name, item in members if isinstance(item, zarr.Array)}
    except Exception as error:  # its errors have many types
        fix = "give a Zarr group with the arrays maps (N, h, w) and ids, or one (h, w) per image id"
        raise UsageError(f"{folder}: cannot be read ({reason_of(error)}); {fix}") from None


def _library(name: str, file: Path) -> Any:
    from importlib import import_module

    try:
        return import_module(name)
    except ImportError:
        raise UsageError(f"{file}: reading it needs {name}: pip install 'camdbench[maps]'; or give a .npz file") from None
