"""Subsets of a data set: the first images, a random sample, listed ids, few per class. Draws depend on ids, not on the order."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import NamedTuple

import torch

from camdbench.core.errors import UsageError, unknown
from camdbench.core.files import read_text
from camdbench.datasets.samples import Dataset, Sample
from camdbench.functional.seeding import generator_for


@dataclass(frozen=True)
class Subset:
    """Some images of a data set.

    Attributes:
        data: the whole data set.
        positions: positions of the images, in order.
    """

    data: Dataset
    positions: Sequence[int]

    @property
    def ids(self) -> Sequence[str]:
        """Stable names, in order."""
        return self._ids

    @property
    def classes(self) -> Sequence[str]:
        """Class names of the whole data set."""
        return self.data.classes

    @property
    def labels(self) -> Sequence[int]:
        """Class indices, in order."""
        return self._labels

    @cached_property
    def _ids(self) -> list[str]:
        return [self.data.ids[index] for index in self.positions]

    @cached_property
    def _labels(self) -> list[int]:
        return [self.data.labels[index] for index in self.positions]

    def __len__(self) -> int:
        return len(self.positions)

    def __getitem__(self, index: int) -> Sample:
        """Read one sample.

        Raises:
            SampleError: the image cannot be read.
        """
        return self.data[self.positions[index]]

    def fingerprint(self) -> str:
        """Fingerprint of the whole data set; a run records the ids of the subset separately."""
        return self.data.fingerprint()


def select_images(
    data: Dataset, *, limit: int | None = None, sample: int | None = None, ids: str | Path | None = None, seed: int = 0
) -> Dataset:
    """The images selected by `--image-ids`, then `--sample`, then `--limit`; default: all.

    Args:
        data: the data set.
        limit: number of images, from the first.
        sample: number of random images, in the data set's order (see `random_sample`).
        ids: file with one id per line (see `by_ids`).
        seed: seed of the sample.

    Raises:
        UsageError: a number is not positive or too large, or the file has an unknown id.
    """
    positions = list(range(len(data.ids))) if ids is None else by_ids(data.ids, Path(ids))
    if sample is not None:
        names = [data.ids[position] for position in positions]
        positions = [positions[index] for index in random_sample(names, sample, seed)]
    if limit is not None:
        if limit < 1:
            raise UsageError(f"--limit {limit}: expected at least 1 image")
        positions = positions[:limit]
    return data if len(positions) == len(data.ids) and ids is None else Subset(data, positions)


def random_sample(ids: Sequence[str], count: int, seed: int) -> list[int]:
    """Positions of `count` random images, in order.

    Each image draws a number from (seed, id), and the smallest are selected: smaller samples are subsets of larger ones,
    and added or removed images do not change the draws of the others.

    Raises:
        UsageError: `count` is not positive or exceeds the number of images.
    """
    if not 1 <= count <= len(ids):
        raise UsageError(f"--sample {count}: the data set has {len(ids)} images; use 1 to {len(ids)}")
    return sorted(shuffled(ids, range(len(ids)), seed, "sample")[:count])


def by_ids(ids: Sequence[str], file: Path) -> list[int]:
    """Positions of the images in a file with one id per line, in the file's order; blank lines and lines with # are skipped.

    Raises:
        UsageError: the file is unreadable or empty, or an id is unknown or repeated.
    """
    lines = [line.strip() for line in read_text(file, "--image-ids", fix="give a text file with one id per line").splitlines()]
    names = [line for line in lines if line and not line.startswith("#")]
    if not names:
        raise UsageError(f"--image-ids {file}: no ids; expected one id per line")
    order = {name: index for index, name in enumerate(ids)}
    seen = set[str]()
    for name in names:
        if name not in order:
            raise unknown("image", name, order, of=f"--image-ids {file}")
        if name in seen:
            raise UsageError(f"--image-ids {file}: {name} is listed twice; remove one line")
        seen.add(name)
    return [order[name] for name in names]


class Episode(NamedTuple):
    """A random split of a data set.

    Attributes:
        train: positions of the training images.
        rest: positions of all other images.
    """

    train: list[int]
    rest: list[int]


def few_shot(ids: Sequence[str], labels: Sequence[int], *, shots: int, episode: int, seed: int = 0) -> Episode:
    """Few-shot split: `shots` training images per class (CGC, section 4.2: 1, 5 or 10 shots, 20 episodes).

    Episodes are random draws, equal for every method; fewer shots are a subset of more shots.

    Raises:
        UsageError: a class has fewer images.
    """
    if shots < 1:
        raise UsageError(f"shots={shots}: must be at least 1")
    train = list[int]()
    for label, positions in _by_class(labels).items():
        if len(positions) < shots:
            raise UsageError(f"shots={shots}: class {label} has {len(positions)} images; use fewer shots")
        train += shuffled(ids, positions, seed, f"few-shot episode {episode}")[:shots]
    return _episode(train, len(ids))


def labelled_fraction(ids: Sequence[str], labels: Sequence[int], fraction: float, *, seed: int = 0) -> Episode:
    """Semi-supervised split: a fraction of each class, at least one image, is labelled (CGC, section 4.3: 1 %).

    Raises:
        UsageError: the fraction is not in (0, 1].
    """
    if not 0 < fraction <= 1:
        raise UsageError(f"fraction={fraction}: out of range; choose a value in (0, 1]")
    train = list[int]()
    for positions in _by_class(labels).values():
        train += shuffled(ids, positions, seed, "labelled fraction")[: max(1, round(fraction * len(positions)))]
    return _episode(train, len(ids))


def _by_class(labels: Sequence[int]) -> dict[int, list[int]]:
    """Positions of the images of each class, without unlabelled images."""
    found = defaultdict[int, list[int]](list)
    for position, label in enumerate(labels):
        if label >= 0:
            found[label].append(position)
    return dict(sorted(found.items()))


def shuffled(ids: Sequence[str], positions: Sequence[int], seed: int, purpose: str) -> list[int]:
    """Positions in random order, by a number that each image draws from seed, id and purpose."""
    keys = {position: int(torch.randint(2**62, (1,), generator=generator_for(seed, ids[position], purpose))) for position in positions}
    return sorted(positions, key=lambda position: (keys[position], ids[position]))


def _episode(train: list[int], count: int) -> Episode:
    inside = set(train)
    return Episode(sorted(train), [position for position in range(count) if position not in inside])
