"""`camdbench.data`: the data of a user in any form, as a data set."""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from dataclasses import replace
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
from torch import Tensor
from torch.utils.data import DataLoader
from torch.utils.data import Dataset as TorchDataset

from camdbench.core.errors import UsageError, unknown
from camdbench.core.registries import dataset_facts, datasets
from camdbench.core.spec import Spec, parse_spec
from camdbench.datasets.coco import coco_source
from camdbench.datasets.folder_layout import read_lines
from camdbench.datasets.open_dataset import check_dataset, named_dataset, open_dataset, split_table
from camdbench.datasets.own.collections import ClassRule, OwnObjects, own_files
from camdbench.datasets.own.columns import read_roles
from camdbench.datasets.own.hugging_face import hugging_face_source, is_hugging_face
from camdbench.datasets.own.items import Item, Source, taken
from camdbench.datasets.own.of_model import OfModel
from camdbench.datasets.own.sequences import sequence_source
from camdbench.datasets.own.tables import table_source
from camdbench.datasets.own.torch_datasets import torch_source
from camdbench.datasets.samples import Dataset
from camdbench.datasets.transforms import SpatialTransform

_SIZE = 224
_NAME = re.compile(r"[\w.@+\-]{1,80}")


def data(
    source: Any,
    *,
    labels: Sequence[Any] | Tensor | np.ndarray | None = None,
    boxes: Sequence[Any] | None = None,
    masks: Sequence[Any] | Tensor | np.ndarray | None = None,
    columns: Mapping[str, str] | str | None = None,
    images: str | Path | None = None,
    classes: str | Path | Sequence[str] = "names",
    preprocess: str | None = None,
    size: int | None = None,
    name: str | None = None,
    ids: Sequence[Any] | None = None,
    limit: int | None = None,
) -> Dataset | OfModel:
    """A data set from data in any usual form.

    >>> pixels = np.zeros((2, 8, 8, 3), dtype=np.uint8)
    >>> own = data((pixels, ["dog", "cat"]), boxes=[[[0, 0, 4, 4]], []], preprocess="keep")
    >>> own.classes, own.labels, own[0].image.shape
    (('cat', 'dog'), [1, 0], torch.Size([3, 8, 8]))

    Args:
        source: torch data set of (image, label), (image, objects) or (image, label, objects), objects a dict with `boxes`
            (n, 4) xyxy, `masks` (n, H, W) or (H, W) and `labels` (n,); torchvision's ImageFolder; list of pictures or of
            (picture, label); (images, labels); `datasets.Dataset`; pandas DataFrame, or a CSV or Parquet file, with paths; a
            .json file in COCO's form; or the name of a data set of camdbench that needs no files, such as
            `shortcuts(split="conflict", count=8)`. A picture is a Pillow image, a path, an array (H, W, 3) or a tensor (3, H, W), in
            bytes or in [0, 1].
        labels: (N,) class indices, or N class names; None for an image without one.
        boxes: (n, 4) xyxy of each image in pixels, ends exclusive.
        masks: (H, W) of each image.
        columns: name of a table's column by role: image, label, x0, y0, x1, y1, mask; of a `datasets.Dataset` image, label, id,
            mask, objects.
        images: folder to which the paths of a table or of COCO's form are relative; default: that of the file.
        classes: how labels meet the classes of a network: `names`; `positions`; a text file or list of the data's class names
            in the network's order.
        preprocess: preprocessing protocol; `model`: that of the model of a run. Default: floats are kept, files, Pillow images
            and bytes become `resize256_crop224`.
        size: side of the input in pixels; default: 224.
        name: name of the data set in rows; default: by the source.
        ids: name of each image; default: paths, a table's or data set's own names, or positions.
        limit: number of images, from the first; required for streams.

    Returns:
        A data set of samples (3, H, W) in [0, 1]. Picture files are read when needed. Objects are read once, when the data set is
        made, to check and hash them; with `preprocess="model"` by `camdbench.run`.

    Raises:
        UsageError: the source is of no known form, or an image, label, box or mask is not as described.
        CamdbenchError: code of the source raises.
    """
    if isinstance(source, str) and (spec := named_dataset(source)):
        others = {"labels": labels, "boxes": boxes, "masks": masks, "columns": columns, "images": images, "preprocess": preprocess}
        return _named(spec, source, others | {"size": size, "name": name, "ids": ids, "limit": limit})
    _check_positive(limit, "limit")
    rule, _ = _class_rule(classes), _geometry("keep" if preprocess == "model" else preprocess, size)
    found = _source(source, read_roles(columns), images, limit)
    _check_applicable(source, columns, images)
    found = _with_given(found, labels=labels, boxes=boxes, masks=masks)
    if not found.count:
        raise UsageError(f"dataset = {type(source).__name__}: it has no images; give at least one")
    opened = partial(_opened, found, _ids(found, ids), size=size, name=_name(name, found.name), class_rule=rule)
    if preprocess != "model":
        return opened(preprocess)
    if size is not None:
        raise UsageError(f"size = {size}: the preprocessing of the model states its size; omit it")
    first, given = found.read(0), opened.keywords
    gives = tuple(kind for kind, own in (("boxes", first.boxes), ("masks", first.mask)) if own is not None)
    return OfModel(opened, opened.args[1], gives, given["name"], given["class_rule"])


def _named(spec: Spec, text: str, others: Mapping[str, Any]) -> Dataset:
    """The data set of camdbench with a name and options, which takes no other option."""
    if given := next((name for name, value in others.items() if value is not None), None):
        raise UsageError(f"{given}: not for a data set that is named, {text}; write its options in brackets, as {spec.name}(size=64)")
    if dataset_facts(spec).on_disk:
        raise UsageError(f"dataset {text}: read from disk; give dataset={text!r} and data_root=DIR to camdbench.run")
    return open_dataset(*check_dataset(text, None, None), None)


def _opened(found: Source, names: Sequence[str], preprocess: str | None, *, size: int | None, name: str, class_rule: ClassRule) -> Dataset:
    """The data set of a source with a preprocessing protocol; None: the default."""
    geometry = _geometry(preprocess, size)
    if found.files:
        return own_files(found, geometry, names, name=name, class_rule=class_rule)
    chosen = None if preprocess is None and size is None else geometry
    return OwnObjects(found.read, names, found.classes, chosen, size=size or _SIZE, name=name, class_rule=class_rule)


def _check_applicable(source: Any, columns: Any, images: Any) -> None:
    """Refuse options that the form of a source does not have."""
    is_file = isinstance(source, str | Path)
    is_coco = is_file and Path(source).suffix.lower() == ".json"
    is_table = isinstance(source, pd.DataFrame) or (is_file and not is_coco)
    what = Path(source).name if is_file else type(source).__name__
    if columns is not None and not (is_table or is_hugging_face(source)):
        raise UsageError(f"columns = {columns}: {what} has no columns; omit it")
    if images is not None and not (is_table or is_coco):
        raise UsageError(f"images = {images}: {what} has no paths that are relative to a folder; omit it")


def _source(given: Any, columns: Mapping[str, str], images: str | Path | None, limit: int | None) -> Source:
    """The items of a source by its form.

    Raises:
        UsageError: it has no known form.
    """
    folder = None if images is None else Path(images)
    if folder is not None and not folder.is_dir():
        raise UsageError(f"images = {images}: no such folder")
    if is_hugging_face(given):
        return hugging_face_source(given, columns, limit)
    if isinstance(given, pd.DataFrame):
        return table_source(given, columns, limit, folder)
    if isinstance(given, str | Path):
        return _file_source(Path(given), columns, folder, limit)
    if isinstance(given, DataLoader):
        raise UsageError("dataset = DataLoader: give its data set, as loader.dataset")
    if isinstance(given, TorchDataset):
        return torch_source(given, limit)
    if isinstance(given, list | tuple | Tensor | np.ndarray):
        return sequence_source(given, limit)
    return _source_by_methods(given, limit)


def _file_source(file: Path, columns: Mapping[str, str], images: Path | None, limit: int | None) -> Source:
    """The items of a table or of a file in COCO's form."""
    if (suffix := file.suffix.lower()) in (".csv", ".parquet"):
        return table_source(file, columns, limit, images)
    if suffix == ".json":
        return coco_source(file, images, limit)
    raise UsageError(f"dataset = {file}: expected a CSV, Parquet or COCO file, or a list of pictures; of folders give --dataset folder")


def _source_by_methods(given: Any, limit: int | None) -> Source:
    """The items of an object of an unknown class that has the methods of a data set or of a stream."""
    if hasattr(given, "__len__") and hasattr(given, "__getitem__") and not isinstance(given, Mapping):
        return torch_source(given, limit)
    if hasattr(given, "__iter__") and not hasattr(given, "__len__"):
        return sequence_source(taken(given, limit, type(given).__name__), limit)
    raise UsageError(
        f"dataset = {type(given).__name__}: expected a torch data set, a list of pictures, (images, labels), a datasets.Dataset, a "
        "DataFrame, or a CSV, Parquet or COCO file"
    )


def _with_given(source: Source, **given: Any) -> Source:
    """The source with the labels, boxes and masks that are given beside it."""
    lists = {what: list(own) for what, own in given.items() if own is not None}
    for what, own in lists.items():
        if len(own) != source.count:
            raise UsageError(f"{len(own)} {what} for {source.count} images; give one for each")
    if not lists:
        return source
    fields = {{"labels": "label", "boxes": "boxes", "masks": "mask"}[what]: own for what, own in lists.items()}
    return replace(source, read=_Beside(source.read, fields))


class _Beside:
    """Items with fields that are given beside them."""

    def __init__(self, read: Any, fields: Mapping[str, list[Any]]) -> None:
        self.read, self.fields = read, fields

    def __call__(self, index: int) -> Item:
        return self.read(index)._replace(**{name: own[index] for name, own in self.fields.items()})


def _ids(source: Source, given: Sequence[Any] | None) -> list[str]:
    """Unique names of the images, as text."""
    names = given if given is not None else source.ids
    found = list(map(str, range(source.count) if names is None else names))
    if len(found) != source.count:
        raise UsageError(f"{len(found)} ids for {source.count} images; give one for each")
    seen = set[str]()
    for one in found:
        if one in seen or not one:
            raise UsageError(f"ids: {one!r} is {'the name of two images' if one else 'empty'}; give ids=[…], one name for each image")
        seen.add(one)
    return found


def _name(given: str | None, found: str) -> str:
    """The name in rows, which no registered data set has."""
    if given is not None:
        return check_data_name(given)
    name = re.sub(r"[^\w.@+\-]+", "-", found).strip("-") or "data"
    return f"{name}-own" if name in datasets else check_data_name(name)


def check_data_name(name: str) -> str:
    """Return the name of a data set in rows.

    Raises:
        UsageError: it has other characters, or a registered data set has it.
    """
    if not _NAME.fullmatch(name):
        raise UsageError(f"name = {name!r}: expected letters, digits and . _ @ + -, at most 80")
    if name in datasets:
        raise UsageError(f"name = {name}: a data set of camdbench; choose another name, such as {name}-own")
    return name


def _geometry(preprocess: str | None, size: int | None) -> SpatialTransform:
    _check_positive(size, "size")
    return SpatialTransform(preprocess or "resize256_crop224", size or _SIZE)


def _check_positive(given: Any, what: str) -> None:
    if given is not None and (isinstance(given, bool) or not isinstance(given, int) or given < 1):
        raise UsageError(f"{what} = {given}: expected a whole number, at least 1")


def _class_rule(given: Any) -> ClassRule:
    """`names`, `positions`, or class names in the network's order.

    Raises:
        UsageError: no such file.
    """
    if given in ("names", "positions"):
        return str(given)
    if isinstance(given, list | tuple):
        return tuple(map(str, given))
    if not isinstance(given, str | Path) or not Path(given).is_file():
        raise UsageError(f"classes = {given}: expected names, positions, or a file with the data's class names in the network's order")
    return tuple(read_lines(Path(given)))


def data_of_text(text: str, **more: Any) -> Dataset | OfModel:
    """The data set of a spec such as `photos.csv(size=64, columns="image=file")` or `coco(instances.json)`.

    Raises:
        UsageError: an unknown option, or as in `data`.
    """
    file, options = split_table(text)
    spec = parse_spec(f"table{options}")
    known = ("columns", "images", "classes", "preprocess", "size", "name", "limit")
    for option in spec.arguments:
        if option not in known:
            raise unknown("option", option, known, of=f"dataset {file}")
    if not Path(file).is_file():
        raise UsageError(f"dataset = {file}: no such file")
    return data(Path(file), **(spec.arguments | dict(more)))  # pyright: ignore[reportArgumentType]


def to_dataset(given: Any, **more: Any) -> Dataset | OfModel:
    """A data set of camdbench as it is; the text of a table of paths or any other form through `data`.

    Args:
        given: the data.
        **more: options of `data`.

    Raises:
        UsageError: as in `data`.
    """
    if isinstance(given, str):
        return data_of_text(given, **more)
    if not is_dataset(given):
        return data(given, **more)
    if more:
        raise UsageError(f"{next(iter(more))}: {type(given).__name__} is a data set that is made; give the option to camdbench.data")
    return given


def is_dataset(given: Any) -> bool:
    """Whether an object is a data set of camdbench, or made by `data`."""
    return isinstance(given, OfModel) or all(hasattr(given, name) for name in ("ids", "labels", "classes", "fingerprint"))
