"""Pictures in one folder per class."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path

from camdbench.datasets.layout import Layout, folders_in, pictures_under
from camdbench.datasets.on_disk import Item


def items_in(home: Path, order: Mapping[str, int], layout: Layout) -> tuple[Item, ...]:
    """The pictures of all class folders, folder by folder; ids are paths from `home`.

    Args:
        home: the folder that holds the class folders.
        order: the class index of each folder's name.
        layout: what the error says was expected.

    Raises:
        UsageError: a folder has another name, or there is no picture.
    """
    folders = folders_in(home)
    if strangers := [path.name for path in folders if path.name not in order]:
        raise layout.wrong(f"the folder {strangers[0]!r} in {home.name}/ is no class of it")
    files = [(file, order[path.name]) for path in folders for file in pictures_under(path)]
    if not files:
        raise layout.wrong(f"no pictures in class folders of {home.name}/")
    return tuple(Item(file.relative_to(home).as_posix(), file, label) for file, label in files)


def mask_files(home: Path, items: tuple[Item, ...]) -> dict[str, Path]:
    """The pictures below a folder of masks by the id of the image that each belongs to, suffixes apart."""
    stems = {Path(item.id).with_suffix("").as_posix(): item.id for item in items}
    found = ((path.relative_to(home).with_suffix("").as_posix(), path) for path in pictures_under(home))
    return {stems[name]: path for name, path in found if name in stems}
