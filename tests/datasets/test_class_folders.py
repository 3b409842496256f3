"""Class folders: pictures folder by folder, strangers refused; masks found by the name without its suffix."""

from __future__ import annotations

from pathlib import Path

import pytest

from camdbench.core.errors import UsageError
from camdbench.datasets.class_folders import items_in, mask_files
from camdbench.datasets.folder_layout import FolderLayout
from camdbench.datasets.on_disk import ImageRecord

ORDER = {"dog": 0, "cat": 1}


def touch(root: Path, *names: str) -> Path:
    for name in names:
        (root / name).parent.mkdir(parents=True, exist_ok=True)
        (root / name).touch()
    return root


def found(root: Path) -> tuple[ImageRecord, ...]:
    return items_in(root, ORDER, FolderLayout("kvasir", root, "ROOT/CLASS/*.jpg"))


def test_ids_are_paths_and_labels_are_in_the_given_order(tmp_path: Path) -> None:
    touch(tmp_path, "cat/2.jpg", "cat/1.jpg", "dog/x/3.png", "dog/notes.txt")
    assert [(item.id, item.label) for item in found(tmp_path)] == [("cat/1.jpg", 1), ("cat/2.jpg", 1), ("dog/x/3.png", 0)]


@pytest.mark.parametrize(
    ("name", "message"), [("cow/1.jpg", "the folder 'cow' in .* is not a class"), ("cat/notes.txt", "no images in class folders")]
)
def test_another_folder_and_folders_without_pictures_are_refused(tmp_path: Path, name: str, message: str) -> None:
    with pytest.raises(UsageError, match=message):
        found(touch(tmp_path, name))


class TestMasks:
    def test_belong_to_the_image_of_their_name(self, tmp_path: Path) -> None:
        items = found(touch(tmp_path / "images", "cat/1.jpg", "cat/2.jpg"))
        home = touch(tmp_path / "masks", "cat/1.png", "cat/9.png")
        assert mask_files(home, items) == {"cat/1.jpg": home / "cat/1.png"}

    def test_of_two_images_that_differ_by_suffix_are_refused(self, tmp_path: Path) -> None:
        items = found(touch(tmp_path / "images", "cat/1.jpg", "cat/1.png"))
        with pytest.raises(UsageError, match=r"cat/1\.jpg and cat/1\.png would have the same mask"):
            mask_files(touch(tmp_path / "masks", "cat/1.png"), items)

    def test_twice_for_one_image_are_refused(self, tmp_path: Path) -> None:
        items = found(touch(tmp_path / "images", "cat/1.jpg"))
        with pytest.raises(UsageError, match=r"1\.gif and 1\.png are masks of the same picture"):
            mask_files(touch(tmp_path / "masks", "cat/1.png", "cat/1.gif"), items)
