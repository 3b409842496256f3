"""The `shortcuts` data set: every image is rendered from (seed, split, index)."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property, lru_cache
from typing import Literal

import numpy as np
import torch
from numpy.random import Generator, SeedSequence, default_rng
from pydantic import NonNegativeInt, PositiveInt
from torch import Tensor

from camdbench.core.errors import SampleError, UsageError
from camdbench.core.registries import dataset
from camdbench.datasets.samples import Dataset, Sample
from camdbench.datasets.shortcuts.drawing import Drawing, Scene, compose, draw_scene
from camdbench.datasets.shortcuts.shapes import SHAPES
from camdbench.datasets.shortcuts.textures import TEXTURES

Split = Literal["train", "val", "shifted", "conflict", "balanced"]
Label = Literal["shape", "background"]

# Default number of images. The position of a split seeds its draws: a new split goes to the end.
_SPLITS: dict[Split, int] = {"train": 5000, "val": 1000, "shifted": 1000, "conflict": 1000, "balanced": 1000}
_SMALLEST, _LARGEST = 32, 1024
_LABEL, _BACKGROUND, _PICTURE, _CONGRUENT = range(4)  # purposes of random streams


@dataset(
    "shortcuts",
    paper="embedded",
    splits=("train", "val", "shifted", "conflict", "balanced"),
    gives=("boxes", "masks", "backgrounds", "scenes"),
    on_disk=False,
)
def shortcuts(
    *,
    split: Literal["train", "val", "shifted", "conflict", "balanced"] = "val",
    size: PositiveInt = 96,
    correlation: float = 0.9,
    classes: PositiveInt = 8,
    count: PositiveInt | None = None,
    seed: NonNegativeInt = 0,
    label: Literal["shape", "background"] = "shape",
) -> Dataset:
    """Rendered objects on textured backgrounds that correlate with the class.

    Each class is a shape with an associated background, which has probability `correlation` in `train` and `val`, is uniform
    in `shifted`, never occurs in `conflict` and occurs in half of `balanced`. Place, size, rotation, colour and texture of the
    object are independent of its class.

    Args:
        split: `train`, `val`, `shifted`, `conflict` or `balanced`.
        size: side of the images in pixels, 32 to 1024.
        correlation: probability of the associated background in `train` and `val`, in [0, 1].
        classes: number of classes, 2 to 8.
        count: number of images; default: 5,000 in `train`, 1,000 in other splits.
        seed: seed of every split.
        label: what the class of an image is: the `shape` of its object, or its `background`, by the index of the associated
            shape. The images are the same.

    Raises:
        UsageError: an option is out of range.
    """
    if split not in _SPLITS:
        raise UsageError(f"shortcuts(split={split!r}): no such split; choose from {', '.join(_SPLITS)}")
    if not _SMALLEST <= size <= _LARGEST:
        raise UsageError(f"shortcuts(size={size}): out of range; use {_SMALLEST} to {_LARGEST} pixels")
    if not 0 <= correlation <= 1:
        raise UsageError(f"shortcuts(correlation={correlation}): out of range; use a probability in [0, 1]")
    if not 2 <= classes <= len(SHAPES):
        raise UsageError(f"shortcuts(classes={classes}): out of range; use 2 to {len(SHAPES)} classes")
    if count is not None and count < 1:
        raise UsageError(f"shortcuts(count={count}): out of range; use at least one image")
    if seed < 0:
        raise UsageError(f"shortcuts(seed={seed}): out of range; use a seed of 0 or greater")
    if label not in ("shape", "background"):
        raise UsageError(f"shortcuts(label={label!r}): no such label; choose shape or background")
    return Shortcuts(split, size, float(correlation), classes, count or _SPLITS[split], seed, label)


@dataclass(frozen=True)
class Shortcuts:
    """The data set of `shortcuts(…)`, with checked options."""

    split: Split
    size: int
    correlation: float
    n_classes: int
    count: int
    seed: int
    label: Label = "shape"

    @property
    def classes(self) -> Sequence[str]:
        """Names of the shapes, or of the backgrounds with `label="background"`."""
        return SHAPES[: self.n_classes] if self.label == "shape" else self.backgrounds

    @property
    def backgrounds(self) -> Sequence[str]:
        """Names of the textures, by index of the associated class."""
        return TEXTURES[: self.n_classes]

    @property
    def ids(self) -> Sequence[str]:
        """`val-00017`: split and index."""
        return self._ids

    @property
    def labels(self) -> Sequence[int]:
        """Class indices: of the shapes, or of the backgrounds with `label="background"`."""
        return self.shapes if self.label == "shape" else self._backgrounds

    @property
    def shapes(self) -> Sequence[int]:
        """Indices of the shapes; each block of `n_classes` images has every shape once."""
        return self._shapes

    @cached_property
    def _ids(self) -> tuple[str, ...]:
        return tuple(f"{self.split}-{index:05d}" for index in range(self.count))

    @cached_property
    def _shapes(self) -> tuple[int, ...]:
        rounds = -(-self.count // self.n_classes)
        shapes = [shape for k in range(rounds) for shape in self._random(_LABEL, k).permutation(self.n_classes).tolist()]
        return tuple(shapes[: self.count])

    @cached_property
    def _backgrounds(self) -> tuple[int, ...]:
        return tuple(self.background(index) for index in range(self.count))

    def background(self, index: int) -> int:
        """The class associated with the background of an image; nothing is rendered."""
        shape, random = self.shapes[index], self._random(_BACKGROUND, index)
        if random.uniform() < self._chance(index):
            return shape
        return int(shape + 1 + random.integers(self.n_classes - 1)) % self.n_classes

    def _chance(self, index: int) -> float:
        """Probability that the background of an image is that of its shape."""
        if self.split == "balanced":
            return float(self._is_congruent(index))
        return {"shifted": 1 / self.n_classes, "conflict": 0.0}.get(self.split, self.correlation)

    def _is_congruent(self, index: int) -> bool:
        """Whether an image of `balanced` has its shape's background: half of the shapes in a block, the others in the next one."""
        block = index // self.n_classes
        first = self._random(_CONGRUENT, block // 2).permutation(self.n_classes)[: self.n_classes // 2]
        return bool((self.shapes[index] in first) ^ (block % 2))

    def picture(self, index: int) -> Drawing:
        """Render an image and its mask as 8-bit arrays.

        Raises:
            IndexError: there is no such image.
        """
        scene = self.scene(index)
        return compose(scene.outline, scene.material, scene.background, scene.light)

    def scene(self, index: int) -> Scene:
        """The draws of an image, for `compose`.

        Raises:
            IndexError: there is no such image.
        """
        if not 0 <= index < self.count:
            raise IndexError(f"{self.split} has images 0 to {self.count - 1}, not {index}")
        shape, texture = SHAPES[self.shapes[index]], TEXTURES[self.background(index)]
        return draw_scene(shape, texture, size=self.size, random=self._random(_PICTURE, index))

    def __len__(self) -> int:
        return self.count

    def __getitem__(self, index: int) -> Sample:
        """Render one sample; it depends on the index alone.

        Raises:
            IndexError: there is no such image.
        """
        image, mask = self.picture(index)
        rows, columns = np.flatnonzero(mask.any(1)), np.flatnonzero(mask.any(0))
        box = [columns[0], rows[0], columns[-1] + 1, rows[-1] + 1]
        return Sample(
            id=self.ids[index],
            image=torch.from_numpy(image).permute(2, 0, 1).contiguous().float() / 255,
            label=self.labels[index],
            boxes=torch.tensor([box], dtype=torch.float32),
            mask=torch.from_numpy(mask),
            background=self.background(index),
            group_share=self._group_share(index),
            interventions=SceneVersions(
                (self.split, self.size, self.correlation, self.n_classes, self.count, self.seed, self.label), index
            ),
        )

    def _group_share(self, index: int) -> float:
        """Probability in `train` of the label and background of an image."""
        own, others = self.correlation, (1 - self.correlation) / (self.n_classes - 1)
        pair = own if self.background(index) == self.shapes[index] else others
        return (pair if self.label == "shape" else 1) / self.n_classes

    def fingerprint(self) -> str:
        """Hash over the options and coarse thumbnails of three samples; the last bit of a pixel may differ between machines."""
        shown = [self._digest(index) for index in sorted({0, self.count // 2, self.count - 1})]
        options = [self.split, self.size, self.correlation, self.n_classes, self.count, self.seed]
        options += [self.label] if self.label != "shape" else []
        return hashlib.sha256(json.dumps([options, shown]).encode()).hexdigest()[:16]

    def _digest(self, index: int) -> list[object]:
        image, mask = self.picture(index)
        middle = self.size // 2
        tiles = [image[:middle, :middle], image[:middle, middle:], image[middle:, :middle], image[middle:, middle:]]
        return [self.labels[index], self.background(index), int(mask.sum()) // 8, *(round(float(tile.mean())) for tile in tiles)]

    def _random(self, purpose: int, index: int) -> Generator:
        return default_rng(SeedSequence([self.seed, list(_SPLITS).index(self.split), purpose, index]))


@dataclass(frozen=True)
class SceneVersions:
    """Versions of one image: its `background` without the object; rendered when it is asked for.

    Attributes:
        options: fields of `Shortcuts`.
        index: position of the image.
    """

    options: tuple[Split, int, float, int, int, int, Label]
    index: int

    @property
    def names(self) -> Sequence[str]:
        """The versions that exist."""
        return ("background",)

    def __call__(self, name: str) -> Tensor:
        """Render one version, (3, H, W) float32 in [0, 1].

        Raises:
            SampleError: there is no such version.
        """
        if name not in self.names:
            raise SampleError(f"no version {name!r} of an image of shortcuts; known: background")
        scene = _opened(self.options).scene(self.index)
        outline = scene.outline._replace(cover=np.zeros_like(scene.outline.cover), shadow=np.zeros_like(scene.outline.shadow))
        image = compose(outline, scene.material, scene.background, scene.light).image
        return torch.from_numpy(image).permute(2, 0, 1).contiguous().float() / 255


@lru_cache(maxsize=8)
def _opened(options: tuple[Split, int, float, int, int, int, Label]) -> Shortcuts:
    return Shortcuts(*options)
