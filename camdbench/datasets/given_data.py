"""Data that a user names or hands over: a table of pictures, the function of a reference, or an object, as a data set."""

from __future__ import annotations

from contextlib import suppress
from dataclasses import replace
from pathlib import Path
from typing import Any

from camdbench.core.errors import UsageError
from camdbench.core.references import Given, call_given, is_reference, read_given
from camdbench.datasets.on_disk import OnDisk
from camdbench.datasets.open_dataset import table_in
from camdbench.datasets.own.items import is_stream
from camdbench.datasets.own.of_model import OfModel
from camdbench.datasets.own_data import check_data_name, data, is_dataset, to_dataset
from camdbench.datasets.samples import Dataset


def data_of_command(text: str, **options: Any) -> tuple[Dataset, tuple[str, ...]]:
    """A table or reference as a data set, and its annotations (`boxes`, `masks`), by the first image.

    Args:
        text: the table or reference.
        **options: options of the command for registered data sets; None, False or empty if not given.

    Raises:
        UsageError: an option is given, the data cannot be opened, or their preprocessing is that of a model.
    """
    for name, given in options.items():
        if given:
            raise UsageError(f"--{name.replace('_', '-')}: {text} has its own pictures and no splits; omit it")
    found, _ = data_of(text)
    if isinstance(found, OfModel):
        raise UsageError(f"dataset = {text}: preprocess=model: this command has no model; name a preprocessing or a size")
    first = found.annotate(0) if isinstance(found, OnDisk) else found[0]
    return found, tuple(name for name, own in (("boxes", first.boxes), ("masks", first.mask)) if own is not None)


def data_of(given: Any, *, limit: int | None = None, **more: Any) -> tuple[Dataset | OfModel, str]:
    """Data set of an object, of a table of pictures, or of the function of a reference, with options of `camdbench.data`.

    Args:
        given: the object or text.
        limit: number of images to read of a stream; other data are not cut here.
        **more: options of `camdbench.data`.

    Returns:
        The data set, and a text with an absolute path of which another process makes it; empty for objects.

    Raises:
        UsageError: it is of no known kind, or its name is invalid.
    """
    has_lists = any(name in more for name in ("labels", "boxes", "masks"))
    if not isinstance(given, str):
        return to_dataset(given, **more, **_limit_of(given, limit)), ""
    if not is_reference(given):
        return to_dataset(given, **more), "" if has_lists else table_in(Path.cwd(), given)
    (one,) = read_given(given, "dataset")
    thing, name = _called(one), one.label or one.name
    if not is_dataset(thing):
        thing = data(thing, name=name, **more, **_limit_of(thing, limit))
    elif more:
        thing = to_dataset(thing, **more)
    elif one.label or getattr(thing, "name", None) in (None, ""):
        thing = _named(thing, check_data_name(name))
    return thing, "" if has_lists else f"{one.label}={one.reference}" if one.label else one.reference


def _limit_of(given: Any, limit: int | None) -> dict[str, Any]:
    """The option `limit` of a stream."""
    return {"limit": limit} if limit is not None and is_stream(given) and not is_dataset(given) else {}


def _named(dataset: Any, name: str) -> Any:
    """The data set under a name; a frozen one without a field for it keeps its own."""
    if "name" in getattr(dataset, "__dataclass_fields__", ()):
        return replace(dataset, name=name)
    with suppress(AttributeError):
        dataset.name = name
    return dataset


def _called(one: Given) -> Any:
    """The object of a reference; a function is called with its options."""
    if not callable(one.thing) or is_dataset(one.thing):
        return one.thing
    return call_given(one, f"dataset {one.name}")
