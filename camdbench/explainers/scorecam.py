"""Score-CAM, SS-CAM and IS-CAM: channels weighted by the class score of the image that they mask."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Literal

import torch
import torch.nn.functional as F
from pydantic import NonNegativeFloat, PositiveInt
from torch import Tensor

from camdbench.core.cost import Cost, Repeat
from camdbench.core.difference import Difference
from camdbench.core.registries import explainer
from camdbench.explainers.common.channel_masking import DistinctChannels, channel_scores
from camdbench.explainers.common.trace import Trace
from camdbench.explainers.common.weighted_channels import weighted_sum
from camdbench.functional.normalise import normalise, upsample


@explainer(
    "scorecam",
    paper="Wang et al. 2020, arXiv:1910.01279; Opti-CAM, eq. 3-4",
    cost=Cost(forward=1, repeats=(Repeat("per channel", forward=1),)),
    needs=("layer",),
    differs=(
        Difference("paper", "subtracts the score of a baseline", "none: it cancels in the softmax"),
        Difference("authors' code", "weights by the probability, without softmax (compat=author)", "masks of shortcuts move by up to 0.23"),
        Difference("pytorch-grad-cam", "enlarges masks with aligned corners (compat=pgc)", "masks of shortcuts move by up to 0.12"),
        Difference("torchcam", "normalises masks before it enlarges them (compat=torchcam)", "masks of shortcuts move by up to 0.02"),
        Difference(
            "libraries on a network that normalises inside",
            "mask pixels, so that zero is black (fill=black)",
            "masks of shortcuts move by up to 0.27",
        ),
    ),
)
def scorecam(
    trace: Trace,
    *,
    layer: str | None = None,
    fill: Literal["mean", "black"] = "mean",
    score: Literal["logit", "probability"] = "logit",
    compat: Literal["paper", "author", "pgc", "torchcam"] = "paper",
) -> Tensor:
    r"""Score-CAM: activations weighted by the softmax of class logits of the image masked by each channel.

    .. math:: \mathrm{ReLU}(\sum_k w_k A_k), \quad w = \mathrm{softmax}_k\,y(x \odot n(\mathrm{up}(A_k)))

    n scales to the range [0, 1]. The paper
    subtracts the score of a baseline, which cancels in the softmax. A constant channel, for which n is undefined, masks
    everything. If logits are large, one channel receives all the weight; `score="probability"` is milder. `fill` replaces
    masked pixels: the network's mean colour, as in the authors' code, which masks the normalised image, or black.

    `compat="author"` weights by the probability itself, without softmax and constant channels, regardless of `score`, and
    rectifies at image size. `pgc` enlarges masks with aligned corners. `torchcam` normalises before it enlarges.

    Returns:
        (B, h, w), non-negative; (B, H, W) for `compat="author"`.
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
    paper="Wang et al. 2020, arXiv:2006.14255, definition of the smoothed scores",
    cost=Cost(forward=1, repeats=(Repeat(("samples", "per channel"), forward=1),)),
    needs=("layer",),
    stochastic=True,
    differs=(
        Difference(
            "torchcam",
            "normalises masks before it enlarges them (compat=torchcam)",
            "AD of shortcuts-ce on 16 images with 4 samples: 34.25 in place of 34.24",
        ),
    ),
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
    r"""SS-CAM: Score-CAM with scores averaged over noisy copies of each mask.

    .. math:: w = \mathrm{softmax}_k\,\mathrm{mean}_d\,y(x \odot (n(\mathrm{up}(A_k)) + d))

    d is normal with standard deviation `std` per pixel, not clipped. The masks lie in [0, 1], so the noise of the default
    dominates them, as in torchcam. Noise depends on seed, image and channel alone. Without noise it is Score-CAM.
    `compat="torchcam"` normalises masks before it enlarges them.

    Returns:
        (B, h, w), non-negative.
    """
    seen = trace.at(layer)

    def noisy(part: DistinctChannels) -> Iterator[Tensor]:
        masks = _masks(part.grids, trace.size, compat)
        pairs = zip(part.images.tolist(), part.numbers.tolist(), strict=True)
        generators = [trace.random(image, f"sscam {channel}") for image, channel in pairs]
        for _ in range(samples):
            noise = torch.stack([torch.randn(trace.size, generator=generator) for generator in generators])
            yield masks + std * noise.to(masks.device)

    return weighted_sum(channel_scores(seen, noisy, fill, "logit").softmax(1), seen.activations, relu=True)


@explainer(
    "iscam",
    paper="Naidu et al. 2020, arXiv:2010.03023, definition of the integrated scores",
    cost=Cost(forward=1, repeats=(Repeat(("samples", "per channel"), forward=1),)),
    needs=("layer",),
    differs=(Difference("torchcam", "accumulates the strengths, to 5.5 for 10 samples (compat=torchcam)", "masks lie far above 1"),),
)
def iscam(
    trace: Trace,
    *,
    layer: str | None = None,
    samples: PositiveInt = 10,
    fill: Literal["mean", "black"] = "mean",
    compat: Literal["paper", "torchcam"] = "paper",
) -> Tensor:
    r"""IS-CAM: Score-CAM with scores integrated over the strength of each mask.

    .. math:: w = \mathrm{softmax}_k\,\frac{1}{N} \sum_{i=1}^{N} y(x \odot \frac{i}{N} n(\mathrm{up}(A_k)))

    N is `samples`: the path from the filled
    image to the masked one. One sample is Score-CAM. `compat="torchcam"` accumulates the strengths, 1/N, 3/N, 6/N …, so
    masks grow far beyond one, and normalises masks before it enlarges them.

    Returns:
        (B, h, w), non-negative.
    """
    seen = trace.at(layer)
    steps = torch.arange(1, samples + 1, dtype=torch.float64) / samples
    strengths = (steps.cumsum(0) if compat == "torchcam" else steps).tolist()

    def scaled(part: DistinctChannels) -> Iterator[Tensor]:
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
