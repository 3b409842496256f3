"""Curves: what a network says while an image is replaced by another one, a few pixels at a time."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import Literal, NamedTuple

import torch
from torch import Tensor

from camdbench.functional.probability import log_odds

Output = Literal["probability", "accuracy", "logit"]

PIXELS = 2**22  # of altered images that exist at once: 83 of 224 x 224


def counts_by_step(total: int, step: int) -> tuple[int, ...]:
    """How many of `total` pixels are replaced at each point when every step replaces `step`, the last one what is left.

    >>> counts_by_step(10, 4)
    (0, 4, 8, 10)
    >>> len(counts_by_step(224 * 224, 224)), len(counts_by_step(224 * 224, 8 * 224))
    (225, 29)
    """
    return (*range(0, total, step), total)


def counts_by_share(total: int, intervals: int) -> tuple[int, ...]:
    """How many of `total` pixels are replaced at each point of so many intervals, rounded down.

    >>> counts_by_share(10, 4)
    (0, 2, 5, 7, 10)
    """
    return tuple(index * total // intervals for index in range(intervals + 1))


class PixelPairs(NamedTuple):
    """Images and points that are scored together.

    Attributes:
        image: (N,) number of the image.
        point: (N,) number of the point.
    """

    image: Tensor
    point: Tensor


def pairs(images: int, points: int, pixels: int, device: torch.device) -> Iterator[PixelPairs]:
    """Every image with every point, image by image, so many at a time that a bounded number of pixels is altered at once."""
    length = max(1, PIXELS // pixels)
    for start in range(0, images * points, length):
        number = torch.arange(start, min(start + length, images * points), device=device)
        yield PixelPairs(number // points, number % points)


def ragged_pairs(counts: Tensor, pixels: int, device: torch.device) -> Iterator[PixelPairs]:
    """The same where image i has its own points 1, …, counts[i]."""
    image = torch.arange(len(counts)).repeat_interleave(counts).to(device)
    point = torch.cat([torch.arange(1, count + 1) for count in counts.tolist()]).to(device)
    length = max(1, PIXELS // pixels)
    for start in range(0, len(image), length):
        yield PixelPairs(image[start : start + length], point[start : start + length])


def replace_pixels(before: Tensor, after: Tensor, ranks: Tensor, counts: Tensor, chosen: PixelPairs) -> Tensor:
    """Images (N, 3, H, W) that show `after` where a pixel's rank is below the point's count, and `before` elsewhere.

    Args:
        before: (B, 3, H, W).
        after: (B, 3, H, W), or one colour for each image.
        ranks: (B, P) the place of each pixel.
        counts: (K,) how many are replaced at each point.
        chosen: N images and points.
    """
    changed = ranks[chosen.image] < counts[chosen.point, None]  # (N, P)
    return torch.where(changed.unflatten(1, before.shape[-2:])[:, None], after[chosen.image], before[chosen.image])


def scores_along(  # what stands before and after, in which order, where and how it is read
    network: Callable[[Tensor], Tensor],
    before: Tensor,
    after: Tensor,
    ranks: Tensor,
    counts: tuple[int, ...],
    classes: Tensor,
    score: Output,
) -> Tensor:
    """What the network says at each point of the way from `before` to `after`, (B, K) float64 on the CPU.

    Args:
        network: logits (N, C) of images (N, 3, H, W).
        before: (B, 3, H, W), or what broadcasts to it.
        after: likewise.
        ranks: (B, P) the place of each pixel in the order of replacement.
        counts: K points; a pixel is replaced where its rank is below.
        classes: (B,) the class whose score is read.
        score: how it is read.
    """
    if not counts:
        return torch.empty(len(ranks), 0, dtype=torch.float64)
    shape = torch.broadcast_shapes(before.shape, after.shape, (len(ranks), 1, 1, 1))
    before, after = before.expand(shape), after.expand(shape)
    at = torch.tensor(counts, device=ranks.device)
    parts = [
        class_output(network(replace_pixels(before, after, ranks, at, chosen)), classes[chosen.image], score)
        for chosen in pairs(len(ranks), len(counts), ranks.shape[1], ranks.device)
    ]
    return torch.cat(parts).unflatten(0, (len(ranks), len(counts)))


def class_output(logits: Tensor, classes: Tensor, score: Output) -> Tensor:
    """The score of each class (N,) in logits (N, C), (N,) float64 on the CPU; NaN where the network gave no number.

    `probability` is a softmax, `accuracy` is 1 where the class has the largest logit, else 0.

    >>> class_output(torch.tensor([[0.0, 0.0], [2.0, 1.0]]), torch.tensor([0, 1]), "probability").round(decimals=4).tolist()
    [0.5, 0.2689]
    >>> class_output(torch.tensor([[0.0, 0.0], [2.0, 1.0]]), torch.tensor([0, 1]), "accuracy").tolist()
    [1.0, 0.0]
    """
    odds = log_odds(logits, classes)
    if score == "probability":
        return odds.sigmoid()
    if score == "logit":
        found = logits.detach().gather(1, classes[:, None]).squeeze(1).to("cpu", torch.float64)
    else:
        found = (logits.argmax(1) == classes).to("cpu", torch.float64)
    return torch.where(odds.isnan(), torch.nan, found)


def area(y: Tensor, x: Tensor) -> Tensor:
    """The mean height (B,) of curves (B, K) over places (K,): the area by trapezoids over the width of the x-range.

    >>> area(torch.tensor([[0.0, 0.5, 1.0], [3.0, 3.0, 3.0]]), torch.tensor([0.0, 0.5, 1.0])).tolist()
    [0.5, 3.0]
    """
    if len(x) == 1:
        return y[:, 0]
    return torch.trapezoid(y, x.to(y), dim=1) / float(x[-1] - x[0])
