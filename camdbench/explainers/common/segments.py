"""Segmentation of images, and class scores without some segments."""

from __future__ import annotations

from typing import Literal, NamedTuple

import torch
from torch import Tensor

from camdbench.explainers.common.masked_scoring import Score, explained_scores, scores_under
from camdbench.explainers.common.trace import Trace
from camdbench.functional.cell_grid import cells
from camdbench.functional.pass_size import images_per_pass

How = Literal["quickshift", "grid"]
Spread = Literal["value", "density"]


class Segments(NamedTuple):
    """The segments of each image.

    Attributes:
        labels: (B, H, W) number of the segment that each pixel lies in, from 0.
        counts: B numbers of segments.
    """

    labels: Tensor
    counts: tuple[int, ...]

    def spread(self, values: list[Tensor], how: Spread = "value") -> Tensor:
        """One value per segment, B vectors, on every pixel of it: (B, H, W); as a `density`, divided by the segment's number of pixels."""
        if how == "density":
            sizes = [torch.bincount(labels.flatten(), minlength=len(row)) for row, labels in zip(values, self.labels, strict=True)]
            values = [row / size.to(row).clamp_min(1) for row, size in zip(values, sizes, strict=True)]
        rows = [row.float().to(self.labels.device)[labels] for row, labels in zip(values, self.labels, strict=True)]
        return torch.stack(rows)

    def totals(self, pixels: Tensor) -> Tensor:
        """Sums (B, C, K) of pixels (B, C, H, W) over each segment."""
        places = self.labels.flatten(1)[:, None].expand(-1, pixels.shape[1], -1)
        return pixels.new_zeros(*pixels.shape[:2], max(self.counts)).scatter_add_(2, places, pixels.flatten(2))

    def means(self, images: Tensor) -> Tensor:
        """Every pixel of images (B, 3, H, W) replaced by its segment's mean colour."""
        sizes = self.totals(torch.ones_like(images[:, :1])).clamp_min(1)
        colours = self.totals(images) / sizes  # (B, 3, K)
        return colours.gather(2, self.labels.flatten(1)[:, None].expand(-1, 3, -1)).reshape(images.shape)


def segment(trace: Trace, how: How, count: int) -> Segments:
    """The segments of a batch's images, each found from its image alone.

    Args:
        trace: the batch.
        how: `quickshift` on the colours (kernel size 4, maximal distance 200, ratio 0.2), or a `grid`.
        count: rows and columns of the grid.
    """
    if how == "grid":
        labels = cells(trace.size, min(count, *trace.size), trace.images.device).expand(len(trace.images), -1, -1)
    else:
        labels = torch.stack([_quickshift(image) for image in trace.images]).to(trace.images.device)
    return Segments(labels, tuple((labels.flatten(1).amax(1) + 1).tolist()))


def _quickshift(image: Tensor) -> Tensor:
    from skimage.segmentation import quickshift

    pixels = image.permute(1, 2, 0).cpu().double().numpy()
    return torch.from_numpy(quickshift(pixels, kernel_size=4, max_dist=200, ratio=0.2)).long()


def scores_without(trace: Trace, segments: Segments, kept: list[Tensor], fill: Tensor, score: Score) -> list[Tensor]:
    """Class scores with segments removed, B float64 vectors (N,) on the CPU.

    Args:
        trace: the batch.
        segments: of its images.
        kept: B matrices (N, K) of zeros and ones, one where a segment stays; rows and columns may differ by image.
        fill: what stands where a segment is off, broadcast to (B, 3, H, W).
        score: how logits are read.
    """
    rows, columns = max(len(row) for row in kept), max(segments.counts)
    padded = torch.ones(len(kept), rows, columns)
    for index, own in enumerate(kept):
        padded[index, : own.shape[0], : own.shape[1]] = own
    padded = padded.to(trace.images.device)
    places = segments.labels.flatten(1)[:, None]  # (B, 1, H*W)

    def masks_of(part: slice) -> Tensor:
        chosen = padded[:, part]
        return chosen.gather(2, places.expand(-1, chosen.shape[1], -1)).unflatten(2, trace.size)

    scores = scores_under(trace, rows, masks_of, fill, score).cpu().double()
    return [row[: len(own)] for row, own in zip(scores, kept, strict=True)]


def scores_of_rows(trace: Trace, segments: Segments, kept: list[Tensor], fill: Tensor, score: Score) -> list[Tensor]:
    """Class scores with segments removed, as `scores_without`, with as many passes as there are rows.

    Passes mix rows of different images, so an image with few segments costs few passes, whatever its batch mates.
    """
    device = trace.images.device
    owners = torch.tensor([index for index, own in enumerate(kept) for _ in own], device=device)
    rows = torch.cat([torch.nn.functional.pad(own, (0, max(segments.counts) - own.shape[1])) for own in kept]).to(trace.images)
    step = images_per_pass(device, trace.size[0] * trace.size[1], dtype=trace.images.dtype)
    fills, found = fill.expand_as(trace.images), list[Tensor]()
    for start in range(0, len(rows), step):
        own = owners[start : start + step]
        masks = rows[start : start + step].gather(1, segments.labels[own].flatten(1)).unflatten(1, trace.size)[:, None]
        with torch.no_grad():
            logits = trace.score(trace.images[own] * masks + fills[own] * (1 - masks))
        found.append(explained_scores(trace, logits, own, score).cpu().double())
    return list(torch.cat([*found, torch.zeros(0).double()]).split([len(own) for own in kept]))
