"""What the annotations of a data set depend on: settings and files of a reader, so that these need not be read again."""

from __future__ import annotations

import dataclasses
import hashlib
import inspect
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any, cast

from camdbench.core.errors import SampleError

if TYPE_CHECKING:
    from camdbench.datasets.transforms import Annotations


def annotation_text(annotate: Callable[[int], Annotations], count: int) -> tuple[str, list[Path]]:
    """Text that states what a reader returns for images 0 to count - 1, together with the contents of the files beside it.

    Of a reader of camdbench: its settings and its files. Of another function: a hash of all that it returns, and no files.
    """
    files = list[Path]()
    text = _text(annotate, files)
    if text is None:
        digest = hashlib.sha256()
        for index in range(count):
            digest.update(_returned(annotate, index))
        return digest.hexdigest(), []
    return text, files


def _text(value: Any, files: list[Path]) -> str | None:
    """Settings of a reader, its files apart; None if a part is not of camdbench."""
    if isinstance(value, Path):
        files.append(value)
        return "file"
    if isinstance(value, tuple):
        parts = [_text(own, files) for own in cast("tuple[Any, ...]", value)]
    elif value is None or isinstance(value, bool | int | float | str):
        return repr(value)
    elif not (_module(value).startswith("camdbench.") and (inspect.isfunction(value) or dataclasses.is_dataclass(value))):
        return None
    elif inspect.isfunction(value):
        return f"{_module(value)}.{value.__qualname__}"
    else:
        parts = [_module(value), type(value).__qualname__, *(_text(getattr(value, own.name), files) for own in dataclasses.fields(value))]
    return None if None in parts else f"({', '.join(map(str, parts))})"


def _module(value: Any) -> str:
    return str(getattr(value if inspect.isfunction(value) else type(value), "__module__", ""))


def _returned(annotate: Callable[[int], Annotations], index: int) -> bytes:
    try:
        known = annotate(index)
    except SampleError as error:
        return str(error).encode()
    stated = known.file_boxes
    about = b"-" if stated is None else f"{stated.first}{stated.inclusive}".encode()
    about += b"" if known.background is None else f"{known.background}, {known.group}".encode()
    tensors: Sequence[Any] = (known.boxes, known.mask, known.class_map, known.present, known.void, stated and stated.numbers)
    tensors += () if known.parts is None else (known.parts,)
    contents = (b"-" if own is None else f"{tuple(own.shape)}".encode() + own.contiguous().numpy().tobytes() for own in tensors)
    return about + b"".join(contents)
