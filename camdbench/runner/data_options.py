"""Options of a run that describe its data: they go into the spec of a data set, or to `camdbench.data` with an object."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from camdbench.core.errors import UsageError
from camdbench.core.references import is_reference, split_alias
from camdbench.core.spec import Spec, parse_spec
from camdbench.datasets.open_dataset import split_table

DATA_OPTIONS = ("labels", "boxes", "masks", "columns", "images", "preprocess", "size")
_OF_OBJECTS = "data_options"  # key of what is left for `camdbench.data`


def with_data_options(options: Mapping[str, Any], default: str | None) -> dict[str, Any]:
    """Move the options of the data into the spec of the data set; what no spec can hold is left for `take_data_options`.

    A name before a table, and the annotation file of `coco` without a data root, become options of the file as well:

    >>> with_data_options({"dataset": "mine=photos.csv", "columns": "image=file"}, "shortcuts")
    {'dataset': 'photos.csv(columns="image=file", name="mine")'}

    Args:
        options: options of a run.
        default: spec of the data set if none is given; None: resources hold it.

    Raises:
        UsageError: the data set does not have an option, or states it as well.
    """
    kept = {name: own for name, own in options.items() if name not in DATA_OPTIONS}
    given = {name: options[name] for name in DATA_OPTIONS if options.get(name) is not None}
    dataset = options.get("dataset")
    if given and dataset is None and default is None:
        name, own = next(iter(given.items()))
        raise UsageError(f"--{name} = {own}: resources hold the data set; give the option to camdbench.data")
    if isinstance(text := dataset or (default if given else None), str):
        kept["dataset"], given = _of_text(text, given, has_root=options.get("data_root") is not None)
    return kept | ({_OF_OBJECTS: given} if given else {})


def take_data_options(options: dict[str, Any]) -> dict[str, Any]:
    """Remove and return the options of a data set that is an object or a reference."""
    return options.pop(_OF_OBJECTS, {})


def _of_text(text: str, given: Mapping[str, Any], *, has_root: bool) -> tuple[str, dict[str, Any]]:
    """The spec with the options that it can hold, and the others."""
    if is_reference(text):
        return text, dict(given)
    alias, plain = split_alias(text)
    file, options = split_table(plain)
    spec = parse_spec(f"table{options}" if file else plain) if given or file or plain.startswith("coco(") else Spec("")
    if not (file or has_root) and spec.name == "coco" and isinstance(spec.arguments.get("instances"), str):
        file, spec = str(spec.arguments["instances"]), Spec.of("table", {k: own for k, own in spec.options if k != "instances"})
    if file:
        listed = {name: own for name, own in given.items() if name in ("labels", "boxes", "masks")}
        stated = {name: own for name, own in given.items() if name not in listed}
        return _merged(spec, stated | ({"name": alias} if alias else {}), file), listed
    if not given:
        return text, {}
    if wrong := [name for name in given if name not in ("preprocess", "size")]:
        raise UsageError(f"--{wrong[0]} = {given[wrong[0]]}: data set {spec.name} has its own; omit it, or give your data")
    return _merged(spec, given, spec.name), {}


def _merged(spec: Spec, given: Mapping[str, Any], name: str) -> str:
    if twice := next((one for one in given if one in spec.arguments), None):
        raise UsageError(f"--{twice} = {given[twice]}: --dataset states {twice}={spec.arguments[twice]}; state it once")
    found = Spec.of(spec.name, spec.arguments | dict(given), spec.wrapped)
    return name + str(found).removeprefix(found.name)
