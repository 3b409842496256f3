"""Saliency maps of a run, of a NumPy file or in memory, used in place of explainers."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from functools import lru_cache
from pathlib import Path
from typing import cast, get_args

import numpy as np
import torch
from torch import Tensor

from camdbench.core.errors import CamdbenchError, UsageError, unknown
from camdbench.core.files import reading
from camdbench.core.spec import Spec
from camdbench.explainers.common.saliency import Saliency, finish, normalisation_of
from camdbench.explainers.common.trace import Trace
from camdbench.functional.normalise import Normalisation
from camdbench.models.classifier import Classifier
from camdbench.runner.run_directory import PartKey, part_file
from camdbench.tables.load import load_run

MapSource = Callable[[Trace, Spec], Saliency]  # maps of an explainer on a batch: computed or read


def pack(raw: Mapping[str, Tensor], ids: Sequence[str]) -> dict[str, Tensor]:
    """Store raw maps as float16, each scaled to a largest magnitude of 1, with scales and image positions.

    Maps of one size are stacked under names that end in `.HEIGHTxWIDTH`.
    """
    sizes = dict[str, dict[str, Tensor]]()
    for name, own in raw.items():
        sizes.setdefault(f"{own.shape[0]}x{own.shape[1]}", {})[name] = own
    found = dict[str, Tensor]()
    for size, group in sizes.items():
        maps = torch.stack([own.float() for own in group.values()])
        scale = maps.abs().amax((1, 2)).clamp_min(torch.finfo(torch.float32).tiny)
        found[f"maps.{size}"] = (maps / scale[:, None, None]).half()
        found[f"scale.{size}"] = scale
        found[f"position.{size}"] = torch.tensor([ids.index(name) for name in group])
    return found


def unpack(tensors: Mapping[str, Tensor]) -> dict[int, Tensor]:
    """Restore raw maps (h, w) by image position from the output of `pack`.

    >>> maps = unpack(pack({"a": torch.tensor([[4.0, -8.0]])}, ["b", "a"]))
    >>> maps[1].tolist()
    [[4.0, -8.0]]
    """
    found = dict[int, Tensor]()
    for name, maps in tensors.items():
        kind, _, size = name.partition(".")
        if kind == "maps":
            restored = maps.float() * tensors[f"scale.{size}"][:, None, None]
            found |= dict(zip(tensors[f"position.{size}"].tolist(), restored, strict=True))
    return found


class RunMaps:
    """Saved maps of a run.

    Args:
        run: the run directory.
        row_name: name of a classifier in that run's rows.

    Raises:
        UsageError: not a run directory.
    """

    def __init__(self, run: Path, row_name: Callable[[Classifier], str]) -> None:
        self._run, self._row_name = run, row_name
        about = load_run(run)
        self._chunk_of = {name: divmod(place, about["chunk_size"]) for place, name in enumerate(about["ids"])}
        self._recorded = {name: own["normalisation"] for name, own in about["explainers"].items() if "normalisation" in own}

    def __call__(self, trace: Trace, spec: Spec) -> Saliency:
        """Return the maps of a batch; an image without a map has the status `error`."""
        model = self._row_name(trace.classifier)
        how = self._recorded.get(str(spec)) or normalisation_of(spec)  # explainers of a user exist during their run only
        return to_saliency(trace, [self._map(model, spec, name) for name in trace.batch.ids], how, self._run)

    def _map(self, model: str, spec: Spec, name: str) -> Tensor | None:
        if name not in self._chunk_of:
            return None
        chunk, place = self._chunk_of[name]
        return _part(part_file(self._run, "maps", PartKey(model, str(spec), chunk))).get(place)


class FileMaps:
    """Saliency maps of a file `.npy` or `.npz`.

    Args:
        file: the file.
        normalisation: normalisation of the maps.
        ids: ids of the data set's images, in the order of the file's array.

    Raises:
        UsageError: the file holds no suitable maps.
    """

    def __init__(self, file: Path, normalisation: str | None, ids: Sequence[str]) -> None:
        self._file, self._maps = file, read_maps(file, ids)
        _check_range(file, self._maps, normalisation)
        self._how: Normalisation = cast("Normalisation", normalisation or "range")

    def __call__(self, trace: Trace, spec: Spec) -> Saliency:
        """Return the maps of a batch; an image without a map has the status `error`."""
        del spec
        return to_saliency(trace, [self._maps.get(name) for name in trace.batch.ids], self._how, self._file)


@dataclass(frozen=True)
class GivenMaps:
    """Maps in memory; image ids are positions.

    Attributes:
        maps: (N, h, w).
        normalisation: normalisation of the maps.
    """

    maps: Tensor
    normalisation: Normalisation

    def __call__(self, trace: Trace, spec: Spec) -> Saliency:
        """Return the maps of a batch."""
        del spec
        own = self.maps[[int(name) for name in trace.batch.ids]]
        return finish(own.to(trace.images.device), trace.size, self.normalisation)


def to_saliency(trace: Trace, found: Sequence[Tensor | None], how: Normalisation, source: Path) -> Saliency:
    """Normalise and upsample the maps of a batch; NaN if a map is missing."""
    sizes = {tuple(own.shape) for own in found if own is not None}
    if len(sizes) > 1:
        raise UsageError(f"{source}: the maps of images of one size have sizes {sorted(sizes)}")
    like = torch.zeros(*next(iter(sizes), (1, 1)))
    raw = torch.stack([torch.full_like(like, torch.nan) if own is None else own for own in found])
    maps = finish(raw.to(trace.images.device), trace.size, how)
    reasons = ["there is no saved map of this image" if own is None else why for own, why in zip(found, maps.reasons, strict=True)]
    return replace(maps, reasons=tuple(reasons))


def fingerprint(path: str | Path) -> str:
    """Return a short hash of a file of maps, or of the record of their run.

    Raises:
        UsageError: no such file or run.
    """
    about = Path(path) / "run.json" if Path(path).is_dir() else Path(path)
    if not about.is_file():
        raise UsageError(f"{path}: no such file or run directory")
    if about.name != "run.json":
        return hashlib.sha256(about.read_bytes()).hexdigest()[:16]
    record = load_run(path)
    made = {key: record.get(key) for key in ("config", "dataset", "models", "code", "plugins")}
    return hashlib.sha256(json.dumps(made, sort_keys=True).encode()).hexdigest()[:16]


def read_maps(path: Path, ids: Sequence[str]) -> dict[str, Tensor]:
    """Read maps (h, w) by image, from an array (N, h, w) in the data set's order or from arrays (h, w) named by image id.

    Raises:
        UsageError: the file is missing, unreadable or does not fit the data set.
    """
    loaded = _read_arrays(path)
    if isinstance(loaded, np.ndarray):
        return maps_in_order(loaded, path, ids)
    names = list(loaded)
    if len(names) == 1 and loaded[names[0]].ndim != 2:
        return maps_in_order(loaded[names[0]], path, ids)
    if not set(names) & set(ids):
        raise UsageError(f"{path} holds {', '.join(names[:3])}, …, none of them an image of the data set ({', '.join(ids[:3])}, …)")
    return {name: map_of(own, f"{path}, {name}") for name, own in loaded.items()}


def _read_arrays(path: Path) -> np.ndarray | dict[str, np.ndarray]:
    """Read a NumPy file whole, so that a member that claims more than it holds is an error here."""
    if not path.is_file():
        raise UsageError(f"{path}: no such file or run directory")
    with reading(path, "maps", fix="give numbers, saved by numpy.save or numpy.savez"):
        try:
            with path.open("rb") as stream:  # numpy would leave a damaged file open
                loaded = np.load(stream, allow_pickle=False)
                found = loaded if isinstance(loaded, np.ndarray) else {name: loaded[name] for name in loaded.files}
        except ValueError as error:
            if "pickle" in str(error):  # numpy advises to load it unsafely
                raise ValueError("no array of numbers") from None
            raise
        if not isinstance(found, np.ndarray) and not all(isinstance(own, np.ndarray) for own in found.values()):
            raise TypeError("it has members that are no arrays")
        return found


def maps_in_order(maps: np.ndarray, path: Path, ids: Sequence[str]) -> dict[str, Tensor]:
    """Return the maps (h, w) of an array (N, h, w) or (N, 1, h, w) by image, in the order of `ids`.

    Raises:
        UsageError: another shape, or more maps than images.
    """
    if maps.ndim == 4 and maps.shape[1] == 1:
        maps = maps[:, 0]
    if maps.ndim != 3 or not 0 < len(maps) <= len(ids):
        raise UsageError(f"{path} has shape {maps.shape}; expected (N, h, w) with at most {len(ids)} maps, in the order of the images")
    return {name: map_of(own, f"{path}, map of {name}") for name, own in zip(ids, maps, strict=False)}


def map_of(own: np.ndarray, what: str) -> Tensor:
    """Return a map (h, w) as float32.

    Raises:
        UsageError: another shape, or no real numbers.
    """
    real = np.issubdtype(own.dtype, np.number) and not np.iscomplexobj(own)
    if own.ndim != 2 or not (real or own.dtype == np.bool_):  # a mask is a map of 0 and 1
        raise UsageError(f"{what} has shape {own.shape} and type {own.dtype}; expected numbers (h, w)")
    return torch.from_numpy(own.astype(np.float32))


def _check_range(path: Path, maps: Mapping[str, Tensor], normalisation: str | None) -> None:
    """Refuse values outside [0, 1] without normalisation; a non-finite map is an error of its image only."""
    if normalisation not in (None, *get_args(Normalisation)):
        raise unknown("normalisation", str(normalisation), get_args(Normalisation))
    for name, own in maps.items() if normalisation == "none" else ():
        if ((own < 0) | (own > 1))[own.isfinite()].any():
            raise UsageError(
                f"{path}, map of {name} has values from {own.min():.3g} to {own.max():.3g}; expected [0, 1], or --normalisation range"
            )


@lru_cache(maxsize=8)
def _part(file: Path) -> dict[int, Tensor]:
    from safetensors.torch import load_file

    if not file.is_file():
        return {}
    with reading(file, fix="delete the run directory and repeat the run", error=CamdbenchError):
        return unpack(load_file(file))
