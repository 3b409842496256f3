"""Class folders of the user's own: layouts, the order of classes, and pictures of every kind."""

from __future__ import annotations

import os
import warnings
from collections.abc import Iterable
from pathlib import Path

import numpy as np
import pytest
import torch
from helpers.each import each
from PIL import Image

from camdbench.core.errors import SampleError, UsageError
from camdbench.datasets.folder import folder
from camdbench.datasets.open_dataset import check_dataset, open_dataset


def picture(size: tuple[int, int] = (40, 30), seed: int = 0) -> Image.Image:
    """A noise picture, (width, height)."""
    return Image.fromarray(np.random.default_rng(seed).integers(0, 256, (size[1], size[0], 3), dtype=np.uint8))


@pytest.fixture(params=["images", ""], ids=["ROOT/images/CLASS", "ROOT/CLASS"])
def root(request: pytest.FixtureRequest, tmp_path: Path) -> Path:
    """Two classes of two pictures, in either layout."""
    home = tmp_path / request.param
    for number, name in enumerate(["n02", "n01"]):
        (home / name / "deep").mkdir(parents=True)
        picture(seed=number).save(home / name / "b.JPEG")
        picture(seed=number + 5).save(home / name / "deep" / "a.png")
        (home / name / "notes.txt").write_text("no picture")
    (home / ".hidden").mkdir()
    return tmp_path


class TestLayout:
    def test_without_a_listing_the_folders_are_the_classes_sorted_by_name(self, root: Path) -> None:
        data = folder(root)
        assert data.classes == ["n01", "n02"]
        assert data.ids == ["n01/b.JPEG", "n01/deep/a.png", "n02/b.JPEG", "n02/deep/a.png"]
        assert data.labels == [0, 0, 1, 1]

    def test_the_listing_gives_order_and_names_and_may_know_more_classes(self, root: Path) -> None:
        (root / "classes.txt").write_text("n03 a third\n\nn02  great white shark\nn01\n", encoding="utf-8")
        data = folder(root)
        assert data.classes == ["a third", "great white shark", "n01"]
        assert data.labels == [2, 2, 1, 1]

    @pytest.mark.parametrize(("count", "form"), [(10, "d"), (12, "02d")])
    def test_numbers_in_one_order_are_labels(self, tmp_path: Path, count: int, form: str) -> None:
        for number in range(count):
            (tmp_path / f"{number:{form}}").mkdir()
            picture().save(tmp_path / f"{number:{form}}" / "a.png")
        assert folder(tmp_path).labels == list(range(count))

    @pytest.mark.parametrize("names", [range(12), ["9", "010"], ["-1", "-2"]])
    def test_numbers_in_two_orders_need_a_listing(self, tmp_path: Path, names: Iterable[object]) -> None:
        for name in map(str, names):
            (tmp_path / "images" / name).mkdir(parents=True)
            picture().save(tmp_path / "images" / name / "a.png")
        with pytest.raises(UsageError, match=r"class folders are numbers, and their labels are unclear: .* in ROOT/classes\.txt"):
            folder(tmp_path)
        (tmp_path / "classes.txt").write_text("\n".join(map(str, names)))
        assert dict(zip(folder(tmp_path).ids, folder(tmp_path).labels, strict=True)) == {f"{name}/a.png": k for k, name in enumerate(names)}

    def test_names_with_words_are_sorted_as_text(self, tmp_path: Path) -> None:
        for name in ("1", "10", "2", "x"):
            (tmp_path / name).mkdir()
            picture().save(tmp_path / name / "a.png")
        assert folder(tmp_path).classes == ["1", "10", "2", "x"]

    @pytest.mark.parametrize("name", [b"\xff/a.png", b"a/\xe9.png", b"a/\xe9/a.png"])
    def test_a_name_that_is_not_utf8_is_refused(self, tmp_path: Path, name: bytes) -> None:
        file = Path(os.fsdecode(os.fsencode(tmp_path) + b"/" + name))
        file.parent.mkdir(parents=True)
        picture().save(file, "PNG")
        with pytest.raises(UsageError, match=r"^b'.*\\x.*': the name is not UTF-8; rename it") as caught:
            folder(tmp_path)
        str(caught.value).encode()

    def test_a_folder_that_the_listing_does_not_name_is_refused(self, root: Path) -> None:
        (root / "classes.txt").write_text("n02 shark\n")
        with pytest.raises(UsageError, match=r"classes\.txt: does not list the folder 'n01'; expected ROOT/images/CLASS"):
            folder(root)

    def test_a_class_that_stands_twice_is_refused(self, root: Path) -> None:
        (root / "classes.txt").write_text("n01 a\nn02 b\nn01 c\n")
        with pytest.raises(UsageError, match=r"class 'n01' is listed twice"):
            folder(root)

    def test_a_listing_that_is_no_text_is_refused(self, root: Path) -> None:
        (root / "classes.txt").write_bytes(b"\xff\xfe\x00n01")
        with pytest.raises(UsageError, match=r"classes\.txt"):
            folder(root)

    def test_wrong_layouts_say_what_was_looked_for(self, tmp_path: Path) -> None:
        with pytest.raises(UsageError, match=r"--data-root .*none: no such folder"):
            folder(tmp_path / "none")
        with pytest.raises(UsageError, match=r"no images in class folders; expected ROOT/images/CLASS/\*\.jpg \(or ROOT/CLASS/\*\.jpg\)"):
            folder(tmp_path)
        picture().save(tmp_path / "loose.jpg")
        with pytest.raises(UsageError, match="no images in class folders"):
            folder(tmp_path)
        file = tmp_path / "loose.jpg"
        with pytest.raises(UsageError, match="no such folder"):
            folder(file)


class TestSamples:
    def test_a_sample_is_a_square_in_the_unit_range(self, root: Path) -> None:
        sample = folder(root)[3]
        assert sample.id == "n02/deep/a.png"
        assert sample.label == 1
        assert sample.image.shape == (3, 224, 224)
        assert sample.image.dtype == torch.float32
        assert 0 <= sample.image.min() < sample.image.max() <= 1
        assert sample.boxes is None
        assert sample.mask is None

    def test_size_and_protocol_are_options(self, root: Path) -> None:
        assert folder(root, size=64)[0].image.shape == (3, 64, 64)
        cropped, distorted = folder(root)[0].image, folder(root, preprocess="resize224_distort")[0].image
        assert cropped.shape == distorted.shape
        assert not torch.equal(cropped, distorted)

    def test_a_truncated_jpeg_is_an_error_of_that_sample_alone(self, root: Path) -> None:
        data = folder(root)
        file = next(root.rglob("n01/b.JPEG"))
        file.write_bytes(file.read_bytes()[:300])
        with pytest.raises(SampleError, match=r"b\.JPEG: cannot be decoded"):
            data[0]
        assert data[1].image.isfinite().all()

    def test_a_file_that_has_gone_is_an_error_of_that_sample(self, root: Path) -> None:
        data = folder(root)
        next(root.rglob("n01/b.JPEG")).unlink()
        with pytest.raises(SampleError, match=r"b\.JPEG"):
            data[0]


class TestFingerprint:
    def test_it_changes_with_the_data_and_not_otherwise(self, root: Path) -> None:
        first = folder(root).fingerprint()
        assert folder(root).fingerprint() == first
        (root / "classes.txt").write_text("n02 x\nn01 y\n")
        second = folder(root).fingerprint()
        picture(seed=99).save(next(root.rglob("n02/b.JPEG")))
        third = folder(root).fingerprint()
        assert len({first, second, third}) == 3


class TestOpening:
    def test_by_its_spec(self, root: Path) -> None:
        spec, split = check_dataset("folder(size=32)", None, root)
        assert split == "all"
        assert open_dataset(spec, split, root)[0].image.shape == (3, 32, 32)

    def test_a_path_in_place_of_the_name_states_the_options(self, root: Path) -> None:
        with pytest.raises(UsageError, match=rf"--dataset {root}: a folder, .*give --dataset folder --data-root {root}"):
            check_dataset(str(root), None, None)

    @each(
        ("spec", "split", "has_root", "message"),
        [
            ("folder", None, False, "data set folder is read from disk; set --data-root DIR"),
            ("folder", "val", True, "--split val: data set folder has no splits; remove --split"),
            ("folder(size=0)", None, True, r"folder\(size=0\)"),
            ("folders", None, True, "no dataset 'folders'; did you mean 'folder'"),
            ("shortcuts", "test", False, "shortcuts: no split 'test'; known: train, val, shifted, conflict|shortcuts: no split 'test'"),
            ("shortcuts", None, True, "data set shortcuts is rendered, not read; remove --data-root"),
            ('shortcuts(split="val")', "conflict", False, "name the split once"),
        ],
    )
    def test_mistakes_are_found_before_anything_is_read(
        self, tmp_path: Path, spec: str, split: str | None, has_root: bool, message: str
    ) -> None:
        with pytest.raises(UsageError, match=message):
            check_dataset(spec, split, tmp_path if has_root else None)

    def test_the_embedded_data_set_starts_with_its_validation_split(self) -> None:
        assert check_dataset("shortcuts", None, None)[1] == "val"
        assert check_dataset("shortcuts", "conflict", None)[1] == "conflict"


def test_no_warning_is_swallowed_for_the_caller(root: Path) -> None:
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        folder(root)[0]
