"""Mosaics of images of several classes, for the grid pointing game and Focus."""

from __future__ import annotations

import hashlib
import warnings
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from functools import cached_property
from typing import Literal

import torch
from pydantic import NonNegativeFloat, NonNegativeInt, PositiveInt
from torch import Tensor
from torch.nn.functional import interpolate

from camdbench.core.errors import CamdbenchWarning, SampleError, UsageError
from camdbench.core.registries import dataset
from camdbench.datasets.mosaic_draws import LoadModel, Mosaic, candidates, cells_of, draw, filtered_pools
from camdbench.datasets.samples import Dataset, Sample, WrappedData
from camdbench.functional.boxes import cell_boxes, union_mask

_MOST = 500  # mosaics if their number is not asked for, as of the quick start of the released code
_MASK_BYTES = 2**26  # largest size of the class masks of a sample


@dataset(
    "grid",
    paper="Böhle et al. 2021, arXiv:2104.00032, section 4; Rao et al. 2022, arXiv:2205.10435, section 3; Focus: arXiv:2109.15035",
    splits=(),
    gives=("boxes", "masks", "mosaic"),
    on_disk=False,
)
def grid(
    wrapped: WrappedData,
    load: LoadModel | None = None,
    *,
    n: PositiveInt = 2,
    cell: Literal["full", "shrunk"] = "full",
    model: str | None = None,
    confidence: NonNegativeFloat = 0.99,
    images: PositiveInt | None = None,
    mosaic: Literal["grid", "focus"] = "grid",
    seed: NonNegativeInt = 0,
) -> Grid:
    """Mosaics of n x n images of another data set: `grid(imagenet, n=2, model="resnet50")`.

    The images of a mosaic have distinct classes and no image stands in two mosaics. The label is the class of a drawn cell; box and
    mask are this cell, `cells` are the classes of all cells, row by row. The filter keeps images whose label is the prediction of a
    named model with a probability of at least `confidence`; `run.json` records the model and the hash of its weights.

    Args:
        wrapped: the data set; split and folder are its own.
        load: loads the model of the filter by name.
        n: number of rows and of columns.
        cell: `full`: cells have the size of the images; `shrunk`: the mosaic has, for networks of a fixed input size.
        model: model of the filter; default: no filter, with a warning.
        confidence: smallest probability; 0: no filter.
        images: number of mosaics; default: 500, or as many as the images fill.
        mosaic: `focus`: two cells of the label's class and one of each of two others, boxes and mask are both cells.
        seed: seed of images, classes and cells.

    Raises:
        UsageError: the images fill fewer mosaics, or are mosaics.
    """
    if n < 2 or confidence > 1:
        raise UsageError(f"grid(n={n}, confidence={confidence}): use n of 2 or more and a probability in [0, 1]")
    if isinstance(wrapped, Grid):
        raise UsageError("grid(grid(…)): a cell that is a mosaic shows several classes; use a larger n")
    cells, pool = cells_of(mosaic, n), candidates(wrapped, seed)
    if model is None or not confidence:
        if confidence:
            warnings.warn(
                f"grid: cells are not filtered; give model='NAME' for p >= {confidence}, or confidence=0", CamdbenchWarning, stacklevel=2
            )
        found, record = draw(pool, cells, images, _MOST, seed), dict[str, object]()
    elif load is None:
        raise UsageError(f"grid(model={model!r}): models are not loaded here; use confidence=0, or give load=camdbench.load_classifier")
    else:
        scorer, found = load(model), list[Mosaic]()
        for kept in filtered_pools(wrapped, scorer, confidence, pool):
            if len(found := draw(kept, cells, images, _MOST, seed)) == (images or _MOST):
                break
        record = {"model": model, "weights_hash": scorer.weights_hash(), "confidence": confidence}
    if len(found) < (images or 1):
        filtered = f" that {model} classifies with p >= {confidence}" if record else ""
        raise UsageError(
            f"grid(images={images or 1}): the {len(wrapped.ids)} images{filtered} fill {len(found)} mosaics of {sum(cells)} cells and "
            f"{len(cells)} classes; use {f'images={len(found)}, ' if found else ''}more images, a smaller n or a lower confidence"
        )
    return Grid(wrapped, tuple(found), n, cell, record)


@dataclass(frozen=True)
class Grid:
    """The data set of `grid(…)`.

    Attributes:
        data: the data set of the cells.
        mosaics: images of each mosaic.
        n: number of rows and of columns.
        cell: `full` or `shrunk`.
        filter: model, hash of its weights and confidence; empty without a filter.
    """

    data: Dataset
    mosaics: tuple[Mosaic, ...]
    n: int
    cell: Literal["full", "shrunk"] = "full"
    filter: Mapping[str, object] = field(default_factory=dict[str, object])

    @property
    def ids(self) -> Sequence[str]:
        """Ids of the images of a mosaic, joined by `+`."""
        return self._ids

    @property
    def classes(self) -> Sequence[str]:
        """Class names of the cells' data set."""
        return self.data.classes

    @property
    def class_rule(self) -> str | None:
        """How labels meet the classes of a network, as for the cells' data set."""
        return getattr(self.data, "class_rule", None)

    @property
    def labels(self) -> Sequence[int]:
        """Class of the drawn cell of each mosaic."""
        return self._labels

    @cached_property
    def _ids(self) -> list[str]:
        return ["+".join(self.data.ids[position] for position in own.positions) for own in self.mosaics]

    @cached_property
    def _labels(self) -> list[int]:
        return [self.data.labels[own.positions[own.drawn]] for own in self.mosaics]

    def __len__(self) -> int:
        return len(self.mosaics)

    def __getitem__(self, index: int) -> Sample:
        """Compose one mosaic.

        Raises:
            SampleError: an image cannot be read, or their sizes differ.
        """
        samples = [self.data[position] for position in self.mosaics[index].positions]
        if len(shapes := {tuple(own.image.shape[1:]) for own in samples}) > 1:
            sizes = ", ".join(f"{height} x {width}" for height, width in sorted(shapes))
            raise SampleError(f"{self.ids[index]}: cells of {sizes} pixels; choose a preprocess that crops to one size")
        canvas = self._canvas([own.image for own in samples])
        classes, label = tuple(own.label for own in samples), self.labels[index]
        boxes = cell_boxes((canvas.shape[1], canvas.shape[2]), self.n)
        masks = union_mask(list(boxes[:, None]), (canvas.shape[1], canvas.shape[2]))
        own = torch.tensor([name == label for name in classes])
        present = torch.zeros(len(self.classes), dtype=torch.bool)
        present[list(classes)] = True
        return Sample(
            self.ids[index],
            canvas,
            label,
            boxes[own],
            masks[own].any(0),
            present=present,
            class_masks=self._class_masks(classes, masks),
            cells=classes,
        )

    def _canvas(self, images: Sequence[Tensor]) -> Tensor:
        height, width = images[0].shape[1:]
        if self.cell == "shrunk":
            edges = cell_boxes((height, width), self.n).long().tolist()
            images = [_resized(image, (y1 - y0, x1 - x0)) for image, (x0, y0, x1, y1) in zip(images, edges, strict=True)]
        return torch.cat([torch.cat(list(images[start : start + self.n]), 2) for start in range(0, self.n**2, self.n)], 1)

    def _class_masks(self, classes: Sequence[int], masks: Tensor) -> Tensor | None:
        """Mask of each class; None where they would take too much memory."""
        if len(self.classes) * masks[0].numel() > _MASK_BYTES:
            return None
        found = torch.zeros(len(self.classes), *masks.shape[1:], dtype=torch.bool)
        for label, mask in zip(classes, masks, strict=True):
            found[label] |= mask
        return found

    def fingerprint(self) -> str:
        """Hash over the fingerprint of the cells' data set, the mosaics, and the model of the filter."""
        text = [self.data.fingerprint(), self.n, self.cell, self.ids, list(self.labels), sorted(self.filter.items())]
        return hashlib.sha256(repr(text).encode("utf-8", "surrogatepass")).hexdigest()[:16]


def _resized(image: Tensor, size: tuple[int, int]) -> Tensor:
    """An image (3, H, W) resized bilinearly with antialiasing."""
    return interpolate(image[None], size, mode="bilinear", antialias=True, align_corners=False)[0].clamp(0, 1)
