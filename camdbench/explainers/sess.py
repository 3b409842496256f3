"""SESS: another explainer's maps of windows at several scales, merged."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace
from typing import NamedTuple

import torch
import torch.nn.functional as F
from pydantic import PositiveInt
from torch import Tensor

from camdbench.core.cost import Cost, Repeat
from camdbench.core.difference import Difference
from camdbench.core.option_types import PositiveFraction
from camdbench.core.registries import explainer
from camdbench.explainers.common.masked_scoring import chunks, class_scores
from camdbench.explainers.common.saliency import Wrapped
from camdbench.explainers.common.trace import Trace
from camdbench.functional.normalise import upsample
from camdbench.functional.smooth_masks import blur_window

_RANKS = 16  # ranks whose windows are cut at a time


class Window(NamedTuple):
    """A window of an enlarged image, in its pixels.

    Attributes:
        scaled: height and width of the enlarged image.
        top: first row.
        left: first column.
        size: height and width of the window.
    """

    scaled: tuple[int, int]
    top: int
    left: int
    size: tuple[int, int]

    def cut(self, enlarged: Tensor) -> Tensor:
        """The window (B, 3, h, w) of enlarged images (B, 3, H', W')."""
        return enlarged[..., self.top : self.top + self.size[0], self.left : self.left + self.size[1]]

    def paste(self, map_: Tensor, size: tuple[int, int]) -> Tensor:
        """A map (h, w) of the window on an image (H, W), zero outside the window."""
        left, top = self.left, self.top
        around = (left, self.scaled[1] - left - self.size[1], top, self.scaled[0] - top - self.size[0])
        return upsample(F.pad(map_, around)[None], size)[0]


@explainer(
    "sess",
    paper="Tursun et al. 2022, arXiv:2207.01769, section 3",
    cost=Cost(forward=1, repeats=(Repeat("per window", forward=1),), wrapped="per kept window"),
    values="[0, 1]",
    differs=(
        Difference("released code", "a window with a constant map makes the merged map zero over that window", "here it is skipped"),
        Difference("released code", "takes square windows of 224 pixels", "the default here is the size of the image"),
        Difference("pytorch-grad-cam 1.5.7", "rounds the number of kept windows up", "13 of 122 windows with keep=0.1, here 12"),
    ),
)
def sess(
    trace: Trace, wrapped: Wrapped, *, scales: PositiveInt = 12, window: PositiveInt | None = None, keep: PositiveFraction = 0.1
) -> Tensor:
    r"""SESS: another explainer's maps of windows at several scales, weighted by class probability.

    .. math:: G * \frac{\sum_j m_j}{\sum_j [m_j > 0]}, \quad m_j = \frac{p_j}{\max_i p_i}\,E(x_j)

    The shorter side of the image is enlarged to w + round(2w / 7) i for i = 0, 1, ..., `scales` - 1; w is that of the windows, by
    default that of the image: 224, 288, ... 928 pixels. Windows are square if `window` is given and of the image's shape if not.
    They do not overlap, but the last is shifted into the image: 122 windows of a square image at 12 scales. The fraction `keep`
    with the highest class probabilities p_j is explained. Each finished map is pasted in its place, and a pixel gets the mean over the
    windows whose maps are positive there, so windows with a constant map are skipped. G is a Gaussian of 11 x 11 pixels, sigma 5.

    Returns:
        (B, H, W) in [0, 1].
    """
    windows = windows_of(trace.size, scales, window)
    best, order = _probabilities(trace, windows).sort(dim=1, descending=True, stable=True)  # (B, windows)
    weights = torch.where(best[:, :1] > 0, best / best[:, :1], 1)
    total, count = trace.images.new_zeros(len(best), *trace.size), trace.images.new_zeros(len(best), *trace.size)
    kept = order[:, : max(1, round(keep * len(windows)))]
    for rank, (chosen, images) in enumerate(_cut_windows(trace, windows, kept)):
        plain = replace(trace.batch, images=images, boxes=None, masks=None, class_masks=None, file_boxes=None)
        maps = weights[:, rank, None, None] * wrapped(trace.of(plain), may_be_constant=True).maps
        pasted = torch.stack([own.paste(map_, trace.size) for own, map_ in zip(chosen, maps, strict=True)])
        total, count = total + pasted, count + (pasted > 0)
    return blur_window(total / count.clamp_min(1), 11, 5.0)


def _probabilities(trace: Trace, windows: list[Window]) -> Tensor:
    """Class probabilities (B, windows)."""
    found, scaled, enlarged = list[Tensor](), trace.size, trace.images
    for part in chunks(trace, len(windows)):
        cuts = list[Tensor]()
        for own in windows[part]:  # scale by scale
            if own.scaled != scaled:
                scaled, enlarged = own.scaled, _enlarged(trace.images, own.scaled)
            cuts.append(own.cut(enlarged))
        images = torch.stack(cuts, 1)  # (B, n, 3, h, w)
        with torch.no_grad():
            logits = trace.score(images.flatten(0, 1))
        targets = trace.targets.repeat_interleave(images.shape[1])
        found.append(class_scores(logits, targets, "probability").reshape(images.shape[:2]))
    return torch.cat(found, 1)


def _cut_windows(trace: Trace, windows: list[Window], order: Tensor) -> Iterator[tuple[list[Window], Tensor]]:
    """Windows of rank 0, 1, … of each image, and their pixels (B, 3, h, w), from their numbers `order` (B, ranks).

    An image is enlarged once per scale for `_RANKS` ranks.
    """
    for start in range(0, order.shape[1], _RANKS):
        rows = [[windows[number] for number in own] for own in order[:, start : start + _RANKS].tolist()]
        cuts = list[list[Tensor]]()
        for image, chosen in zip(trace.images, rows, strict=True):
            large = {scaled: _enlarged(image[None], scaled) for scaled in {own.scaled for own in chosen}}
            cuts.append([own.cut(large[own.scaled]).clone() for own in chosen])
        for rank in range(len(rows[0])):
            yield [own[rank] for own in rows], torch.cat([own[rank] for own in cuts])


def windows_of(size: tuple[int, int], scales: int, window: int | None) -> list[Window]:
    """All windows of images of a size (H, W), scale by scale, row by row; arguments of `sess`.

    >>> [len([own for own in windows_of((224, 224), 12, None) if own.scaled[0] == 224 + 64 * index]) for index in range(12)]
    [1, 4, 4, 4, 9, 9, 9, 9, 16, 16, 16, 25]
    """
    shape = size if window is None else (window, window)
    short, found = min(shape), list[Window]()
    for index in range(scales):
        factor = (short + round(2 * short / 7) * index) / min(size)
        scaled = max(shape[0], round(size[0] * factor)), max(shape[1], round(size[1] * factor))
        tops, lefts = (_starts(whole, part) for whole, part in zip(scaled, shape, strict=True))
        found += [Window(scaled, top, left, shape) for top in tops for left in lefts]
    return found


def _starts(length: int, side: int) -> list[int]:
    """Where windows of `side` pixels begin: side by side, the last one ends with the image."""
    return [min(start, length - side) for start in range(0, length, side)]


def _enlarged(images: Tensor, size: tuple[int, int]) -> Tensor:
    if images.shape[-2:] == size:
        return images
    return F.interpolate(images, size, mode="bilinear", align_corners=False, antialias=True)
