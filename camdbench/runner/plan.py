"""What is missing: units of work, from the parts that a run directory has."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import NamedTuple

from camdbench.core.spec import Spec


class PartKey(NamedTuple):
    """One explainer on one chunk of the images, with one model."""

    model: str
    explainer: str
    chunk: int


@dataclass(frozen=True)
class Unit:
    """One chunk of images of one model with all explainers that it lacks, so that they share its passes.

    Attributes:
        model: name of the model as asked for.
        chunk: number of the chunk.
        start: position of its first image.
        stop: position after its last image.
        explainers: the explainers to run.
    """

    model: str
    chunk: int
    start: int
    stop: int
    explainers: tuple[Spec, ...]


def missing_units(
    models: Sequence[str],
    row_names: Sequence[str],
    explainers: Sequence[Spec],
    images: int,
    chunk_size: int,
    is_done: Callable[[PartKey], bool],
) -> list[Unit]:
    """The units that are not done yet, model by model.

    Args:
        models: names of the models as asked for.
        row_names: their names in the rows.
        explainers: all explainers of the run.
        images: number of images.
        chunk_size: images of a chunk.
        is_done: whether a part exists.
    """
    units = list[Unit]()
    for model, row_name in zip(models, row_names, strict=True):
        for chunk, start in enumerate(range(0, images, chunk_size)):
            lacking = tuple(spec for spec in explainers if not is_done(PartKey(row_name, str(spec), chunk)))
            if lacking:
                units.append(Unit(model, chunk, start, min(start + chunk_size, images), lacking))
    return units
