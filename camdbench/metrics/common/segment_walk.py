"""Scores while whole segments of the image are replaced. Metrics share the segments, and the pictures of each walk."""

from __future__ import annotations

from typing import NamedTuple

import torch
from torch import Tensor

from camdbench.core.option_types import Masking
from camdbench.functional.curves import PixelReplacement, of_ranges, point_ranges
from camdbench.functional.pass_size import images_per_pass
from camdbench.functional.pixel_order import segment_ranks
from camdbench.metrics.common.inputs import MetricInputs
from camdbench.metrics.common.perturbation_curves import Version, image_version
from camdbench.metrics.common.read_outs import READ_OUTS, read_outs


class Segments(NamedTuple):
    """Settings of scikit-image's SLIC on the image's own colours: number, `compactness` and `sigma` of the smoothing before."""

    segments: int
    compactness: float
    sigma: float


class SegmentWalk(NamedTuple):
    """Scores along a walk over segments.

    Attributes:
        scores: (B, 1 + L, 7) float64 on the CPU after each segment, in the order of `read_out_of`; L is the largest number of segments,
            and an image with fewer has NaN behind its last one.
        numbers: (B,) number of segments of each image.
        shares: (B, 1 + L) float64, fraction of pixels replaced; 1 behind the last segment.
    """

    scores: Tensor
    numbers: Tensor
    shares: Tensor


def segment_walk(inputs: MetricInputs, how: Segments, fill: Version, masking: Masking, *, most_first: bool) -> SegmentWalk:
    """Scores while segments are replaced by `fill` in order of their mean map value, most or least relevant first."""
    return inputs.cached(("segment walk", how, fill, masking, most_first), lambda: _walk(inputs, how, fill, masking, most_first=most_first))


def _walk(inputs: MetricInputs, how: Segments, fill: Version, masking: Masking, *, most_first: bool) -> SegmentWalk:
    labels = inputs.shared(("segments", *how), lambda: _segments(inputs.images, how))
    numbers = labels.flatten(1).amax(1) + 1  # (B,) on the CPU
    ranks = inputs.cached(("segment ranks", how), lambda: segment_ranks(inputs.saliency, labels))
    if most_first:
        scores = _scores(inputs, ranks, numbers + 1, image_version(inputs, fill, masking))
    else:
        ranks = numbers.to(ranks.device)[:, None] - 1 - ranks
        scores = _scores(inputs, ranks, numbers, image_version(inputs, fill, masking))
        rows, whole = torch.arange(len(numbers)), segment_walk(inputs, how, fill, masking, most_first=True)
        scores[rows, numbers] = whole.scores[rows, numbers]  # the same picture
    return SegmentWalk(scores, numbers, _shares(ranks.cpu(), int(numbers.max())))


def _segments(images: Tensor, how: Segments) -> Tensor:
    """Segment numbers of each pixel, from 0 without gaps, (B, H, W) int64 on the CPU."""
    from skimage.segmentation import slic

    found = list[Tensor]()
    for image in images.permute(0, 2, 3, 1).cpu().double():
        labels = slic(image.numpy(), n_segments=how.segments, compactness=how.compactness, sigma=how.sigma, start_label=0)
        found.append(torch.from_numpy(labels).unique(return_inverse=True)[1])
    return torch.stack(found)


def _shares(ranks: Tensor, length: int) -> Tensor:
    """Fraction of pixels of the first k segments, (B, 1 + L) float64, from ranks (B, P) of the pixels' segments."""
    sizes = torch.zeros(len(ranks), length, dtype=torch.float64).scatter_add_(1, ranks, torch.ones(ranks.shape, dtype=torch.float64))
    return torch.nn.functional.pad(sizes.cumsum(1) / ranks.shape[1], (1, 0))


def _scores(inputs: MetricInputs, ranks: Tensor, stops: Tensor, version: Tensor) -> Tensor:
    """Read-outs (B, 1 + L, 7) before any segment and after each of the first `stops` (B,) - 1; NaN behind."""
    images = inputs.images
    altered = PixelReplacement(images, version, ranks, torch.arange(int(ranks.max()) + 2, device=images.device))
    found = torch.full((len(images), int(ranks.max()) + 2, READ_OUTS), torch.nan, dtype=torch.float64)
    rows = torch.arange(len(images), device=images.device)
    found[:, 0] = read_outs(inputs, inputs.logits, rows)
    length = images_per_pass(images.device, ranks.shape[1], dtype=images.dtype)
    for batch in point_ranges(1, stops.tolist(), length):
        scores = read_outs(inputs, inputs.score(altered.images(batch)), of_ranges(rows, batch))
        for (image, points), part in zip(batch, scores.split([each.length for each in batch]), strict=True):
            found[image, points] = part
    return found
