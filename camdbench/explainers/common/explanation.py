"""Explanations: maps of N images by one or several explainers, which a notebook shows as pictures."""

from __future__ import annotations

import base64
import html
import io
from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import torch
from PIL import Image
from torch import Tensor

from camdbench.core.errors import UsageError
from camdbench.core.progress import in_notebook
from camdbench.core.row import Status
from camdbench.core.written_files import write_whole
from camdbench.functional.map_overlay import COLOURS, check_colours, overlay

SHOWN = 8  # images that a notebook shows unless more are asked for
_HEIGHT = 160  # of a picture in a notebook, CSS pixels


@dataclass(frozen=True, repr=False, eq=False)
class Explanation:
    """The maps of N images by one explainer.

    Attributes:
        explainer: canonical spec.
        images: (N, 3, H, W) in [0, 1].
        maps: (N, H, W) in [0, 1], at image size, on the model's device.
        raw: (N, h, w) as the explainer made them: signed, unscaled, on the layer's grid.
        targets: (N,) the explained classes.
        logits: (N, C) of the images as they are.
        status: N states: ok, constant_map or error.
        class_names: names of the C classes; empty if the model has none.
        names: N names of the images: the stems of files, else their numbers.
    """

    explainer: str
    images: Tensor
    maps: Tensor
    raw: Tensor
    targets: Tensor
    logits: Tensor
    status: tuple[Status, ...]
    class_names: tuple[str, ...] = ()
    names: tuple[str, ...] = ()

    @property
    def probabilities(self) -> Tensor:
        """(N,) softmax probabilities of the explained classes, float64."""
        return self.logits.double().softmax(1).gather(1, self.targets[:, None])[:, 0]

    def numpy(self) -> np.ndarray[Any, Any]:
        """The maps (N, H, W), float32 in [0, 1]."""
        return self.maps.detach().cpu().numpy()

    def save(self, path: str | Path) -> None:
        """Write images, maps, raw maps, targets and logits to an .npz file, atomically.

        Raises:
            UsageError: another suffix.
        """
        arrays = _arrays(self)
        _save(path, arrays | {"images": self.images.cpu().numpy(), "targets": self.targets.cpu().numpy(), "logits": _array(self.logits)})

    def show(self, limit: int = SHOWN, *, colours: str = COLOURS) -> None:
        """Show images and overlays: in the notebook, else in the viewer of the desktop.

        Args:
            limit: number of images, from the first.
            colours: name of a matplotlib colour map.
        """
        _show([self], limit, colours)

    def __repr__(self) -> str:
        states = ", ".join(f"{name} {count}" for name, count in Counter(self.status).items())
        height, width = self.maps.shape[1:]
        return f"Explanation({self.explainer}: {len(self.maps)} maps {height} x {width}, {states})"

    def _repr_html_(self) -> str:
        return _to_html([self], SHOWN)


class Explanations(Mapping[str, Explanation]):
    """The maps of the same N images by several explainers, by their names.

    Args:
        found: explanation by name.
        refused: reason by name of each explainer that does not apply to the model.
    """

    def __init__(self, found: Mapping[str, Explanation], refused: Mapping[str, str] | None = None) -> None:
        self._found, self.refused = dict(found), dict(refused or {})

    def __getitem__(self, name: str) -> Explanation:
        """The explanation by the explainer of a name."""
        return self._found[name]

    def __iter__(self) -> Iterator[str]:
        return iter(self._found)

    def __len__(self) -> int:
        return len(self._found)

    def save(self, path: str | Path) -> None:
        """Write images, targets, logits, and the maps of each explainer as NAME and NAME/raw, to an .npz file, atomically.

        Raises:
            UsageError: another suffix, or there are no maps.
        """
        if not self._found:
            raise UsageError(f"{path}: there are no maps to save; no explainer applies to the model")
        first = next(iter(self._found.values()))
        maps = {name + key: array for name, own in self.items() for key, array in (("", own.numpy()), ("/raw", _array(own.raw)))}
        _save(path, maps | {"images": _array(first.images), "targets": _array(first.targets), "logits": _array(first.logits)})

    def show(self, limit: int = SHOWN, *, colours: str = COLOURS) -> None:
        """Show one row per image: the image and one overlay per explainer.

        Args:
            limit: number of images, from the first.
            colours: name of a matplotlib colour map.
        """
        _show(list(self._found.values()), limit, colours)

    def __repr__(self) -> str:
        images = len(next(iter(self._found.values())).maps) if self._found else 0
        names = ", ".join(self._found)
        text = f"Explanations({len(self)} explainers, {images} images: {names})"
        return text if len(text) < 160 else f"{text[:155]} …)"

    def _repr_html_(self) -> str:
        notes = "".join(f"<div>{html.escape(name)}: {html.escape(reason)}</div>" for name, reason in self.refused.items())
        return _to_html(list(self._found.values()), SHOWN) + notes


def _arrays(one: Explanation) -> dict[str, Any]:
    return {"maps": one.numpy(), "raw": _array(one.raw)}


def _array(tensor: Tensor) -> np.ndarray[Any, Any]:
    return tensor.detach().cpu().numpy()


def _save(path: str | Path, arrays: Mapping[str, Any]) -> None:
    file = Path(path)
    if file.suffix != ".npz":
        raise UsageError(f"{file}: unknown suffix; choose .npz")
    content = io.BytesIO()
    np.savez_compressed(content, **arrays)
    write_whole(file, content.getbuffer())


def _show(found: Sequence[Explanation], limit: int, colours: str) -> None:
    check_colours(colours)
    if limit < 1:
        raise UsageError(f"limit = {limit}: expected 1 or more")
    if in_notebook():
        from IPython.display import HTML, display  # pyright: ignore[reportMissingImports]

        display(HTML(_to_html(found, limit, colours)))
    elif found:
        _sheet(found, limit, colours).show()


def _sheet(found: Sequence[Explanation], limit: int, colours: str) -> Image.Image:
    """One row per image: the image and one overlay per explainer."""
    count = min(limit, len(found[0].maps))
    rows = [np.concatenate(_tiles(found, index, colours), axis=1) for index in range(count)]
    return Image.fromarray(np.concatenate(rows))


def _tiles(found: Sequence[Explanation], index: int, colours: str) -> list[np.ndarray[Any, Any]]:
    """Image and overlays of one image, each (H, W, 3) uint8; the image stands in for a map that is not finite."""
    image = _array(found[0].images[index]).transpose(1, 2, 0)
    plain = np.rint(255 * image).astype(np.uint8)
    maps = [own.numpy()[index] for own in found]
    return [plain, *(overlay(image, own, colours=colours) if np.isfinite(own).all() else plain for own in maps)]


def _to_html(found: Sequence[Explanation], limit: int, colours: str = COLOURS) -> str:
    """A table: one row per image, with class, probability and state below the overlays."""
    if not found:
        return "<div>no maps</div>"
    first, count = found[0], min(limit, len(found[0].maps))
    head = "".join(f"<th>{html.escape(text)}</th>" for text in ("image", *(own.explainer for own in found)))
    rows = list[str]()
    for index in range(count):
        captions = [first.names[index] if first.names else str(index), *(_caption(own, index) for own in found)]
        cells = zip(_tiles(found, index, colours), captions, strict=True)
        rows.append("<tr>" + "".join(f"<td>{_picture(tile)}<br>{html.escape(text)}</td>" for tile, text in cells) + "</tr>")
    more = len(first.maps) - count
    note = f"<div>{more} more images: .show(limit={len(first.maps)})</div>" if more else ""
    return f'<table class="camdbench"><tr>{head}</tr>{"".join(rows)}</table>{note}'


def _caption(one: Explanation, index: int) -> str:
    target = int(one.targets[index])
    name = one.class_names[target] if target < len(one.class_names) else f"class {target}"
    state = "" if one.status[index] == "ok" else f", {one.status[index]}"
    return f"{name} {100 * float(one.probabilities[index]):.1f} %{state}"


def _picture(tile: np.ndarray[Any, Any]) -> str:
    with io.BytesIO() as file:
        Image.fromarray(tile).save(file, format="PNG")
        data = base64.b64encode(file.getvalue()).decode()
    return f'<img alt="" style="height:{_HEIGHT}px" src="data:image/png;base64,{data}">'


def joined(parts: Sequence[Explanation]) -> Explanation:
    """The explanation of all images of the parts, in their order."""
    first = parts[0]
    if len(parts) == 1:
        return first
    return Explanation(
        first.explainer,
        torch.cat([part.images for part in parts]),
        torch.cat([part.maps for part in parts]),
        torch.cat([part.raw for part in parts]),
        torch.cat([part.targets for part in parts]),
        torch.cat([part.logits for part in parts]),
        tuple(state for part in parts for state in part.status),
        first.class_names,
        tuple(name for part in parts for name in part.names),
    )
