"""Item and Source: what every form of a user's data becomes before it is a data set."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass
from itertools import islice
from typing import Any, NamedTuple

from torch import Tensor
from torch.utils.data import IterableDataset

from camdbench.core.errors import UsageError
from camdbench.core.foreign_code import calling

Mask = Tensor | Callable[[], Tensor]  # (H, W) bool, or a function that reads it
ClassName = int | str


class Item(NamedTuple):
    """One image with its annotations in its own pixels; None if unknown.

    Attributes:
        picture: Pillow image, path, array (H, W, 3) or tensor (3, H, W).
        label: class index or class name.
        boxes: (n, 4) xyxy, ends exclusive.
        mask: pixels of the object.
        present: all classes that the image shows.
        void: unlabelled pixels.
    """

    picture: Any
    label: Any = None
    boxes: Any = None
    mask: Mask | None = None
    present: tuple[ClassName, ...] | None = None
    void: Mask | None = None


@dataclass(frozen=True)
class Source:
    """Items that are read by position.

    Attributes:
        read: returns the item at a position.
        count: number of items.
        ids: names of the images; default: their positions.
        classes: class names by index; empty if unknown.
        files: whether every picture is a path, and an item is read without decoding it.
        upright: whether pictures are rotated by their EXIF tag; False if annotations refer to the stored raster.
        name: name of the data set in rows.
    """

    read: Callable[[int], Item]
    count: int
    ids: Sequence[Any] | None = None
    classes: Sequence[str] = ()
    files: bool = False
    upright: bool = True
    name: str = ""

    def __iter__(self) -> Iterator[Item]:
        return map(self.read, range(self.count))


def is_stream(given: object) -> bool:
    """Whether images can be read only one after another: a generator, an `IterableDataset`, a stream of `datasets`."""
    is_read = hasattr(given, "__iter__") or hasattr(given, "__getitem__")
    return isinstance(given, IterableDataset) or (is_read and not hasattr(given, "__len__"))


def taken(stream: Iterable[Any], limit: int | None, kind: str) -> list[Any]:
    """The first `limit` elements of a stream.

    Raises:
        UsageError: there is no limit.
        CamdbenchError: the stream raises.
    """
    if limit is None:
        raise UsageError(f"dataset = {kind}: a stream has no length; give --limit N, or camdbench.data(…, limit=N)")
    with calling(f"dataset {kind}"):
        return list(islice(stream, limit))
