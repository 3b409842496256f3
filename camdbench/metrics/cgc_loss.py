"""The CGC loss as a metric: does the map of a crop look like the crop of the map?

The paper's wrong maps are those of the other images of the batch, so its number depends on who shares the batch. Here
they are maps of other random crops of the same image, which a good explainer tells from the right one just as well:
they show the same object elsewhere and in another size. The value of an image then depends on that image alone;
chance, ln 32, and the floor, 1.648, stay where they were, but values are not comparable with the paper's Table 1.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Literal

import torch
from pydantic import NonNegativeInt, PositiveFloat
from torch import Tensor

from camdbench.core.catalogue import metric
from camdbench.core.protocols import Protocol
from camdbench.functional.contrast import contrast_loss, cosine
from camdbench.functional.crops import Crop, draw_crop, warp
from camdbench.functional.normalise import upsample
from camdbench.metrics.evidence import Evidence, Maps
from camdbench.metrics.measured import Measured


@metric(
    "cgc_loss",
    paper="Pillai et al. 2022, CGC, arXiv:2110.00527, sec. 3",
    higher_is_better=False,
    unit="",
    tolerance=0.005,
    needs=("explainer",),
    undefined="the map of the image as it is is zero everywhere",
    protocols=(
        Protocol("paper", scored="target", maps="relu", resize="bilinear", options={"anchor": "map"}),
        Protocol("release", paper="UCDvision/CGC", scored="target", maps="relu", resize="bilinear", options={"anchor": "crop"}),
    ),
)
def cgc_loss(
    evidence: Evidence,
    *,
    anchor: Literal["map", "crop"] = "map",
    negatives: NonNegativeInt = 31,
    temperature: PositiveFloat = 0.5,
    maps: Literal["relu", "as declared"] = "relu",
    warped: bool = False,
) -> Measured:
    """How badly the crop of the map is told, among maps of 32 crops, as the one that belongs to its own crop.

    -log exp(cos(h, a_0)/tau) / sum_j exp(cos(h, a_j)/tau), (B,): h is the map after the crop T_0, a_j the map of the
    image after the crop T_j; RandomResizedCrop (area 0.08 to 1, ratio 3/4 to 4/3) and a flip with probability 1/2,
    from (seed, image id). At 31 negatives and tau = 0.5 chance is 3.466 and the floor for maps without negative
    values 1.648. Explains `negatives` + 1 crops of each image.

    `anchor="map"` compares h with all a_j, as the paper prints it; `"crop"` compares a_0 with h and with the other a_j, as
    its code does. `maps="relu"` rectifies the raw map, the paper's Grad-CAM. With `warped` the wrong maps are crops T_j of
    the map instead of maps of crops, which saves explaining them and is the same for an explainer that follows crops
    exactly. The class is the explained one: with `--target predicted` the top one, as in the paper.
    """
    own = _finished(maps, evidence.raw, evidence.saliency)
    generators = [evidence.random(index, "cgc_loss") for index in range(len(evidence))]
    crops = [[draw_crop((own.shape[-2], own.shape[-1]), generator) for generator in generators] for _ in range(negatives + 1)]

    def of_crop(chosen: list[Crop]) -> Tensor:
        found: Maps = evidence.explain(warp(evidence.images, chosen))
        return _finished(maps, found.raw, found.maps)

    moved, seen = warp(own, crops[0]), of_crop(crops[0])
    wrong = _cosines(moved if anchor == "map" else seen, crops[1:], (lambda chosen: warp(own, chosen)) if warped else of_crop)
    dead = (own == 0).flatten(1).all(1)
    losses = contrast_loss(cosine(moved, seen), wrong, temperature)
    return Measured(losses.masked_fill(dead.to(losses.device), torch.nan), undefined=dead.to(losses.device))


def _finished(how: str, raw: Tensor | None, declared: Tensor) -> Tensor:
    """Maps (B, H, W) at image size."""
    if how == "as declared" or raw is None:
        return declared
    return upsample(raw.relu().float(), (declared.shape[-2], declared.shape[-1]))


def _cosines(anchors: Tensor, crops: list[list[Crop]], map_of: Callable[[list[Crop]], Tensor]) -> Tensor:
    """(B, J), of the anchors with the map of each crop; one crop at a time, so that maps need not be kept."""
    found = [cosine(anchors, map_of(chosen)) for chosen in crops]
    return torch.stack(found, 1) if found else torch.empty(len(anchors), 0, dtype=torch.float64, device=anchors.device)
