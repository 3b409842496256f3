"""Images whose most or least relevant pixels are replaced, for training on what is left (ROAR and KAR)."""

from __future__ import annotations

import hashlib
from collections.abc import Sequence
from dataclasses import dataclass, replace
from functools import cached_property
from pathlib import Path
from typing import Literal

import numpy as np
import torch
from torch import Tensor

from camdbench.datasets.samples import Dataset, Sample
from camdbench.functional.imputation import impute
from camdbench.functional.seeding import generator_for

Fill = Literal["mean", "noisy linear"]
Elements = Literal["pixels", "values"]
_NOISE = 0.01  # standard deviation of the noise on imputed pixels (ROAD, Rong et al. 2022)


@dataclass(frozen=True)
class Replacement:
    """Which pixels are replaced, and by what.

    Attributes:
        share: percentage of the pixels that is replaced, in [0, 100].
        order: whether the `most` or the `least` relevant pixels are replaced.
        fill: `mean` colour, or `noisy linear`: the weighted mean of the neighbours, with noise.
        colour: mean colour of the training images, three numbers in [0, 1].
        shows: `images`, or only the `masks`: white where a pixel is kept, black where it is replaced.
        elements: what is ranked and replaced: `pixels` in all channels, or each of the 3 H W `values` alone (ROAR's released code).
    """

    share: float
    order: Literal["most", "least"]
    fill: Fill
    colour: tuple[float, ...]
    shows: Literal["images", "masks"] = "images"
    elements: Elements = "pixels"


@dataclass(frozen=True)
class Degraded:
    """A data set whose images lack some of their pixels, or of their values.

    Attributes:
        data: the data set.
        maps: file of the saliency maps, (N, H, W) float32 in the order of `data`, as numpy stores them.
        digest: hash of the contents of the file.
        how: which pixels are replaced, and by what.
        seed: seed of the order of pixels with equal values, and of the noise, by the id of the image.
    """

    data: Dataset
    maps: Path
    digest: str
    how: Replacement
    seed: int = 0

    @property
    def ids(self) -> Sequence[str]:
        """Stable names, in order."""
        return self.data.ids

    @property
    def classes(self) -> Sequence[str]:
        """Class names in the network's order."""
        return self.data.classes

    @property
    def labels(self) -> Sequence[int]:
        """Class indices, in order."""
        return self.data.labels

    @cached_property
    def _stored(self) -> np.ndarray:
        return np.load(self.maps, mmap_mode="r", allow_pickle=False)

    def __getitem__(self, index: int) -> Sample:
        """Read one sample and replace its pixels.

        Raises:
            SampleError: the image cannot be read.
        """
        sample = self.data[index]
        random = generator_for(self.seed, sample.id, "degraded")
        ranked = torch.from_numpy(np.array(self._stored[index]))
        if self.how.elements == "values":
            ranked = ranked.expand(len(sample.image), *ranked.shape)
        kept = kept_elements(ranked, self.how.share, self.how.order, random)
        if self.how.shows == "masks":
            return replace(sample, image=kept.to(sample.image).expand_as(sample.image).contiguous())
        return replace(sample, image=filled_image(sample.image, kept, self.how, random))

    def fingerprint(self) -> str:
        """Hash over the fingerprint of the data set, the maps and the replacement."""
        text = f"{self.data.fingerprint()}\0{self.digest}\0{self.how}\0{self.seed}"
        return hashlib.sha256(text.encode()).hexdigest()[:16]


def kept_elements(saliency: Tensor, share: float, order: Literal["most", "least"], random: torch.Generator) -> Tensor:
    """Elements, bool, of a map (H, W) or (3, H, W) that are kept when `share` per cent of them are replaced, rounded to whole elements.

    Equal values are ordered at random: a threshold would replace any number of the many zeros of a rectified map. A map has one value for
    the three channels of a pixel, so that these are equal, too.

    >>> kept_elements(torch.tensor([[0.1, 0.9], [0.5, 0.3]]), 50, "most", torch.Generator()).tolist()
    [[True, False], [False, True]]
    """
    values = saliency.double().flatten()
    shuffled = torch.randperm(len(values), generator=random)
    ranked = shuffled[torch.argsort(values[shuffled], descending=order == "most", stable=True)]
    kept = torch.ones(len(values), dtype=torch.bool)
    kept[ranked[: round(share / 100 * len(values))]] = False
    return kept.reshape(saliency.shape)


def filled_image(image: Tensor, kept: Tensor, how: Replacement, random: torch.Generator) -> Tensor:
    """An image (3, H, W) in [0, 1] with what is outside `kept`, (H, W) or (3, H, W), replaced; the image itself if nothing is."""
    if bool(kept.all()):
        return image
    filling = torch.tensor(how.colour, dtype=image.dtype)[:, None, None]
    if how.fill == "noisy linear" and bool(kept.flatten(-2).any(-1).all()):
        noise = _NOISE * torch.randn(image.shape, generator=random)
        found = impute(image[None], kept[None])[0] if kept.ndim == 2 else impute(image[:, None], kept)[:, 0]
        filling = (found + noise).clamp(0, 1)
    return torch.where(kept, image, filling)
