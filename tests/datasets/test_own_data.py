"""Data of a user: one set of six pictures with boxes in every form, and what is refused."""

from __future__ import annotations

import doctest
import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
import pandas as pd
import pytest
import torch
from helpers.each import each
from helpers.toys import SIZE, toy_classifier
from PIL import Image
from torch.utils.data import Dataset, IterableDataset
from torchvision.datasets import ImageFolder
from torchvision.transforms import ToTensor

import camdbench
from camdbench.core.errors import CamdbenchError, UsageError
from camdbench.datasets.own.collections import OwnFiles, OwnObjects
from camdbench.datasets.own.columns import read_roles
from camdbench.datasets.own.hugging_face import is_hugging_face
from camdbench.datasets.own.items import taken
from camdbench.datasets.own.label_indices import index_labels
from camdbench.datasets.own.objects import item_of_objects
from camdbench.datasets.own.pictures import open_picture
from camdbench.datasets.own.sequences import ids_of
from camdbench.datasets.own.tables import table_source
from camdbench.datasets.own.torch_datasets import item_of_row
from camdbench.datasets.own_data import data
from camdbench.datasets.shortcuts.dataset import shortcuts
from camdbench.models.classifier import Classifier

NAMES = ("cat", "dog", "fox")
COUNT = 6


class Pictures(NamedTuple):
    """Six pictures of three classes in class folders, each with one or two boxes."""

    root: Path
    ids: list[str]
    labels: list[int]
    boxes: list[list[list[float]]]

    @property
    def files(self) -> list[Path]:
        return [self.root / name for name in self.ids]

    @property
    def arrays(self) -> np.ndarray:
        return np.stack([np.asarray(Image.open(file)) for file in self.files])

    @property
    def floats(self) -> torch.Tensor:
        return torch.from_numpy(self.arrays).permute(0, 3, 1, 2).float() / 255


@pytest.fixture(scope="module")
def pictures(tmp_path_factory: pytest.TempPathFactory) -> Pictures:
    root, draw = tmp_path_factory.mktemp("photos"), np.random.default_rng(0)
    labels = [0, 0, 1, 1, 2, 2]
    ids = [f"{NAMES[label]}/{index}.png" for index, label in enumerate(labels)]
    for name in ids:
        (root / name).parent.mkdir(exist_ok=True)
        Image.fromarray(draw.integers(0, 256, (*SIZE, 3), dtype=np.uint8)).save(root / name)
    boxes = [[[1.0, 2.0, 7.0, 9.0 + index]] + [[0.0, 0.0, 3.0, 3.0]] * (index % 2) for index in range(COUNT)]
    return Pictures(root, ids, labels, boxes)


class OfTorch(Dataset[Any]):
    """(image, label, objects), as detection data sets are written."""

    classes = NAMES

    def __init__(self, own: Pictures, change: Any = None) -> None:
        self.own, self.images, self.change = own, own.floats, change

    def __len__(self) -> int:
        return COUNT

    def __getitem__(self, index: int) -> tuple[torch.Tensor, int, dict[str, Any]]:
        image = self.images[index]
        return (
            (image if self.change is None else self.change(image)),
            self.own.labels[index],
            {"boxes": torch.tensor(self.own.boxes[index])},
        )


class Stream(IterableDataset[Any]):
    classes = NAMES

    def __init__(self, own: Pictures) -> None:
        self.own = own

    def __iter__(self) -> Iterator[Any]:
        of = OfTorch(self.own)
        for index in range(10**9):
            yield of[index]


def frame(own: Pictures) -> pd.DataFrame:
    rows = [
        {"file": name, "class": NAMES[label], **dict(zip(("x0", "y0", "x1", "y1"), box, strict=True))}
        for name, label, boxes in zip(own.ids, own.labels, own.boxes, strict=True)
        for box in boxes
    ]
    return pd.DataFrame(rows)


def hugging_face(own: Pictures) -> Any:
    library = pytest.importorskip("datasets", reason="Hugging Face's datasets is not installed")
    features = library.Features(
        {
            "id": library.Value("string"),
            "image": library.Image(),
            "label": library.ClassLabel(names=list(NAMES)),
            "objects": {"bbox": library.List(library.List(library.Value("float32"))), "category": library.List(library.Value("int64"))},
        }
    )
    objects = [
        {"bbox": [[x0, y0, x1 - x0, y1 - y0] for x0, y0, x1, y1 in boxes], "category": [label] * len(boxes)}
        for boxes, label in zip(own.boxes, own.labels, strict=True)
    ]
    given = {"id": own.ids, "image": list(map(str, own.files)), "label": own.labels, "objects": objects}
    return library.Dataset.from_dict(given, features=features)


def table(own: Pictures, kind: str) -> Path:
    file = own.root / f"table.{kind}"
    frame(own).to_csv(file, index=False) if kind == "csv" else frame(own).to_parquet(file)
    return file


def coco_file(own: Pictures) -> Path:
    """Instances of the pictures; each box is a polygon, too."""
    boxes = [(index, own.labels[index], *box) for index, found in enumerate(own.boxes) for box in found]
    content = {
        "images": [{"id": index, "file_name": name, "height": SIZE[0], "width": SIZE[1]} for index, name in enumerate(own.ids)],
        "categories": [{"id": 10 + 5 * label, "name": name} for label, name in enumerate(NAMES)],
        "annotations": [
            {
                "image_id": image,
                "category_id": 10 + 5 * label,
                "bbox": [x0, y0, x1 - x0, y1 - y0],
                "area": (x1 - x0) * (y1 - y0),
                "iscrowd": 0,
            }
            for image, label, x0, y0, x1, y1 in boxes
        ],
    }
    file = own.root / "instances.json"
    file.write_text(json.dumps(content), encoding="utf-8")
    return file


COLUMNS = {"image": "file", "label": "class"}
FORMS: dict[str, Any] = {
    "torch": lambda own: data(OfTorch(own), ids=own.ids),
    "stream": lambda own: data(Stream(own), ids=own.ids, limit=COUNT),
    "folder": lambda own: data(ImageFolder(str(own.root)), boxes=own.boxes, preprocess="keep"),
    "folder, transformed": lambda own: data(ImageFolder(str(own.root), ToTensor()), boxes=own.boxes),
    "pairs": lambda own: data(
        [(Image.open(file), NAMES[label]) for file, label in zip(own.files, own.labels, strict=True)],
        boxes=own.boxes,
        ids=own.ids,
        preprocess="keep",
    ),
    "paths": lambda own: data(own.files, labels=[NAMES[label] for label in own.labels], boxes=own.boxes, preprocess="keep"),
    "bytes": lambda own: data((own.arrays, [NAMES[label] for label in own.labels]), boxes=own.boxes, ids=own.ids, preprocess="keep"),
    "floats": lambda own: data((own.floats, [NAMES[label] for label in own.labels]), boxes=own.boxes, ids=own.ids),
    "hugging face": lambda own: data(hugging_face(own), preprocess="keep"),
    "frame": lambda own: data(
        frame(own).assign(file=lambda rows: [str(own.root / name) for name in rows["file"]]),
        columns=COLUMNS,
        ids=own.ids,
        preprocess="keep",
    ),
    "csv": lambda own: data(table(own, "csv"), columns=COLUMNS, preprocess="keep"),
    "parquet": lambda own: data(table(own, "parquet"), columns="image=file,label=class", preprocess="keep"),
}


def model() -> Classifier:
    """The toy, with the names of its classes."""
    return Classifier(toy_classifier().network, "relu2", class_names=(*NAMES, "owl", "pig"), mean=(0.4, 0.5, 0.6), std=(0.2, 0.25, 0.3))


def rows(dataset: Any, out: Path, **more: Any) -> pd.DataFrame:
    found = camdbench.run("gradcam", "ad,om", models={"mine": model()}, dataset=dataset, out=out, **more)
    return found.drop(columns=["run", "dataset"])


@pytest.fixture(scope="module")
def expected(pictures: Pictures, tmp_path_factory: pytest.TempPathFactory) -> pd.DataFrame:
    """Rows of a data set written by hand, without `data`."""
    from camdbench.datasets.in_memory import InMemoryDataset, make_batch

    dataset = InMemoryDataset(make_batch(pictures.floats, labels=pictures.labels, boxes=pictures.boxes))
    dataset.ids, dataset.classes = tuple(pictures.ids), (*NAMES, "owl", "pig")
    dataset.batch = dataset.batch.__class__(**vars(dataset.batch) | {"ids": dataset.ids})
    return rows(dataset, tmp_path_factory.mktemp("expected") / "run")


@pytest.mark.parametrize("form", FORMS)
def test_every_form_has_equal_images_and_rows(form: str, pictures: Pictures, expected: pd.DataFrame, tmp_path: Path):
    own = FORMS[form](pictures)
    assert (list(own.ids), list(own.classes), list(own.labels)) == (pictures.ids, list(NAMES), pictures.labels)
    for index in range(COUNT):
        sample = own[index]
        assert torch.equal(sample.image, pictures.floats[index])
        assert sample.boxes.tolist() == pictures.boxes[index]
    found = rows(own, tmp_path / "run", workers=0)
    assert set(found["status"]) == {"ok"}
    pd.testing.assert_frame_equal(found, expected)


def test_coco_has_the_same_rows(pictures: Pictures, expected: pd.DataFrame, tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    file = coco_file(pictures)
    found = rows('coco(instances="instances.json", images=".", preprocess="keep")', tmp_path / "run", data_root=pictures.root)
    pd.testing.assert_frame_equal(found, expected)
    pd.testing.assert_frame_equal(rows(data(file, preprocess="keep"), tmp_path / "object"), expected)
    monkeypatch.chdir(pictures.root)
    pd.testing.assert_frame_equal(rows("coco(instances.json)", tmp_path / "text", preprocess="keep"), expected)
    (pictures.root.parent / "annotations").mkdir()
    moved = file.rename(pictures.root.parent / "annotations" / f"instances_{pictures.root.name}.json")
    assert torch.equal(data(moved, preprocess="keep", limit=2)[1].image, pictures.floats[1])
    elsewhere = moved.rename(tmp_path / "instances.json")
    with pytest.raises(UsageError, match=r"instances.json: picture cat/0.png is in none of .*; give images=FOLDER"):
        data(elsewhere)
    assert data(elsewhere, images=pictures.root).ids == pictures.ids


def test_options_of_the_data_go_into_the_spec_or_to_the_object(pictures: Pictures, expected: pd.DataFrame, tmp_path: Path):
    more = {"boxes": pictures.boxes, "preprocess": "keep"}
    pd.testing.assert_frame_equal(rows(ImageFolder(str(pictures.root)), tmp_path / "folder", **more), expected)
    made = {"columns": "image=file,label=class", "preprocess": "keep"}
    pd.testing.assert_frame_equal(rows(str(table(pictures, "csv")), tmp_path / "table", **made), expected)
    found = camdbench.run(
        "gradcam", "ad", models={"mine": model()}, dataset="folder", data_root=pictures.root, out=tmp_path / "r", **made | {"columns": None}
    )
    assert set(found["dataset"]) == {'folder(preprocess="keep")'}
    with pytest.raises(UsageError, match="--columns = image=file,label=class: data set folder has its own; omit it"):
        rows("folder", tmp_path / "wrong", data_root=pictures.root, **made)
    with pytest.raises(UsageError, match="preprocess: OwnFiles is a data set that is made; give the option to"):
        rows(data(pictures.files), tmp_path / "wrong", preprocess="keep")
    assert not (tmp_path / "wrong").exists()


@pytest.mark.parametrize("form", ["files", "objects"])
def test_own_data_take_the_preprocessing_of_the_model(form: str, pictures: Pictures, tmp_path: Path):
    given = pictures.files if form == "files" else [Image.open(file) for file in pictures.files]
    labels = [NAMES[label] for label in pictures.labels]
    own = data(given, labels=labels, boxes=pictures.boxes, ids=pictures.ids, preprocess="model")
    with pytest.raises(UsageError, match=r"preprocess = model: image .cat/0.png. is preprocessed in a run"):
        own[0]
    with pytest.raises(UsageError, match="preprocess = model: mine states no preprocessing"):
        rows(own, tmp_path / "none")
    theirs = model()
    theirs.preprocess = "fit(size=8)"
    found = camdbench.run("gradcam", "ad,om", models={"mine": theirs}, dataset=own, out=tmp_path / "model", workers=0)
    named = data(given, labels=labels, boxes=pictures.boxes, ids=pictures.ids, preprocess="fit(size=8)")
    stated = camdbench.run("gradcam", "ad,om", models={"mine": theirs}, dataset=named, out=tmp_path / "named", workers=0)
    pd.testing.assert_frame_equal(found.drop(columns="run"), stated.drop(columns="run"))
    assert repr(own) == f"OfModel({own.name}: 6 images, preprocessed as a model states)"
    assert len(repr(named)) < 80
    with pytest.raises(UsageError, match="size = 8: the preprocessing of the model states its size"):
        data(given, preprocess="model", size=8)


def test_another_preprocessing_of_one_size_is_another_run(pictures: Pictures, tmp_path: Path):
    labels = [NAMES[label] for label in pictures.labels]
    first = data(pictures.files, labels=labels, preprocess="fit(size=8)")
    rows_of = {"models": {"mine": model()}, "out": tmp_path / "run", "workers": 0}
    camdbench.run("gradcam", "ad", dataset=first, **rows_of)
    with pytest.raises(UsageError, match="holds a run with data"):
        camdbench.run("gradcam", "ad", dataset=data(pictures.files, labels=labels, preprocess="fit(short=8, crop=8)"), **rows_of)


def test_a_table_is_named_in_python_as_on_the_command_line(pictures: Pictures, expected: pd.DataFrame, tmp_path: Path):
    text = f'{table(pictures, "csv")}(columns="image=file,label=class", preprocess=keep)'
    pd.testing.assert_frame_equal(rows(text, tmp_path / "run"), expected)
    for wrong, message in (
        (f"{pictures.root}/none.csv", "none.csv: no such file"),
        (f"{pictures.root}/table.csv", "has no column 'image'; give columns=.* one of file, class, x0"),
        (f"{pictures.root}/table.csv(colums=1)", "no option 'colums'; did you mean 'columns'"),
        (f'{pictures.root}/table.csv(columns="image")', "expected ROLE=COLUMN"),
    ):
        with pytest.raises(UsageError, match=message):
            rows(wrong, tmp_path / "wrong")
    assert not (tmp_path / "wrong").exists()


def test_pictures_are_resized_as_in_a_folder_and_floats_are_kept(pictures: Pictures):
    from camdbench.datasets.folder import folder

    reference = folder(pictures.root, size=8)
    for given in (pictures.files, [Image.open(file) for file in pictures.files], pictures.arrays):
        own = data(given, size=8)
        assert torch.equal(own[3].image, reference[3].image)
    with pytest.raises(UsageError, match="preprocess='resize224_distort': floats have been preprocessed before"):
        data(pictures.floats, preprocess="resize224_distort")


def test_the_identity_holds_pixels_boxes_and_labels(pictures: Pictures):
    whole, boxes = pictures.floats, [torch.tensor(own) for own in pictures.boxes]
    names = {data((whole, pictures.labels), boxes=boxes).fingerprint() for _ in range(2)}
    assert len(names) == 1
    changed = whole.clone()
    changed[3, 0, 0, 0] = 1 - changed[3, 0, 0, 0]
    names.add(data((changed, pictures.labels), boxes=boxes).fingerprint())
    names.add(data((whole, pictures.labels[::-1]), boxes=boxes).fingerprint())
    names.add(data((whole, pictures.labels), boxes=boxes[::-1]).fingerprint())
    assert len(names) == 4


def test_objects_of_other_classes_are_present_but_not_explained():
    masks = torch.zeros(3, 4, 4)
    masks[0, :2], masks[1, 2], masks[2, 3, 3] = 1, 1, 1
    item = item_of_objects("x", None, masks=masks, categories=torch.tensor([2, 5, 2]))
    assert (item.label, item.present) == (2, (2, 5))
    assert torch.equal(item.mask, masks[[0, 2]].any(0))
    boxes = torch.tensor([[0, 0, 2, 2], [0, 0, 4, 4]])
    item = item_of_objects("x", 1, boxes=boxes, categories=[1, 2])
    assert item.boxes.tolist() == [[0, 0, 2, 2]]


class Own(Dataset[Any]):
    """A torch data set of given items."""

    def __init__(self, *items: Any) -> None:
        self.items = items

    def __len__(self) -> int:
        return len(self.items)

    def __getitem__(self, index: int) -> Any:
        return self.items[index]


GREY = torch.full((3, 4, 4), 0.5)


def test_a_random_transform_is_refused_also_later(pictures: Pictures):
    with pytest.raises(UsageError, match="image '0' differs between two readings: take random transforms out"):
        data(OfTorch(pictures, lambda image: (image + 0.01 * torch.rand(())).clamp(0, 1)))
    calls = iter(range(100))
    later = data(OfTorch(pictures, lambda image: image.clone() if next(calls) < 2 * COUNT else 1 - image))
    with pytest.raises(UsageError, match="image '2' differs between two readings"):
        later[2]


@each(
    ("given", "more", "message"),
    [
        (Own((GREY - 2.6, 0)), {"ids": ["a/0.png"]}, r"image 'a/0.png' has values -2.1..-2.1: take Normalize out of the data set's"),
        (Own((GREY * 510, 0)), {}, "image '0' has values 255..255: divide by 255"),
        (Own((GREY * torch.nan, 0)), {}, "image '0' has values nan..nan: "),
        (Own({"image": GREY}), {}, "dataset Own: an item is dict; expected .image, label."),
        (Own((GREY, 0, {"bbox": []})), {}, "dataset Own: objects have 'bbox'; expected boxes, masks, labels"),
        (Own((GREY, 0, {"boxes": torch.zeros(1, 4)})), {}, "the box .* is empty"),
        (Own((GREY, 0, {"masks": torch.zeros(2, 5, 5)})), {}, "image '0': the mask has 5 x 5 pixels, the image 4 x 4"),
        (Own((GREY, 0.5)), {}, "labels are float64; expected class indices"),
        (Own((GREY, True)), {}, "labels are bool"),
        (Own((GREY, -2)), {}, "labels: class index -2 is out of range"),
        (Own((GREY, "cat"), (GREY, 1)), {}, "labels: 'cat' is a name and 1 is none; give names or indices"),
        (Own((GREY[:1], 0)), {}, r"image '0': images have shape \(1, 4, 4\)"),
        (Own(), {}, "dataset = Own: it has no images"),
        ([GREY, (GREY, 1)], {}, r"item 0 is not a \(picture, label\) pair as others are"),
        ([GREY, GREY], {"labels": [1]}, "1 labels for 2 images"),
        ([GREY, GREY], {"ids": ["a", "a"]}, "ids: 'a' is the name of two images"),
        ([GREY], {"ids": [""]}, "ids: '' is empty"),
        ([GREY], {"name": "a b"}, "name = 'a b': expected letters"),
        ([GREY], {"name": "folder"}, "name = folder: a data set of camdbench; choose another name, such as folder-own"),
        ([GREY], {"limit": 0}, "limit = 0: expected a whole number, at least 1"),
        ([GREY], {"size": 0}, "size = 0: expected a whole number"),
        ([GREY], {"preprocess": "kep"}, "preprocess = kep: unknown; use resize256"),
        ([GREY], {"columns": "image=a"}, "columns = image=a: list has no columns; omit it"),
        ([GREY], {"classes": "none.txt"}, "classes = none.txt: expected names, positions, or a file"),
        ({"a": GREY}, {}, "dataset = dict: expected a torch data set"),
        (7, {}, "dataset = int: expected a torch data set"),
        ((one for one in [GREY]), {}, r"dataset = generator: a stream has no length; give --limit N, or camdbench.data\(…, limit=N\)"),
        ("photos", {}, "dataset = photos: expected a CSV, Parquet or COCO file, or a list of pictures; of folders give --dataset folder"),
        (torch.utils.data.DataLoader(Own((GREY, 0))), {}, "dataset = DataLoader: give its data set, as loader.dataset"),
    ],
)
def test_anything_else_is_refused_by_name_and_value(given: Any, more: dict[str, Any], message: str):
    with pytest.raises(UsageError, match=message) as error:
        data(given, **more)
    assert "\n" not in str(error.value)


def test_a_data_set_of_camdbench_is_opened_by_its_name():
    named = camdbench.data("shortcuts(split='conflict', count=2, size=32)")
    known = shortcuts(split="conflict", count=2, size=32)
    assert list(named.ids) == list(known.ids) == ["conflict-00000", "conflict-00001"]
    assert torch.equal(named[1].image, known[1].image)
    with pytest.raises(UsageError, match=r"^size: not for a data set that is named, shortcuts; .* as shortcuts\(size=64\)$"):
        camdbench.data("shortcuts", size=64)
    with pytest.raises(UsageError, match=r"^dataset voc2012: read from disk; give dataset='voc2012' and data_root=DIR to camdbench.run$"):
        camdbench.data("voc2012")


def test_code_of_the_data_set_that_raises_is_named():
    class Broken(Own):
        def __getitem__(self, index: int) -> Any:
            raise KeyError("size")

    with pytest.raises(CamdbenchError, match="dataset Broken, item 0: KeyError: 'size'"):
        data(Broken(1))


def test_labels_off_by_one_are_refused(pictures: Pictures, tmp_path: Path):
    with pytest.raises(UsageError, match="labels: class index 3 is out of range for 3 classes; count from 0"):
        data(_counted_from_one(pictures))
    unnamed = data((pictures.floats, [1, 2, 3, 4, 5, 5]), boxes=pictures.boxes)
    with pytest.raises(UsageError, match="data set data has labels up to 5, but model custom has 5 classes"):
        rows(unnamed, tmp_path / "run")


def _counted_from_one(own: Pictures) -> Own:
    found = Own(*((image, label + 1) for image, label in zip(own.floats, own.labels, strict=True)))
    found.classes = NAMES
    return found


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (
            lambda rows: rows.assign(image="none.png", label="cat"),
            "image none.png does not exist in .*; paths are relative to the",
        ),
        (lambda rows: rows.assign(x1=0), "image cat/0.png: the box .* is empty"),
        (lambda rows: rows.assign(x0="a"), "image cat/0.png: x0, y0, x1, y1 are not numbers"),
        (lambda rows: rows.drop(columns="x0"), "DataFrame has 3 of the columns x0, y0, x1, y1; a box needs all four"),
        (lambda rows: rows.assign(label=[0.5] * len(rows)), "image cat/0.png has the label 0.5; expected a class name or a whole number"),
        (lambda rows: rows.assign(label=range(len(rows))), "image cat/1.png has the labels 1 and 2; give one label for each image"),
        (lambda rows: rows.assign(image=None), "row 0: column 'image' is empty"),
        (lambda rows: rows.iloc[:0], "it has no images"),
    ],
)
def test_cells_without_a_meaning_are_refused(change: Any, message: str, pictures: Pictures, monkeypatch: pytest.MonkeyPatch):
    monkeypatch.chdir(pictures.root)
    whole = frame(pictures).rename(columns={"file": "image", "class": "label"})
    assert list(data(whole).ids) == pictures.ids
    with pytest.raises(UsageError, match=message):
        data(change(whole))


def test_masks_of_a_table_are_read_and_gaps_are_unknown(pictures: Pictures, tmp_path: Path):
    Image.fromarray(np.eye(*SIZE, dtype=np.uint8) * 255).save(tmp_path / "mask.png")
    Image.open(pictures.files[0]).save(tmp_path / "a.png")
    Image.open(pictures.files[1]).save(tmp_path / "b.png")
    (tmp_path / "t.csv").write_text("image,label,mask\na.png,null,mask.png\nb.png,,\n", encoding="utf-8")
    own = data(tmp_path / "t.csv", preprocess="keep")
    assert (own.name, list(own.labels), list(own.classes)) == ("t", [0, -1], ["null"])
    assert torch.equal(own[0].mask, torch.eye(*SIZE, dtype=torch.bool))
    assert own[1].mask is None


def test_splits_and_streams_of_hugging_face_are_refused(pictures: Pictures):
    library = pytest.importorskip("datasets", reason="Hugging Face's datasets is not installed")
    own = hugging_face(pictures)
    assert [is_hugging_face(one) for one in (own, OfTorch(pictures), frame(pictures))] == [True, False, False]
    with pytest.raises(UsageError, match=r"dataset = DatasetDict: it has the splits train, test; give one, as dataset\['train'\]"):
        data(library.DatasetDict(train=own, test=own))
    with pytest.raises(UsageError, match=r"dataset = IterableDataset: a stream has no length; give --limit N, or camdbench.data"):
        data(own.to_iterable_dataset())
    first = data(own.to_iterable_dataset(), limit=2, preprocess="keep")
    assert (first.ids, first.labels) == (pictures.ids[:2], [0, 0])
    with pytest.raises(UsageError, match="no column 'picture'"):
        data(own, columns={"image": "picture"})
    assert data(own.remove_columns("label"), preprocess="keep").labels == pictures.labels


def test_every_form_is_known_by_its_items(pictures: Pictures):
    assert isinstance(data(pictures.files), OwnFiles)
    assert isinstance(data(pictures.arrays), OwnObjects)
    assert item_of_row((GREY, 3), "Own").label == 3
    assert table_source(table(pictures, "csv"), COLUMNS, 2).ids == pictures.ids[:2]
    assert (ids_of(pictures.files), ids_of(pictures.files[:2])) == (pictures.ids, ["0.png", "1.png"])
    assert index_labels([torch.tensor(1), np.int64(0), torch.tensor([2])], NAMES) == ([1, 0, 2], NAMES)
    assert (read_roles(None), taken(iter("abc"), 2, "text")) == ({}, ["a", "b"])
    assert open_picture(np.zeros((4, 5, 3), dtype=np.uint8)).size == (5, 4)


def test_the_page_of_the_documentation_runs():
    page = Path(__file__).parents[2] / "docs" / "datasets" / "own.md"
    found = doctest.testfile(str(page), module_relative=False, optionflags=doctest.NORMALIZE_WHITESPACE)
    assert (found.failed, found.attempted) == (0, 4)
