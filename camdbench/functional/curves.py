"""Perturbation curves: class scores while pixels of an image are gradually replaced."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import Literal, NamedTuple

import torch
from torch import Tensor

from camdbench.functional.probability import log_odds

Output = Literal["probability", "accuracy", "logit"]

PIXELS = 2**22  # pixels of altered images in memory at a time: 83 images of 224 x 224


def counts_by_step(total: int, step: int) -> tuple[int, ...]:
    """Number of replaced pixels at each point with `step` pixels per step; the last step takes the rest.

    >>> counts_by_step(10, 4)
    (0, 4, 8, 10)
    >>> len(counts_by_step(224 * 224, 224)), len(counts_by_step(224 * 224, 8 * 224))
    (225, 29)
    """
    return (*range(0, total, step), total)


def counts_by_share(total: int, intervals: int) -> tuple[int, ...]:
    """Number of replaced pixels at each point with equal intervals, rounded down.

    >>> counts_by_share(10, 4)
    (0, 2, 5, 7, 10)
    """
    return tuple(index * total // intervals for index in range(intervals + 1))


class PixelPairs(NamedTuple):
    """Pairs of image and curve point in one batch.

    Attributes:
        image: (N,) index of the image.
        point: (N,) index of the point.
    """

    image: Tensor
    point: Tensor


def pairs(images: int, points: int, pixels: int, device: torch.device) -> Iterator[PixelPairs]:
    """All pairs of images and points, image by image, in batches of at most `PIXELS` pixels."""
    length = max(1, PIXELS // pixels)
    for start in range(0, images * points, length):
        number = torch.arange(start, min(start + length, images * points), device=device)
        yield PixelPairs(number // points, number % points)


def ragged_pairs(counts: Tensor, pixels: int, device: torch.device) -> Iterator[PixelPairs]:
    """Pairs of image i with its own points 1, …, counts[i], in batches of at most `PIXELS` pixels."""
    image = torch.arange(len(counts)).repeat_interleave(counts).to(device)
    point = torch.cat([torch.arange(1, count + 1) for count in counts.tolist()]).to(device)
    length = max(1, PIXELS // pixels)
    for start in range(0, len(image), length):
        yield PixelPairs(image[start : start + length], point[start : start + length])


def replace_pixels(before: Tensor, after: Tensor, ranks: Tensor, counts: Tensor, selected: PixelPairs) -> Tensor:
    """Images (N, 3, H, W) with `after` at pixels whose rank is below the point's count, `before` elsewhere.

    Args:
        before: (B, 3, H, W).
        after: (B, 3, H, W), or one colour per image.
        ranks: (B, P) rank of each pixel.
        counts: (K,) number of replaced pixels at each point.
        selected: N pairs of image and point.
    """
    changed = ranks[selected.image] < counts[selected.point, None]  # (N, P)
    return torch.where(changed.unflatten(1, before.shape[-2:])[:, None], after[selected.image], before[selected.image])


def scores_along(
    network: Callable[[Tensor], Tensor],
    before: Tensor,
    after: Tensor,
    ranks: Tensor,
    counts: tuple[int, ...],
    classes: Tensor,
    score: Output,
) -> Tensor:
    """Perturbation curve from `before` to `after`: class scores at each point, (B, K) float64 on the CPU.

    Args:
        network: logits (N, C) of images (N, 3, H, W).
        before: (B, 3, H, W), or broadcastable to it.
        after: (B, 3, H, W), or broadcastable to it.
        ranks: (B, P) rank of each pixel in the order of replacement.
        counts: K points; pixels with a rank below the count are replaced.
        classes: (B,) scored class.
        score: scored output.
    """
    if not counts:
        return torch.empty(len(ranks), 0, dtype=torch.float64)
    shape = torch.broadcast_shapes(before.shape, after.shape, (len(ranks), 1, 1, 1))
    before, after = before.expand(shape), after.expand(shape)
    at = torch.tensor(counts, device=ranks.device)
    parts = [
        class_output(network(replace_pixels(before, after, ranks, at, batch)), classes[batch.image], score)
        for batch in pairs(len(ranks), len(counts), ranks.shape[1], ranks.device)
    ]
    return torch.cat(parts).unflatten(0, (len(ranks), len(counts)))


def class_output(logits: Tensor, classes: Tensor, score: Output) -> Tensor:
    """Score of class (N,) from logits (N, C): (N,) float64 on the CPU; NaN if the log-odds are NaN.

    `probability`: softmax; `accuracy`: 1 if the class is the arg-max, else 0.

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
    """Area under curves (B, K) at x (K,) by the trapezoidal rule, divided by the x-range: (B,).

    >>> area(torch.tensor([[0.0, 0.5, 1.0], [3.0, 3.0, 3.0]]), torch.tensor([0.0, 0.5, 1.0])).tolist()
    [0.5, 3.0]
    """
    if len(x) == 1:
        return y[:, 0]
    return torch.trapezoid(y, x.to(y), dim=1) / float(x[-1] - x[0])
