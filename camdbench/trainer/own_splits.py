"""Splits of a user's data in recipes: `photos-{split}.csv(size=64)`, or `FILE.py:NAME(split="{split}")`."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path

from camdbench.core.errors import UsageError
from camdbench.core.own_modules import code_of_file
from camdbench.core.references import files_in
from camdbench.core.registries import datasets
from camdbench.datasets import subsets
from camdbench.datasets.class_order import InNetworkOrder, order_by_names
from camdbench.datasets.given_data import data_of
from camdbench.datasets.on_disk import OnDisk
from camdbench.datasets.open_dataset import is_own_data
from camdbench.datasets.own.of_model import OfModel
from camdbench.datasets.samples import Dataset
from camdbench.trainer.recipe_fields import SPLIT


def open_own_splits(text: str, train: str, counts: Mapping[str, int | None]) -> dict[str, Dataset]:
    """The splits of a user's data, with the class indices of the training split.

    Args:
        text: a table or reference, in which `{split}` stands for the name of the split.
        train: name of the training split.
        counts: number of random images by split; None: all.

    Raises:
        UsageError: there is no such file, two splits hold the same images, or the training split lacks a class of another.
    """
    opened = {split: _open(text, split) for split in counts}
    names = _class_names(opened[train])
    if not names:
        raise UsageError(f"data.dataset={text}: no image of {train} has a label; give labels")
    for split, found in opened.items():
        if split != train and found.fingerprint() == opened[train].fingerprint():
            raise UsageError(f"data.dataset={text}: splits {train} and {split} hold the same images; a network is not evaluated on these")
    return {
        split: subsets.select_images(_in_order(found, names, f"data.dataset={text}, split {split}"), sample=counts[split])
        for split, found in opened.items()
    }


def _open(text: str, split: str) -> Dataset:
    found, _ = data_of(text.replace(SPLIT, split))
    if isinstance(found, OfModel):
        raise UsageError(f"data.dataset={text}: preprocess=model: a network in training states no preprocessing; name one, or size=…")
    return found


def _class_names(train: Dataset) -> tuple[str, ...]:
    """Names of the classes in the network's order; numbers if the data have none."""
    rule = getattr(train, "class_rule", None)
    if isinstance(rule, tuple):
        return rule
    return tuple(train.classes) or tuple(map(str, range(max(train.labels, default=-1) + 1)))


def _in_order(found: Dataset, names: Sequence[str], what: str) -> Dataset:
    """A split with the class indices of the network."""
    if tuple(found.classes) == tuple(names):
        return found
    by_position = not found.classes or getattr(found, "class_rule", None) == "positions"
    if by_position and (top := max(found.labels, default=-1)) >= len(names):
        raise UsageError(f"{what}: class index {top} is out of range for the {len(names)} classes of the training split")
    try:
        order = tuple(range(len(names))) if by_position else order_by_names(found.classes, names)
    except UsageError as error:
        raise UsageError(f"{what}: {error}") from None
    return InNetworkOrder(found, order, tuple(names))


def is_read_from_files(text: str, dataset: Dataset) -> bool:
    """Whether the images of a split of the data set `text` are files."""
    if not is_own_data(text):
        return datasets.get(datasets.parse_one(text).name).facts.on_disk
    while not isinstance(dataset, OnDisk) and hasattr(dataset, "data"):
        dataset = dataset.data  # pyright: ignore[reportAttributeAccessIssue] - a subset or another order
    return isinstance(dataset, OnDisk)


def data_record(text: str) -> dict[str, str]:
    """Hash of the code of a user's data set; empty without code."""
    return {f"data code {number}": code_of_file(Path(file)) for number, file in enumerate(files_in(text))}
