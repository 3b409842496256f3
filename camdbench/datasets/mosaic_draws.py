"""Draws of mosaics: which images stand together in a grid, each once, from a pool that may be filtered by a model."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from typing import NamedTuple, Protocol

import torch
from torch import Tensor

from camdbench.core.errors import UsageError
from camdbench.datasets.class_order import order_by_names
from camdbench.datasets.loading import UnreadableImage, read
from camdbench.datasets.samples import Batch, Dataset, batches
from camdbench.datasets.subsets import shuffled
from camdbench.functional.seeding import generator_for

_BATCH = 16  # images of one pass of the filter
Pool = Mapping[int, Sequence[int]]  # positions of the images of each class, in the order in which they are taken


class ScoringModel(Protocol):
    """A frozen network, as far as a filter needs it."""

    @property
    def class_names(self) -> Sequence[str]:
        """Names of its classes; empty if unknown."""
        ...

    @property
    def device(self) -> torch.device:
        """Device of the images."""
        ...

    def __call__(self, images: Tensor) -> Tensor:
        """Logits (B, C) of images (B, 3, H, W) in [0, 1]."""
        ...

    def weights_hash(self) -> str:
        """Hash of all weights."""
        ...


LoadModel = Callable[[str], ScoringModel]


class Mosaic(NamedTuple):
    """One mosaic.

    Attributes:
        positions: positions of its images, row by row.
        drawn: cell whose class is the label.
    """

    positions: tuple[int, ...]
    drawn: int


def cells_of(mosaic: str, n: int) -> tuple[int, ...]:
    """Number of cells of each class of a mosaic: `grid`: n * n classes once; `focus`: the label's class twice, two others.

    Raises:
        UsageError: `focus` with another n than 2.
    """
    if mosaic == "focus" and n != 2:
        raise UsageError(f"grid(mosaic='focus', n={n}): a mosaic of Focus has 2 x 2 cells; use n=2")
    return (2, 1, 1) if mosaic == "focus" else (1,) * (n * n)


def draw(pool: Pool, cells: Sequence[int], count: int | None, most: int, seed: int) -> list[Mosaic]:
    """Mosaics of distinct classes in which no image stands twice; classes occur as equally often as the pool allows.

    Args:
        pool: positions of the images of each class.
        cells: number of cells of each class of a mosaic.
        count: number of mosaics; None: as many as the pool fills, at most `most`.
        most: largest number without `count`.
        seed: seed of the classes and cells.

    Returns:
        The mosaics; fewer than `count` if the pool does not fill them.
    """
    wanted, largest = count or most, max(map(len, pool.values()), default=0)
    found = list[Mosaic]()
    for level in range(1, largest + 1):
        used = {label: list(own[:level]) for label, own in pool.items()}
        if level < largest and sum(map(len, used.values())) < wanted * sum(cells):
            continue
        found = _filled(used, cells, wanted, seed)
        if len(found) == wanted:
            break
    return found


def _filled(pool: Mapping[int, list[int]], cells: Sequence[int], wanted: int, seed: int) -> list[Mosaic]:
    """Mosaics of the classes with the most images left, which fills the largest number of mosaics of distinct classes."""
    left, found = {label: own[::-1] for label, own in sorted(pool.items())}, list[Mosaic]()
    while len(found) < wanted:
        random = generator_for(seed, f"mosaic {len(found)}", "mosaic")
        tie = dict(zip(left, torch.randperm(len(left), generator=random).tolist(), strict=True))
        chosen = sorted(left, key=lambda label: (-len(left[label]), tie[label]))[: len(cells)]
        if len(chosen) < len(cells) or any(len(left[label]) < count for label, count in zip(chosen, cells, strict=True)):
            return found
        positions = [left[label].pop() for label, count in zip(chosen, cells, strict=True) for _ in range(count)]
        order = torch.randperm(len(positions), generator=random).tolist()
        drawn = 0 if cells[0] > 1 else int(torch.randint(len(positions), (), generator=random))
        found.append(Mosaic(tuple(positions[index] for index in order), order.index(drawn)))
    return found


def candidates(data: Dataset, seed: int) -> dict[int, list[int]]:
    """Positions of the labelled images of each class, in random order by seed and id."""
    found = dict[int, list[int]]()
    for position in shuffled(data.ids, range(len(data.ids)), seed, "mosaic source"):
        if (label := data.labels[position]) >= 0:
            found.setdefault(label, []).append(position)
    return found


def filtered_pools(data: Dataset, model: ScoringModel, confidence: float, pool: Pool) -> Iterator[dict[int, list[int]]]:
    """Pools of images that a model classifies correctly with a probability of at least `confidence`, one image per class larger each.

    Args:
        data: the data set.
        model: the model; its classes are those of the data, by name where labels meet by name, else by position.
        confidence: smallest softmax probability of the label.
        pool: candidates, scored in their order and no more than are asked for.

    Yields:
        The pool with at most 1, 2, … images per class; the last one holds all.

    Raises:
        UsageError: a label is no class of the model.
    """
    places, waiting = _places(data, model), {label: iter(own) for label, own in pool.items() if own}
    kept = dict[int, list[int]]({label: [] for label in waiting})
    level = 0
    while waiting:
        level += 1
        while asked := [(label, next(waiting[label], -1)) for label in list(waiting) if len(kept[label]) < level]:
            waiting = {label: own for label, own in waiting.items() if (label, -1) not in asked}
            for position in _passing(data, model, confidence, places, [own for _, own in asked if own >= 0]):
                kept[data.labels[position]].append(position)
        yield {label: list(own) for label, own in kept.items()}


def _passing(data: Dataset, model: ScoringModel, confidence: float, places: Sequence[int], positions: Sequence[int]) -> list[int]:
    """The positions of images that the model classifies with that confidence; unreadable images do not pass."""
    where = {data.ids[position]: position for position in positions}
    samples = [found for position in positions if not isinstance(found := read(data, position), UnreadableImage)]
    found = list[int]()
    for batch in batches(samples, _BATCH):
        sure = _is_sure(batch, model, confidence, places)
        found += [where[name] for name, passes in zip(batch.ids, sure.tolist(), strict=True) if passes]
    return found


def _is_sure(batch: Batch, model: ScoringModel, confidence: float, places: Sequence[int]) -> Tensor:
    """Whether each label is the prediction, with at least that probability, (B,) bool."""
    with torch.no_grad():
        logits = model(batch.images.to(model.device)).cpu().double()
    own = torch.tensor([places[label] for label in batch.labels.tolist()])
    if int(own.max()) >= logits.shape[1]:
        raise UsageError(f"grid(model=…): the model has {logits.shape[1]} classes, and an image has label {int(own.max())}; choose another")
    sure = logits.softmax(1).gather(1, own.clamp(min=0)[:, None])[:, 0] >= confidence
    return sure & (logits.argmax(1) == own)


def _places(data: Dataset, model: ScoringModel) -> Sequence[int]:
    """Index in the model of each class of the data; -1: none."""
    if getattr(data, "class_rule", None) == "names" and model.class_names:
        return order_by_names(data.classes, model.class_names, required=False)
    return range(max(data.labels, default=0) + 1)
