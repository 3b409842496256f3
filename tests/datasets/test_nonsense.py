"""Files that can be read and hold nonsense: one line that names the file, never a crash, never a label out of range."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from helpers import dataset_layouts as fixtures
from helpers.dataset_cases import CASES
from helpers.each import each
from PIL import Image
from scipy.io import savemat

from camdbench.core.errors import SampleError, UsageError
from camdbench.datasets.folder import folder
from camdbench.datasets.kvasir import kvasir
from camdbench.datasets.open_dataset import check_dataset, open_dataset
from camdbench.datasets.samples import Dataset
from camdbench.datasets.subsets import by_ids

Change = Callable[[Path], object]


def opened(name: str, root: Path) -> Dataset:
    spec, split = check_dataset(CASES[name].spec, None if CASES[name].split == "all" else CASES[name].split, root)
    return open_dataset(spec, split, root)


def text(name: str, content: str) -> Change:
    """Write other words into a list."""
    return lambda root: next(root.rglob(name)).write_text(content)


def mat(name: str, **held: Any) -> Change:
    """Write other variables into a MATLAB file."""
    return lambda root: savemat(next(root.rglob(name)), held)


def car(**changed: object) -> Change:
    """One annotation of a car, in which something is different."""
    entry = {"bbox_x1": 1, "bbox_y1": 1, "bbox_x2": 9, "bbox_y2": 9, "class": 1, "fname": "00001.jpg"} | changed
    return mat("cars_test_annos_withlabels.mat", annotations=entry)


CASES_OF_NONSENSE: list[tuple[str, Change, str]] = [
    ("pets", text("trainval.txt", ""), "pets, split trainval, has no images"),
    ("pets", text("trainval.txt", "Abyssinian_1 0 1 1\n"), r"trainval\.txt: Abyssinian_1 has a breed below 1 or a kind other than 1"),
    ("pets", text("trainval.txt", "Abyssinian_1 1 3 1\n"), r"trainval\.txt: Abyssinian_1 has a breed below 1 or a kind other than 1"),
    (
        "cub200",
        text("bounding_boxes.txt", "1 1 2 3\n3 1 2 3\n"),
        r"bounding_boxes\.txt: expected NUMBER X Y WIDTH HEIGHT .* \[1\.0, 2\.0, 3\.0\]",
    ),
    ("cub200", text("bounding_boxes.txt", "1 1 2 0 4\n3 1 2 3 4\n"), r"with a positive width and height, found \[1\.0, 2\.0, 0\.0, 4\.0\]"),
    ("cub200", text("image_class_labels.txt", "1 9\n3 2\n"), r"image 1 has the class 9, which classes\.txt does not hold"),
    ("cub200", text("train_test_split.txt", "1 0\n2 0\n"), "cub200, split train, has no images"),
    ("aircraft", text("images_variant_test.txt", ""), "aircraft, split test, has no images"),
    ("aircraft", text("images_box.txt", "1025794 1 2 nan 4\n"), r"images_box\.txt: expected numbers, found '1 2 nan 4'"),
    ("cars", car(**{"class": 99}), "cars, split test, image 00001: class index 98 is out of range for 2 classes"),
    ("cars", car(**{"class": "x"}), r"cars_test_annos_withlabels\.mat: expected an integer, found 'x'"),
    ("cars", car(**{"class": 1.5}), r"cars_test_annos_withlabels\.mat: expected an integer, found '1.5'"),
    ("cars", car(bbox_x2=np.nan), r"cars_test_annos_withlabels\.mat: expected numbers, found '1 1 nan 9'"),
    ("cars", car(bbox_x2="wide"), r"cars_test_annos_withlabels\.mat: expected numbers, found '1 1 wide 9'"),
    ("cars", car(fname=7), r"cars_test_annos_withlabels\.mat has an entry with an invalid box, class or fname"),
    ("cars", mat("cars_test_annos_withlabels.mat", annotations=5.0), r"cars_test_annos_withlabels\.mat has no bbox_x1"),
    ("cars", mat("cars_meta.mat", class_names=5.0), "is out of range for 1 classes"),
    (
        "flowers102",
        mat("imagelabels.mat", labels=np.array([[999, 1, 1]])),
        "image image_00001: class index 998 is out of range for 102",
    ),
    ("flowers102", mat("setid.mat", trnid="abc"), "must hold whole numbers"),
    ("flowers102", mat("setid.mat", trnid=np.array([[1.5, 2.5]])), "must hold whole numbers"),
    ("unrel", mat("annotations.mat", annotations=5.0), "annotations.mat has an entry without filename, objects, category or box"),
    ("folder", text("boxes.csv", "image,x0,y0,x1,y1\ncat/a.jpg,0,0,nan,5\n"), r"boxes\.csv: expected numbers, found '0 0 nan 5'"),
]


@each(("name", "change", "message"), CASES_OF_NONSENSE)
def test_one_line_says_which_file_and_what(name: str, change: Change, message: str, tmp_path: Path) -> None:
    CASES[name].build(tmp_path)
    change(tmp_path)
    with pytest.raises(UsageError, match=message) as caught:
        opened(name, tmp_path)
    assert "\n" not in str(caught.value)


def test_a_class_map_of_three_dimensions_is_an_error_of_its_sample(tmp_path: Path) -> None:
    fixtures.sbd(tmp_path)
    savemat(tmp_path / "cls" / "2008_000001.mat", {"GTcls": {"Segmentation": np.zeros((2, 2, 2))}})
    data = opened("sbd", tmp_path)
    with pytest.raises(SampleError, match=r"2008_000001\.mat: the class map has 3 dimensions, not 2"):
        data[0]
    assert data[1].mask is not None


def test_a_name_that_is_too_long_for_a_file_is_an_error_of_its_sample(tmp_path: Path) -> None:
    fixtures.aircraft(tmp_path)
    long = "9" * 300
    home = tmp_path / "fgvc-aircraft-2013b" / "data"
    (home / "images_variant_test.txt").write_text(f"{long} 707-320\n")
    (home / "images_box.txt").write_text(f"{long} 1 2 3 4\n")
    data = opened("aircraft", tmp_path)
    assert len(data.fingerprint()) == 16
    with pytest.raises(SampleError, match="cannot be decoded"):
        data[0]


def test_an_edge_that_is_no_number_is_an_error_of_its_sample(tmp_path: Path) -> None:
    fixtures.imagenet(tmp_path)
    file = next(tmp_path.rglob("*_00000001.xml"))
    file.write_text(
        f"<annotation><object><name>{fixtures.FISH}</name><bndbox><xmin>nan</xmin><ymin>1</ymin><xmax>9</xmax><ymax>9</ymax></bndbox>"
        "</object></annotation>"
    )
    with pytest.raises(SampleError, match=r"_00000001\.xml: an edge of a box is not a number"):
        opened("imagenet", tmp_path)[0]


class TestWhatOthersLeaveBehind:
    def test_hidden_copies_are_no_pictures(self, tmp_path: Path) -> None:
        """Jupyter's checkpoints, and what macOS stores beside each file on other file systems."""
        fixtures.kvasir(tmp_path)
        before = kvasir(tmp_path, split="train").ids
        fixtures.put(fixtures.scene(0).picture, tmp_path / "polyps" / ".ipynb_checkpoints" / "0-checkpoint.jpg")
        (tmp_path / "polyps" / "._0.jpg").write_bytes(b"Mac OS X")
        assert kvasir(tmp_path, split="train").ids == before

    def test_a_mark_of_the_byte_order_is_no_part_of_a_name(self, tmp_path: Path) -> None:
        fixtures.folder(tmp_path)
        (tmp_path / "classes.txt").write_bytes(b"\xef\xbb\xbfdog a dog\r\ncat a cat\r\n")
        assert folder(tmp_path).classes == ["a dog", "a cat"]
        (tmp_path / "ids.txt").write_bytes(b"\xef\xbb\xbfdog/a.jpg\r\n")
        assert by_ids(folder(tmp_path).ids, tmp_path / "ids.txt") == [2]


class TestMasksOfTheSameName:
    def test_two_pictures_that_would_share_a_mask(self, tmp_path: Path) -> None:
        fixtures.folder(tmp_path)
        fixtures.put(fixtures.scene(0).picture, tmp_path / "images" / "cat" / "a.png")
        with pytest.raises(UsageError, match=r"cat/a\.jpg and cat/a\.png would have the same mask; rename one"):
            folder(tmp_path)

    def test_two_masks_of_one_picture(self, tmp_path: Path) -> None:
        fixtures.folder(tmp_path)
        Image.new("L", (9, 9)).save(tmp_path / "masks" / "cat" / "a.bmp")
        with pytest.raises(UsageError, match=r"a\.bmp and a\.png are masks of the same picture; remove one"):
            folder(tmp_path)


class TestAnotherLevel:
    @each("name", [name for name in CASES if name != "folder"])
    def test_the_folder_that_should_have_been_given_is_named(self, name: str, tmp_path: Path) -> None:
        """One level too high and one too low, the commonest mistakes."""
        CASES[name].build(tmp_path / "data")
        below = max(path for path in (tmp_path / "data").iterdir() if path.is_dir())
        for given in (tmp_path, below):
            with pytest.raises(UsageError, match=rf"does not exist, but in {tmp_path}/data: use --data-root {tmp_path}/data"):
                opened(name, given)

    @each("name", [name for name in CASES if name != "folder"])
    def test_where_the_data_are_to_be_had_is_said(self, name: str, tmp_path: Path) -> None:
        with pytest.raises(UsageError, match=r"docs/datasets/\w+\.md; source: \S+"):
            opened(name, tmp_path)

    def test_a_folder_above_a_folder_s_root_is_no_class(self, tmp_path: Path) -> None:
        fixtures.folder(tmp_path / "mine")
        with pytest.raises(UsageError, match=rf"mine/ holds images/, not a class; use --data-root {tmp_path}/mine"):
            folder(tmp_path)

    @pytest.mark.parametrize("beside", ["classes.txt", "boxes.csv", "masks"])
    def test_what_lies_beside_the_pictures_is_not_passed_over(self, beside: str, tmp_path: Path) -> None:
        """Without `classes.txt` the folders would be numbered by their names, and labels mean other classes."""
        fixtures.folder(tmp_path)
        for name in {"boxes.csv", "masks"} - {beside}:
            (tmp_path / name).rename(tmp_path / f"no-{name}")
        if beside == "classes.txt":
            (tmp_path / beside).write_text("dog\ncat\n")
        with pytest.raises(UsageError, match=rf"{beside} is beside images/ and would not be read; use --data-root {tmp_path};"):
            folder(tmp_path / "images")

    @pytest.mark.parametrize("home", ["", "images"])
    def test_splits_are_no_classes(self, home: str, tmp_path: Path) -> None:
        for split in ("train", "val"):
            fixtures.put(fixtures.scene(0).picture, tmp_path / home / split / "cat" / "a.jpg")
        with pytest.raises(UsageError, match=r"train, val are splits, not classes; use --data-root .*train"):
            folder(tmp_path)
        assert folder(tmp_path / home / "train").classes == ["cat"]


@each("name", ["imagenet", "imagenet-csv", "aircraft", "cars", "unrel"])
def test_a_data_set_with_boxes_alone_takes_masks_that_were_made(name: str, tmp_path: Path) -> None:
    """As `camdbench data masks` promises; the filled boxes of the fixtures are their objects."""
    case = CASES[name]
    case.build(tmp_path)
    spec, split = check_dataset(case.spec, None if case.split == "all" else case.split, tmp_path)
    keep = spec.arguments | {"preprocess": "keep"}
    boxed = open_dataset(type(spec).of(spec.name, keep | {"masks": "bbox"}), split, tmp_path)
    for index, image in enumerate(boxed.ids):
        seen = boxed[index].image.mean(0) > 0.5
        assert np.array_equal(boxed[index].mask, seen)
        fixtures.put(fixtures.grey(~seen.numpy()), tmp_path / "made" / f"{image}.png")
    made = open_dataset(type(spec).of(spec.name, keep | {"masks": str(tmp_path / "made")}), split, tmp_path)
    assert np.array_equal(made[0].mask, ~boxed[0].mask)
    assert open_dataset(spec, split, tmp_path)[0].mask is None
