"""Imputation curves: class scores while pixels are imputed (ROAD). Metrics share the pictures of each percentage."""

from __future__ import annotations

from typing import NamedTuple

import torch
from torch import Tensor

from camdbench.core.errors import UsageError
from camdbench.core.option_types import Imputer, Masking, ScoredClass
from camdbench.functional.curves import Output, pairs
from camdbench.functional.imputation import impute
from camdbench.metrics.common.inputs import MetricInputs
from camdbench.metrics.common.perturbation_curves import PathScores, PixelOrder, image_version, pixel_order
from camdbench.metrics.common.read_outs import read_out_of, read_outs


class Imputation(NamedTuple):
    """Settings of imputation and read-out.

    Attributes:
        percentages: percentages of imputed pixels, from 1 to 99.
        noise: standard deviation of the noise on pixels imputed from their neighbours.
        jitter: standard deviation of the noise on the map that breaks ties.
        masking: space of the noise and of the blank colour.
        scored_class: class whose score is read.
        scored_output: quantity that is read.
        fill: values of the imputed pixels.
    """

    percentages: tuple[int, ...]
    noise: float
    jitter: float
    masking: Masking
    scored_class: ScoredClass
    scored_output: Output
    fill: Imputer = "neighbours"


def imputed_scores(inputs: MetricInputs, how: Imputation, *, most_first: bool) -> PathScores:
    """Scores (B, K) of the images with each percentage of their pixels imputed, most or least relevant first.

    Raises:
        UsageError: a percentage is not below 100.
    """
    if not how.percentages or max(how.percentages) >= 100:
        raise UsageError(f"percentages = {how.percentages!r}: no pixel is left to impute from; give numbers from 1 to 99")
    ranks, constant = pixel_order(inputs, PixelOrder(most_first=most_first, jitter=how.jitter))
    known = inputs.cached(("imputed", how.noise, how.jitter, how.masking, how.fill, most_first), dict[int, Tensor])
    if missing := tuple(dict.fromkeys(percent for percent in how.percentages if percent not in known)):
        known |= zip(missing, _score(inputs, how._replace(percentages=missing), ranks).unbind(1), strict=True)
    place = read_out_of(how.scored_class, how.scored_output)
    return PathScores(torch.stack([known[percent][:, place] for percent in how.percentages], 1), constant)


def _score(inputs: MetricInputs, how: Imputation, ranks: Tensor) -> Tensor:
    """All read-outs (B, K, 7) of the images with each percentage of their pixels imputed."""
    images, found = inputs.images, list[Tensor]()
    counts = torch.tensor([ranks.shape[1] * percent // 100 for percent in how.percentages], device=images.device)
    noise = _noise(inputs, how) if how.fill == "neighbours" else None
    version = images if how.fill == "neighbours" else image_version(inputs, how.fill, how.masking).expand(images.shape)
    for image, point in pairs(len(images), len(counts), ranks.shape[1], images.device):
        known = (ranks[image] >= counts[point, None]).unflatten(1, images.shape[-2:])
        if noise is None:
            filled = torch.where(known.unsqueeze(1), images[image], version[image])
        else:
            filled = impute(images[image], known) + noise[image] * ~known.unsqueeze(1)
        found.append(read_outs(inputs, inputs.score(filled), image))
    return torch.cat(found).unflatten(0, (len(images), len(counts)))


def _noise(inputs: MetricInputs, how: Imputation) -> Tensor:
    """Noise (B, 3, H, W) added to imputed pixels in pixel space."""

    def draw() -> Tensor:
        fields = [torch.randn(inputs.images.shape[1:], generator=generator) for generator in inputs.generators("imputation")]
        return torch.stack(fields).to(inputs.images)

    scale = inputs.classifier.std if how.masking == "normalised" else 1
    return how.noise * scale * inputs.shared("noise on imputed pixels", draw)
