"""CGC loss as a metric: the map of a crop must match the crop of the map.

The paper's negatives are the other images of a batch, so its value depends on the batch. Here they are the same images for
all, drawn from the data set by the seed and explained once, so that the value of an image depends on that image alone.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Literal

import torch
from pydantic import NonNegativeInt, PositiveFloat
from torch import Tensor

from camdbench.core.metric_families import EXPLAINED_AGAIN, ZERO_FIRST_MAP
from camdbench.core.registries import metric
from camdbench.functional.contrastive import contrast_loss, cosine, cosines
from camdbench.functional.crops import Crop, draw_crop, warp
from camdbench.functional.normalise import upsample
from camdbench.metrics.common.inputs import AlteredImages, MetricInputs, SaliencyMaps
from camdbench.metrics.common.result import MetricResult

CGC_LOSS_PROTOCOLS = (
    EXPLAINED_AGAIN.variant("paper", maps="relu", options={"anchor": "map"}),
    EXPLAINED_AGAIN.variant("release", maps="relu", options={"anchor": "crop"}, paper="UCDvision/CGC"),
)


@metric(
    "cgc_loss",
    paper="Pillai et al. 2022, CGC, arXiv:2110.00527, section 3.1",
    higher_is_better=False,
    unit="",
    values="[0, inf)",
    aliases=("cgc_contrastive_loss",),
    tolerance=0.005,
    needs=("explainer",),
    explains=1,
    references="negatives",
    undefined=ZERO_FIRST_MAP,
    protocols=CGC_LOSS_PROTOCOLS,
)
def cgc_loss(
    inputs: MetricInputs,
    *,
    anchor: Literal["map", "crop"] = "map",
    negatives: NonNegativeInt = 31,
    temperature: PositiveFloat = 0.5,
    maps: Literal["relu", "default"] = "relu",
) -> MetricResult:
    r"""CGC contrastive loss: cross-entropy of matching the cropped map to the map of the crop.

    .. math:: -\log \frac{\exp(\cos(h, a) / \tau)}{\exp(\cos(h, a) / \tau) + \sum_j \exp(\cos(h, a_j) / \tau)}

    h is the cropped map, a the map of the image after the same crop, and a_j the map of a crop of another image, `negatives`
    of them. Crops are RandomResizedCrop (area 0.08 to 1, ratio 3/4 to 4/3) with a flip of probability 1/2, from (seed, image
    id). With 31 negatives and tau = 0.5, chance is 3.466, and the minimum for non-negative maps is 1.648.

    `anchor="map"` compares h with all a_j, as printed in the paper; `"crop"` compares a with h and the a_j, as in its code.
    `maps="relu"` rectifies the raw map, the paper's Grad-CAM. `--target predicted` is the paper's class.

    Returns:
        (B,) float64 in [0, inf), nats; lower is better.
    """
    own = _maps_at_image_size(maps, inputs.raw, inputs.saliency)
    crops = _draw_crops(own, inputs.generators("cgc_loss"))
    found = inputs.cached("map of the crop", lambda: _explain_crops(inputs, crops))
    moved, seen = warp(own, crops), _maps_at_image_size(maps, found.raw, found.maps)
    wrong = _negative_cosines(inputs, moved if anchor == "map" else seen, negatives, maps)
    losses = contrast_loss(cosine(moved, seen), wrong, temperature)
    empty = (own == 0).flatten(1).all(1).to(losses.device)
    return MetricResult(losses.masked_fill(empty, torch.nan), undefined=empty)


def _explain_crops(inputs: MetricInputs, crops: list[Crop]) -> SaliencyMaps:
    [found] = inputs.explain_versions("crops", lambda: [AlteredImages(warp(inputs.images, crops))], 1)
    return found


def _negative_cosines(inputs: MetricInputs, anchors: Tensor, count: int, how: str) -> Tensor:
    """Cosines (B, J) of the anchors with maps of `count` other images; of one more, each image leaves itself out, or the last."""
    if not count:
        return torch.empty(len(anchors), 0, dtype=torch.float64, device=anchors.device)
    parts = inputs.explain_others(count + 1, "cgc_loss", lambda images, generators: warp(images, _draw_crops(images, generators)))
    names = [name for ids, _ in parts for name in ids]
    size = (anchors.shape[-2], anchors.shape[-1])
    alike = torch.cat([cosines(anchors, upsample(_maps_at_image_size(how, found.raw, found.maps), size)) for _, found in parts], 1)
    without = [names.index(name) if name in names else count for name in inputs.ids]
    kept = [[index for index in range(count + 1) if index != own] for own in without]
    return alike.gather(1, torch.tensor(kept, device=alike.device))


def _draw_crops(images: Tensor, generators: Sequence[torch.Generator]) -> list[Crop]:
    return [draw_crop((images.shape[-2], images.shape[-1]), generator) for generator in generators]


def _maps_at_image_size(how: str, raw: Tensor | None, declared: Tensor) -> Tensor:
    """Maps (B, H, W) at image size."""
    if how == "default" or raw is None:
        return declared
    return upsample(raw.relu().float(), (declared.shape[-2], declared.shape[-1]))
