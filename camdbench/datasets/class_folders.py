"""Images in one folder per class."""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from pathlib import Path

from camdbench.core.errors import UsageError
from camdbench.datasets.folder_layout import FolderLayout, folders_in, picture_names
from camdbench.datasets.on_disk import ImageRecord


def items_in(home: Path, order: Mapping[str, int], layout: FolderLayout) -> tuple[ImageRecord, ...]:
    """The images of all class folders, folder by folder; ids are paths relative to `home`.

    Args:
        home: folder of the class folders.
        order: class index by folder name.
        layout: expected layout, for errors.

    Raises:
        UsageError: a folder is not a class, or there is no image.
    """
    folders = folders_in(home)
    if unknown_folders := [path.name for path in folders if path.name not in order]:
        raise layout.wrong(f"the folder {unknown_folders[0]!r} in {home.name}/ is not a class")
    found = records_in(folders, order)
    if not found:
        raise layout.wrong(f"no images in class folders of {home.name}/")
    return found


def records_in(folders: Sequence[Path], order: Mapping[str, int]) -> tuple[ImageRecord, ...]:
    """The images of class folders, folder by folder; ids are paths from the folder that holds these.

    Args:
        folders: the class folders.
        order: class index by folder name.
    """
    return tuple(ImageRecord(f"{home.name}/{name}", home / name, order[home.name]) for home in folders for name in picture_names(home))


def check_order(names: Sequence[str], where: str, fix: str) -> None:
    """Refuse folders named by numbers whose order, and with it the labels, depends on how they are sorted.

    Args:
        names: names of the class folders, sorted as text.
        where: their place, for the error.
        fix: how to state the order, for the error.

    Raises:
        UsageError: all names are whole numbers, and their order as numbers differs from that as text.
    """
    if not all(re.fullmatch(r"-?\d+", name) for name in names):
        return
    moved = next((text for text, number in zip(names, sorted(names, key=int), strict=True) if text != number), None)
    if moved is not None:
        raise UsageError(
            f"{where}: class folders are numbers, and their labels are unclear: folder {moved} is label {names.index(moved)} sorted as "
            f"text, as by torchvision's ImageFolder, and label {sorted(names, key=int).index(moved)} by number; {fix}"
        )


def mask_files(home: Path, items: tuple[ImageRecord, ...]) -> dict[str, Path]:
    """The files in a folder of masks by image id; suffixes are ignored.

    Raises:
        UsageError: two images or two masks differ by their suffix only.
    """
    stems, files = dict[str, str](), dict[str, Path]()
    for item in items:
        if (other := stems.setdefault(_stem(item.id), item.id)) != item.id:
            raise UsageError(f"{home}: {other} and {item.id} would have the same mask; rename one of the two pictures")
    for name in picture_names(home):
        path = home / name
        if (other := files.setdefault(_stem(name), path)) != path:
            raise UsageError(f"{home}: {other.name} and {path.name} are masks of the same picture; remove one of them")
    return {stems[name]: path for name, path in files.items() if name in stems}


def _stem(name: str) -> str:
    return Path(name).with_suffix("").as_posix()
