"""Parts of a data set: the first, a sample, those of a list, a few of each class. Chosen by name, whatever the order."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import NamedTuple

import torch

from camdbench.core.errors import UsageError, unknown
from camdbench.datasets.samples import Dataset, Sample
from camdbench.functional.seeding import generator_for


@dataclass(frozen=True)
class Subset:
    """Some images of a data set, under their own names.

    Attributes:
        data: the whole data set.
        positions: the images, in order.
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
        """That of the whole data set: which images were chosen stands in the run's record beside it."""
        return self.data.fingerprint()


def select_images(
    data: Dataset, *, limit: int | None = None, sample: int | None = None, ids: str | Path | None = None, seed: int = 0
) -> Dataset:
    """The images that `--ids`, `--sample` and `--limit` leave, in this order; the data set itself where none is given.

    Args:
        data: the data set.
        limit: this many, from the first.
        sample: this many at random, in the data set's order (see `random_sample`).
        ids: a file with one id per line (see `by_ids`).
        seed: seed of the sample.

    Raises:
        UsageError: a number is not positive, more are asked for than there are, or the file names an image that is not there.
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
    """Positions of so many images at random, in order.

    Each image draws one number from (seed, id), and the smallest are taken: a smaller sample is a part of a larger one, and
    images that join or leave the data set do not shuffle the others.

    Raises:
        UsageError: more are asked for than there are, or none.
    """
    if not 1 <= count <= len(ids):
        raise UsageError(f"--sample {count}: the data set has {len(ids)} images; ask for 1 to {len(ids)}")
    return sorted(shuffled(ids, range(len(ids)), seed, "sample")[:count])


def by_ids(ids: Sequence[str], file: Path) -> list[int]:
    """Positions of the images that a file names, one id per line, in the file's order; blank lines and lines with # are left out.

    Raises:
        UsageError: the file cannot be read or is empty, an id is not there or stands twice.
    """
    try:
        lines = [line.strip() for line in file.read_text(encoding="utf-8-sig").splitlines()]
    except (OSError, UnicodeDecodeError) as error:
        raise UsageError(f"--ids {file} cannot be read as text ({error})") from None
    names = [line for line in lines if line and not line.startswith("#")]
    if not names:
        raise UsageError(f"--ids {file} names no image; expected one id per line")
    order = {name: index for index, name in enumerate(ids)}
    seen = set[str]()
    for name in names:
        if name not in order:
            raise unknown(f"image in the data set, named in --ids {file}:", name, order)
        if name in seen:
            raise UsageError(f"--ids {file} names {name} twice")
        seen.add(name)
    return [order[name] for name in names]


class Episode(NamedTuple):
    """A division of a data set.

    Attributes:
        train: positions of the images to train on.
        rest: positions of all others.
    """

    train: list[int]
    rest: list[int]


def few_shot(ids: Sequence[str], labels: Sequence[int], *, shots: int, episode: int, seed: int = 0) -> Episode:
    """So many images of each class to train on, the others for validation (CGC, section 4.2: 1, 5 or 10 shots, 20 episodes).

    Episodes differ at random; an episode is the same for every method, and its fewer shots are a part of its more.

    Raises:
        UsageError: a class has fewer images.
    """
    if shots < 1:
        raise UsageError(f"shots={shots}: expected at least 1")
    train = list[int]()
    for label, positions in _by_class(labels).items():
        if len(positions) < shots:
            raise UsageError(f"shots={shots}: class {label} has {len(positions)} images")
        train += shuffled(ids, positions, seed, f"few-shot episode {episode}")[:shots]
    return _episode(train, len(ids))


def labelled_fraction(ids: Sequence[str], labels: Sequence[int], fraction: float, *, seed: int = 0) -> Episode:
    """A share of the images of each class as the labelled ones, at least one of each; the others have no label (CGC, section 4.3: 1 %).

    Raises:
        UsageError: the share does not lie in (0, 1].
    """
    if not 0 < fraction <= 1:
        raise UsageError(f"fraction={fraction}: a share lies above 0 and up to 1")
    train = list[int]()
    for positions in _by_class(labels).values():
        train += shuffled(ids, positions, seed, "labelled fraction")[: max(1, round(fraction * len(positions)))]
    return _episode(train, len(ids))


def _by_class(labels: Sequence[int]) -> dict[int, list[int]]:
    """The positions of each class; images without a label belong to none."""
    found = defaultdict[int, list[int]](list)
    for position, label in enumerate(labels):
        if label >= 0:
            found[label].append(position)
    return dict(sorted(found.items()))


def shuffled(ids: Sequence[str], positions: Sequence[int], seed: int, purpose: str) -> list[int]:
    """Positions in the order of a number that each image draws."""
    keys = {position: int(torch.randint(2**62, (1,), generator=generator_for(seed, ids[position], purpose))) for position in positions}
    return sorted(positions, key=lambda position: (keys[position], ids[position]))


def _episode(train: list[int], count: int) -> Episode:
    inside = set(train)
    return Episode(sorted(train), [position for position in range(count) if position not in inside])
