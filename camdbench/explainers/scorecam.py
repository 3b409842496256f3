"""Score-CAM, SS-CAM and IS-CAM: channels weighted by what the class scores when they mask the image."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Literal

import torch
import torch.nn.functional as F
from pydantic import NonNegativeFloat, PositiveInt
from torch import Tensor

from camdbench.core.catalogue import explainer
from camdbench.explainers.channels import weighted_sum
from camdbench.explainers.masking import Channels, channel_scores
from camdbench.explainers.trace import Trace
from camdbench.functional.normalise import normalise, upsample


@explainer(
    "scorecam",
    paper="Wang et al. 2020, arXiv:1910.01279; Opti-CAM, eq. 3-4",
    cost="1 forward + 1 forward for each distinct channel",
    needs=("layer",),
)
def scorecam(
    trace: Trace,
    *,
    layer: str | None = None,
    fill: Literal["mean", "black"] = "mean",
    score: Literal["logit", "probability"] = "logit",
    compat: Literal["paper", "author", "pgc", "torchcam"] = "paper",
) -> Tensor:
    """Activations weighted by the softmax of the class's scores when each channel masks the image.

    (B, h, w). The mask of channel k is n(up(A_k)), n to the range [0, 1]; w = softmax over channels of the class's logits
    under the masks; the map is relu(sum_k w_k A_k). The paper subtracts the score of a baseline, which the softmax
    cancels. A constant channel, for which n is not defined, masks everything. The softmax takes logits as they are:
    where they are large one channel takes all. `score="probability"` is milder. `fill` is what a mask hides a pixel
    behind: the network's mean, which the authors' code does by masking the normalised image, or black.

    `author` weighs by the probability itself, without a softmax and without constant channels, whatever `score` says,
    and rectifies at image size, (B, H, W); `pgc` enlarges masks with aligned corners; `torchcam` normalises before it
    enlarges.
    """
    seen = trace.at(layer)
    activations = seen.activations
    scores = channel_scores(
        seen, lambda part: [_masks(part.grids, trace.size, compat)], fill, "probability" if compat == "author" else score
    )
    if compat != "author":
        return weighted_sum(scores.softmax(1), activations, relu=True)
    alive = activations.amax((2, 3)) > activations.amin((2, 3))
    return upsample(weighted_sum(torch.where(alive, scores, 0), activations, relu=False), trace.size).relu()


@explainer(
    "sscam",
    paper="Wang et al. 2020, arXiv:2006.14255",
    cost="1 forward + 35 forward for each distinct channel",
    needs=("layer",),
    stochastic=True,
)
def sscam(
    trace: Trace,
    *,
    layer: str | None = None,
    samples: PositiveInt = 35,
    std: NonNegativeFloat = 2.0,
    fill: Literal["mean", "black"] = "mean",
    compat: Literal["paper", "torchcam"] = "paper",
) -> Tensor:
    """Score-CAM with scores averaged over noisy copies of each mask.

    (B, h, w). w = softmax over channels of the mean logit under n(up(A_k)) + d, d normal with standard deviation `std`,
    pixel by pixel, and not clipped: the masks lie in [0, 1], so the noise of the default outweighs them, as in
    torchcam. Noise depends on seed, image and channel alone. Without noise it is Score-CAM. `torchcam` normalises masks
    before it enlarges them.
    """
    seen = trace.at(layer)

    def noisy(part: Channels) -> Iterator[Tensor]:
        masks = _masks(part.grids, trace.size, compat)
        pairs = zip(part.images.tolist(), part.numbers.tolist(), strict=True)
        generators = [trace.random(image, f"sscam {channel}") for image, channel in pairs]
        for _ in range(samples):
            noise = torch.stack([torch.randn(trace.size, generator=generator) for generator in generators])
            yield masks + std * noise.to(masks.device)

    return weighted_sum(channel_scores(seen, noisy, fill, "logit").softmax(1), seen.activations, relu=True)


@explainer(
    "iscam",
    paper="Naidu et al. 2020, arXiv:2010.03023",
    cost="1 forward + 10 forward for each distinct channel",
    needs=("layer",),
)
def iscam(
    trace: Trace,
    *,
    layer: str | None = None,
    samples: PositiveInt = 10,
    fill: Literal["mean", "black"] = "mean",
    compat: Literal["paper", "torchcam"] = "paper",
) -> Tensor:
    """Score-CAM with scores integrated over the strength of each mask.

    (B, h, w). w = softmax over channels of the mean logit under (i / N) n(up(A_k)), i = 1 .. N, N being `samples`: the
    path from the hidden image to the masked one. One sample is Score-CAM. `torchcam` adds the strengths up as it goes,
    1/N, 3/N, 6/N …, so that masks grow far beyond one, and normalises masks before it enlarges them.
    """
    seen = trace.at(layer)
    steps = torch.arange(1, samples + 1, dtype=torch.float64) / samples
    strengths = (steps.cumsum(0) if compat == "torchcam" else steps).tolist()

    def scaled(part: Channels) -> Iterator[Tensor]:
        masks = _masks(part.grids, trace.size, compat)
        return (strength * masks for strength in strengths)

    return weighted_sum(channel_scores(seen, scaled, fill, "logit").softmax(1), seen.activations, relu=True)


def _masks(grids: Tensor, size: tuple[int, int], compat: str) -> Tensor:
    """Channels (J, h, w) as masks (J, H, W) in [0, 1]; constant ones as zeros."""
    if compat == "torchcam":
        return upsample(normalise(grids, "range"), size)
    if compat == "pgc":
        return normalise(F.interpolate(grids.unsqueeze(1), size=size, mode="bilinear", align_corners=True).squeeze(1), "range")
    return normalise(upsample(grids, size), "range")
