"""Saliency maps that exist before a run, used in place of explainers: of another run, of a file, of another tool, or in memory."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Callable, Collection, Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING, cast, get_args

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
from camdbench.runner.view_maps import FIX
from camdbench.tables.load import load_run

if TYPE_CHECKING:
    from camdbench.runner.map_files import MapsLike

ALONE = "the maps were given; without their explainer, altered images cannot be explained"
_SHOWN = 3  # unknown ids that an error names

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
        self._place_of = {name: divmod(place, about["chunk_size"]) for place, name in enumerate(about["ids"])}
        self._recorded = {name: own["normalisation"] for name, own in about["explainers"].items() if "normalisation" in own}

    def __call__(self, trace: Trace, spec: Spec) -> Saliency:
        """Return the maps of a batch; an image without a map has the status `error`."""
        model = self._row_name(trace.classifier)
        how = self._recorded.get(str(spec)) or normalisation_of(spec)  # explainers of a user exist during their run only
        places = [self._place_of.get(name) for name in trace.batch.ids]
        found = dict[tuple[int, int], Tensor]()
        for chunk in dict.fromkeys(own[0] for own in places if own is not None):
            wanted = {own[1] for own in places if own is not None and own[0] == chunk}
            maps = maps_of_part(part_file(self._run, "maps", PartKey(model, str(spec), chunk)), wanted)
            found |= {(chunk, place): own for place, own in maps.items()}
        return to_saliency(trace, [None if own is None else found.get(own) for own in places], how, self._run)


class FileMaps:
    """Saliency maps of a file `.npy`, `.npz` or `.h5`.

    Args:
        file: the file.
        normalisation: normalisation of the maps.
        ids: ids of the data set's images, in the order of the file's array.

    Raises:
        UsageError: the file holds no suitable maps.
    """

    def __init__(self, file: Path, normalisation: str | None, ids: Sequence[str]) -> None:
        from camdbench.runner.map_files import read_maps

        self._file, self._maps = file, read_maps(file, ids)
        _check_range(file, self._maps, normalisation)
        self._how: Normalisation = cast("Normalisation", normalisation or "range")

    def __call__(self, trace: Trace, spec: Spec) -> Saliency:
        """Return the maps of a batch; an image without a map has the status `error`."""
        del spec
        return to_saliency(trace, [self._maps.get(name) for name in trace.batch.ids], self._how, self._file)


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
        from camdbench.runner.map_files import maps_of

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
        with about.open("rb") as stream:
            return hashlib.file_digest(stream, "sha256").hexdigest()[:16]
    record = load_run(path)
    made = {key: record.get(key) for key in ("config", "dataset", "models", "code", "plugins")}
    made |= {"given": given} if (given := record.get("given")) else {}
    return hashlib.sha256(json.dumps(made, sort_keys=True).encode()).hexdigest()[:16]


def _check_range(path: Path, maps: Mapping[str, Tensor], normalisation: str | None) -> None:
    """Refuse values outside [0, 1] without normalisation; a non-finite map is an error of its image only."""
    if normalisation not in (None, *get_args(Normalisation)):
        raise unknown("normalisation", str(normalisation), get_args(Normalisation))
    for name, own in maps.items() if normalisation == "none" else ():
        if ((own < 0) | (own > 1))[own.isfinite()].any():
            raise UsageError(
                f"{path}, map of {name} has values from {own.min():.3g} to {own.max():.3g}; expected [0, 1], or --normalisation range"
            )


def maps_of_part(file: Path, places: Collection[int]) -> dict[int, Tensor]:
    """Read raw maps (h, w) of a part at some image positions, and no others; empty if the file does not exist.

    Raises:
        CamdbenchError: the file is damaged.
    """
    from safetensors import safe_open

    found = dict[int, Tensor]()
    if not file.is_file():
        return found
    with reading(file, fix=FIX, error=CamdbenchError), safe_open(file, "pt") as stored:
        for size in (name.partition(".")[2] for name in stored.keys() if name.startswith("maps.")):  # noqa: SIM118 - no mapping
            maps, scale = stored.get_slice(f"maps.{size}"), stored.get_tensor(f"scale.{size}")
            for row, place in enumerate(stored.get_tensor(f"position.{size}").tolist()):
                if place in places:
                    found[place] = maps[row].float() * scale[row]
    return found
