"""`datasets.Dataset` of Hugging Face, recognised by the name of its module; the library is not imported."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from camdbench.core.errors import UsageError
from camdbench.core.foreign_code import calling
from camdbench.datasets.own.columns import pick
from camdbench.datasets.own.items import Item, Source, taken
from camdbench.datasets.own.objects import item_of_objects

_DEFAULTS = {"image": ("image", "img"), "label": ("label", "labels"), "id": ("id", "image_id"), "mask": ("mask",), "objects": ("objects",)}


def is_hugging_face(given: Any) -> bool:
    """Whether an object is of the library `datasets`."""
    return any(kind.__module__.partition(".")[0] == "datasets" for kind in type(given).__mro__)


def hugging_face_source(given: Any, columns: Mapping[str, str], limit: int | None) -> Source:
    """Items of a `datasets.Dataset`, by the columns image, label, id, mask and objects {bbox: xywh, category}.

    Raises:
        UsageError: a DatasetDict, a stream without `limit`, or a column that does not exist.
        CamdbenchError: the library raises.
    """
    kind = type(given).__name__
    if isinstance(given, Mapping):
        splits = [str(name) for name in given]
        raise UsageError(f"dataset = {kind}: it has the splits {', '.join(splits)}; give one, as dataset[{(splits or ['train'])[0]!r}]")
    features: Mapping[str, Any] = given.features or {}
    is_stream = not hasattr(given, "__len__")
    rows: Any = taken(given, limit, kind) if is_stream else given.with_format(None)
    names = list(features) or (list(rows[0]) if rows else [])
    chosen = pick(columns, names, _DEFAULTS, required="image", what=f"dataset {kind}")
    count = len(rows) if limit is None else min(limit, len(rows))
    classes = _classes(features, chosen)
    ids = None
    if "id" in chosen:
        with calling(f"dataset {kind}"):
            ids = [row[chosen["id"]] for row in rows] if is_stream else list(rows[chosen["id"]])
    name = str(getattr(getattr(given, "info", None), "dataset_name", None) or "")
    return Source(_Rows(rows, chosen, kind), count, None if ids is None else ids[:count], classes, name=name)


@dataclass(frozen=True)
class _Rows:
    rows: Any
    columns: Mapping[str, str]
    kind: str

    def __call__(self, index: int) -> Item:
        with calling(f"dataset {self.kind}, row {index}"):
            row = self.rows[index]
        given = {role: row[name] for role, name in self.columns.items()}
        objects = given.get("objects")
        boxes, categories = (None, None) if objects is None else _objects(objects)
        if categories is not None and "label" not in given:
            return item_of_objects(given["image"], None, boxes=boxes, categories=categories)._replace(mask=_mask(given))
        label = given.get("label")
        return item_of_objects(given["image"], label, boxes=boxes, categories=categories)._replace(mask=_mask(given))


def _mask(given: Mapping[str, Any]) -> Any:
    return None if given.get("mask") is None else item_of_objects(None, None, masks=given["mask"]).mask


def _objects(given: Any) -> tuple[list[list[float]], list[Any] | None]:
    """Boxes xyxy and classes, from a dict of lists or a list of dicts with `bbox` in xywh."""
    table = {key: [one[key] for one in given] for key in (given[0] if given else ())} if isinstance(given, list) else given
    boxes = [[x, y, x + width, y + height] for x, y, width, height in table.get("bbox", ())]
    key = next((key for key in ("category", "categories", "label", "labels") if key in table), None)
    return boxes, (None if key is None and boxes else list(table.get(key, ())))


def _classes(features: Mapping[str, Any], columns: Mapping[str, str]) -> tuple[str, ...]:
    """Names of the ClassLabel of the label, or of the category of the objects."""
    feature = features.get(columns.get("label", ""))
    if feature is None:
        objects = features.get(columns.get("objects", ""))
        objects = getattr(objects, "feature", objects)
        objects = objects[0] if isinstance(objects, list) and objects else objects
        feature = next((objects[key] for key in ("category", "label") if isinstance(objects, Mapping) and key in objects), None)
    feature = getattr(feature, "feature", feature)
    return tuple(map(str, getattr(feature, "names", None) or ()))
