"""A folder of the user's own: one sub-folder of pictures per class."""

from __future__ import annotations

import hashlib
from collections.abc import Sequence
from pathlib import Path
from typing import Literal

from pydantic import PositiveInt

from camdbench.core.catalogue import dataset
from camdbench.core.errors import UsageError
from camdbench.datasets.preprocess import Preprocess, prepare, read_picture
from camdbench.datasets.samples import Dataset, Sample

_SUFFIXES = {".bmp", ".gif", ".jpeg", ".jpg", ".png", ".ppm", ".tif", ".tiff", ".webp"}
_LAYOUT = (
    "expected ROOT/images/CLASS/*.jpg (or ROOT/CLASS/*.jpg), "
    "and ROOT/classes.txt with one line `CLASS name` per class in the network's order"
)


@dataset("folder", paper="your own pictures", splits=(), gives=())
def folder(
    root: Path,
    *,
    preprocess: Literal["resize256_crop224", "resize224_distort"] = "resize256_crop224",
    size: PositiveInt = 224,
) -> Dataset:
    """Pictures in class folders: ROOT/images/CLASS/*.jpg or ROOT/CLASS/*.jpg, and ROOT/classes.txt.

    `classes.txt` has one line per class of the network, in its order: the folder's name, then the class's name. It may
    name classes without a folder. Without it the folders themselves are the classes, sorted by name.

    Raises:
        UsageError: the layout is another one; the message says what was looked for.
    """
    return _Folder(root, preprocess, size)


class _Folder:
    def __init__(self, root: Path, preprocess: Preprocess, size: int) -> None:
        if not root.is_dir():
            raise UsageError(f"--data-root {root}: no such folder")
        self.root = root
        self._preprocess: Preprocess = preprocess
        self._size = size
        home = root / "images" if (root / "images").is_dir() else root
        folders = sorted(path for path in home.iterdir() if path.is_dir() and not path.name.startswith("."))
        order = self._read_classes([path.name for path in folders])
        self._files = [(file, order[path.name]) for path in folders for file in _pictures(path)]
        if not self._files:
            raise UsageError(f"--data-root {root}: no pictures in class folders; {_LAYOUT}")
        self.ids: Sequence[str] = [file.relative_to(home).as_posix() for file, _ in self._files]
        self.labels: Sequence[int] = [label for _, label in self._files]

    def _read_classes(self, folders: list[str]) -> dict[str, int]:
        listing = self.root / "classes.txt"
        if not listing.is_file():
            self.classes: Sequence[str] = folders
            return {name: index for index, name in enumerate(folders)}
        try:
            lines = [line.split(maxsplit=1) for line in listing.read_text(encoding="utf-8").splitlines() if line.strip()]
        except UnicodeDecodeError:
            raise UsageError(f"{listing} is not text in UTF-8; {_LAYOUT}") from None
        order = {parts[0]: index for index, parts in enumerate(lines)}
        if len(order) != len(lines):
            twice = next(parts[0] for index, parts in enumerate(lines) if order[parts[0]] != index)
            raise UsageError(f"{listing}: class {twice!r} stands twice")
        if strangers := [name for name in folders if name not in order]:
            raise UsageError(f"{listing} does not name the folder {strangers[0]!r}; {_LAYOUT}")
        self.classes = [parts[-1].strip() for parts in lines]
        return order

    def __getitem__(self, index: int) -> Sample:
        file, label = self._files[index]
        return Sample(self.ids[index], prepare(read_picture(file), self._preprocess, self._size), label)

    def fingerprint(self) -> str:
        """A hash over names and sizes of all files and the bytes of the first, the middle and the last."""
        digest = hashlib.sha256("\n".join(self.classes).encode())
        for (file, label), name in zip(self._files, self.ids, strict=True):
            digest.update(f"{name}\0{label}\0{file.stat().st_size}\n".encode())
        for position in {0, len(self._files) // 2, len(self._files) - 1}:
            digest.update(self._files[position][0].read_bytes())
        return digest.hexdigest()[:16]


def _pictures(folder: Path) -> list[Path]:
    return sorted(path for path in folder.rglob("*") if path.suffix.lower() in _SUFFIXES and path.is_file())
