"""Data that a user names or hands over: a table of pictures, the function of a reference, or an object, as a data set."""

from __future__ import annotations

from contextlib import suppress
from dataclasses import replace
from pathlib import Path
from typing import Any

from camdbench.core.references import Given, call_given, is_reference, read_given
from camdbench.datasets.open_dataset import split_table
from camdbench.datasets.own.of_model import OfModel
from camdbench.datasets.own_data import check_data_name, data, is_dataset, to_dataset
from camdbench.datasets.samples import Dataset


def data_of(given: Any, **more: Any) -> tuple[Dataset | OfModel, str]:
    """Data set of an object, of a table of pictures, or of the function of a reference, with options of `camdbench.data`.

    Returns:
        The data set, and a text with an absolute path of which another process makes it; empty for objects.

    Raises:
        UsageError: it is of no known kind, or its name is invalid.
    """
    has_lists = any(name in more for name in ("labels", "boxes", "masks"))
    if not isinstance(given, str):
        return to_dataset(given, **more), ""
    if not is_reference(given):
        file, options = split_table(given)
        return to_dataset(given, **more), "" if has_lists else f"{Path(file).absolute()}{options}"
    (one,) = read_given(given, "dataset")
    thing, name = _called(one), one.label or one.name
    if not is_dataset(thing):
        thing = data(thing, name=name, **more)
    elif more:
        thing = to_dataset(thing, **more)
    elif one.label or getattr(thing, "name", None) in (None, ""):
        thing = _named(thing, check_data_name(name))
    return thing, "" if has_lists else f"{one.label}={one.reference}" if one.label else one.reference


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
