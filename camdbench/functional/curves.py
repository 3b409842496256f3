"""Perturbation curves: class scores while pixels of an image are gradually replaced."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from typing import Literal, NamedTuple

import torch
from torch import Tensor

from camdbench.functional.pass_size import images_per_pass
from camdbench.functional.probability import log_odds

Output = Literal["probability", "accuracy", "logit", "objective"]
CLASS_OUTPUTS: tuple[Output, ...] = ("probability", "accuracy", "logit")

_BITS = {2: torch.int16, 4: torch.int32, 8: torch.int64}  # integers as wide as floating-point numbers


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
    """All pairs of images and points, image by image, as many at a time as pass at once."""
    length = images_per_pass(device, pixels)
    for start in range(0, images * points, length):
        number = torch.arange(start, min(start + length, images * points), device=device)
        yield PixelPairs(number // points, number % points)


class PointRange(NamedTuple):
    """Consecutive points of one image's curve.

    Attributes:
        image: index of the image.
        points: indices of the points.
    """

    image: int
    points: slice

    @property
    def length(self) -> int:
        """Number of points."""
        return self.points.stop - self.points.start


def point_ranges(first: int, stops: Sequence[int], length: int) -> Iterator[list[PointRange]]:
    """Points first, …, stops[i] - 1 of each image i, in batches of at most `length` points.

    >>> for batch in point_ranges(0, (3, 2), 4):
    ...     print([(own.image, own.points.start, own.points.stop) for own in batch])
    [(0, 0, 3), (1, 0, 1)]
    [(1, 1, 2)]
    """
    batch, room = list[PointRange](), length
    for image, stop in enumerate(stops):
        start = first
        while start < stop:
            batch.append(PointRange(image, slice(start, min(stop, start + room))))
            start, room = start + batch[-1].length, room - batch[-1].length
            if not room:
                yield batch
                batch, room = [], length
    if batch:
        yield batch


def of_ranges(values: Tensor, batch: Sequence[PointRange]) -> Tensor:
    """Value of the image of each of N points, (N,), of values (B,)."""
    return torch.cat([values[own.image].expand(own.length) for own in batch])


class PixelReplacement:
    """Images with some pixels of one version and the others of another.

    The versions are mixed bit by bit, without branches: a selection by a mask of scattered pixels takes ten times as long on a CPU.

    Args:
        before: (B, 3, H, W), or broadcastable to it.
        after: (B, 3, H, W), or broadcastable to it.
        ranks: (B, P) rank of each pixel in the order of replacement.
        counts: (K,) number of replaced pixels at each point.
    """

    def __init__(self, before: Tensor, after: Tensor, ranks: Tensor, counts: Tensor) -> None:
        shape = torch.broadcast_shapes(before.shape, after.shape, (len(ranks), 1, 1, 1))
        self._dtype = torch.promote_types(before.dtype, after.dtype)
        start, end = (version.detach().to(self._dtype).view(_BITS[self._dtype.itemsize]) for version in (before, after))
        self._before, self._difference = start.expand(shape), (start ^ end).expand(shape)
        self._room = self._before.new_empty(0, *shape[1:])
        self._ranks, self._counts = ranks.int().unflatten(1, shape[-2:]), counts.int().reshape(-1, 1, 1, 1)

    def images(self, batch: Sequence[PointRange]) -> Tensor:
        """Images (N, 3, H, W) with `after` at pixels whose rank is below the point's count, `before` elsewhere; until the next call."""
        counts = [own.length for own in batch]
        if len(self._room) < sum(counts):
            self._room = self._before.new_empty(sum(counts), *self._before.shape[1:])
        for place, (image, points) in zip(self._room[: sum(counts)].split(counts), batch, strict=True):
            changed = (self._ranks[image] - self._counts[points]).bitwise_right_shift_(31).to(place.dtype)  # all bits or none
            torch.bitwise_and(changed, self._difference[image], out=place)
            place.bitwise_xor_(self._before[image])
        return self._room[: sum(counts)].view(self._dtype)


def scores_along(
    network: Callable[[Tensor], Tensor],
    before: Tensor,
    after: Tensor,
    ranks: Tensor,
    counts: tuple[int, ...],
    read: Callable[[Tensor, Tensor], Tensor],
) -> Tensor:
    """Perturbation curve from `before` to `after`: scores at each point, (B, K, …) as `read` returns them.

    Args:
        network: logits (N, C) of images (N, 3, H, W).
        before: (B, 3, H, W), or broadcastable to it.
        after: (B, 3, H, W), or broadcastable to it.
        ranks: (B, P) rank of each pixel in the order of replacement.
        counts: K points, at least one; pixels with a rank below the count are replaced.
        read: scores (N, …) of logits (N, C) and the places (N,) of their images in the batch.
    """
    altered = PixelReplacement(before, after, ranks, torch.tensor(counts, device=ranks.device))
    length = images_per_pass(ranks.device, ranks.shape[1], dtype=before.dtype)
    parts, rows = list[Tensor](), torch.arange(len(ranks), device=ranks.device)
    for batch in point_ranges(0, [len(counts)] * len(ranks), length):
        parts.append(read(network(altered.images(batch)), of_ranges(rows, batch)))
    return torch.cat(parts).unflatten(0, (len(ranks), len(counts)))


def class_output(logits: Tensor, classes: Tensor, score: Output) -> Tensor:
    """Score of class (N,) from logits (N, C): (N,) float64 on the CPU; NaN if the log-odds are NaN.

    `probability`: softmax; `accuracy`: 1 if the class is the arg-max, else 0.

    >>> class_output(torch.tensor([[0.0, 0.0], [2.0, 1.0]]), torch.tensor([0, 1]), "probability").round(decimals=4).tolist()
    [0.5, 0.2689]
    >>> class_output(torch.tensor([[0.0, 0.0], [2.0, 1.0]]), torch.tensor([0, 1]), "accuracy").tolist()
    [1.0, 0.0]
    """
    return _output(logits, classes, log_odds(logits, classes), score)


def class_outputs(logits: Tensor, classes: Tensor) -> Tensor:
    """Scores of class (N,) from logits (N, C) by each of `CLASS_OUTPUTS`: (N, 3) float64 on the CPU; see `class_output`."""
    odds = log_odds(logits, classes)
    return torch.stack([_output(logits, classes, odds, score) for score in CLASS_OUTPUTS], 1)


def _output(logits: Tensor, classes: Tensor, odds: Tensor, score: Output) -> Tensor:
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
