"""Scores of masked images, computed in chunks of bounded size over images and masks."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import Literal, NamedTuple

import torch
from torch import Tensor

from camdbench.explainers.common.trace import Trace
from camdbench.functional.pass_size import images_per_pass
from camdbench.functional.seeding import generator_for

Fill = Literal["mean", "black"]
Score = Literal["probability", "logit", "sigmoid"]
Border = Literal["clamp", "mirror", "torchray"]


def score_masked(
    trace: Trace, count: int, masks_of: Callable[[slice], Tensor], fill: Tensor, score: Score
) -> Iterator[tuple[Tensor, Tensor]]:
    """Yield masks and the scores (B, n) of all images under each, chunk by chunk, without gradients.

    Args:
        trace: the batch.
        count: number of masks N.
        masks_of: the masks of a slice of range(N): (n, H, W), one bank for all images, or (B, n, H, W). 1 keeps a pixel.
        fill: what stands where a mask is zero, broadcast to (B, 3, H, W).
        score: how logits are read.
    """
    images = len(trace.images)
    groups = max(1, images // _images_per_pass(trace))  # where the batch alone is more than a pass
    rows = [slice(index * images // groups, (index + 1) * images // groups) for index in range(groups)]
    for part in chunks(trace, count):
        masks = masks_of(part)
        yield masks, torch.cat([_scores(trace, own, masks if masks.ndim == 3 else masks[own], fill, score) for own in rows])


def _scores(trace: Trace, rows: slice, masks: Tensor, fill: Tensor, score: Score) -> Tensor:
    """Scores (R, n) of the images of R rows of the batch under masks (n, H, W) or (R, n, H, W)."""
    weights = masks.unsqueeze(-3)  # (n, 1, H, W) or (R, n, 1, H, W)
    perturbed = trace.images[rows][:, None] * weights
    perturbed += (fill if len(fill) == 1 else fill[rows])[:, None] * (1 - weights)  # (R, n, 3, H, W)
    shape = perturbed.shape[:2]
    with torch.no_grad():
        logits = trace.score(perturbed.flatten(0, 1))
    images = torch.arange(len(trace.images), device=logits.device)[rows]
    return explained_scores(trace, logits, images.repeat_interleave(shape[1]), score).reshape(shape)


def chunks(trace: Trace, count: int, *, gradients: bool = False) -> Iterator[slice]:
    """Slices of range(count), so short that all images of the batch under each pass at a time.

    Args:
        trace: the batch.
        count: how often each image is altered.
        gradients: whether activations are kept for a backward pass.
    """
    step = max(1, _images_per_pass(trace, gradients=gradients) // len(trace.images))
    for start in range(0, count, step):
        yield slice(start, min(start + step, count))


def _images_per_pass(trace: Trace, *, gradients: bool = False) -> int:
    return images_per_pass(trace.images.device, trace.size[0] * trace.size[1], dtype=trace.images.dtype, gradients=gradients)


def scores_under(trace: Trace, count: int, masks_of: Callable[[slice], Tensor], fill: Tensor, score: Score) -> Tensor:
    """Scores (B, N) of all images under all masks; arguments as of `score_masked`."""
    return torch.cat([scores for _, scores in score_masked(trace, count, masks_of, fill, score)], 1)


def explained_scores(trace: Trace, logits: Tensor, rows: Tensor | None, score: Score) -> Tensor:
    """Scores (N,) of altered images of a batch from their logits (N, C).

    Args:
        trace: the batch.
        logits: of the altered images.
        rows: (N,) the place in the batch of each; None: the images of the batch in their order.
        score: how logits are read if the explained class is scored, the default objective; another objective is scored itself.
    """
    if not trace.objective.is_logit:
        return trace.explained(logits, rows)
    return class_scores(logits, trace.targets if rows is None else trace.targets[rows], score)


def class_scores(logits: Tensor, targets: Tensor, score: Score) -> Tensor:
    """Scores (N,) of targets (N,) from logits (N, C): probability, logit, or sigmoid of the logit.

    The probability is the sigmoid of the log-odds, so that small ones keep their digits.
    """
    chosen = logits.gather(1, targets[:, None])
    if score != "probability":
        return chosen.squeeze(1) if score == "logit" else chosen.squeeze(1).sigmoid()
    others = logits.scatter(1, targets[:, None], -torch.inf)
    return (chosen.squeeze(1) - others.logsumexp(1)).sigmoid()


def fill_image(trace: Trace, fill: Fill) -> Tensor:
    """Colour of removed pixels, (1, 3, 1, 1): `mean` is zero after the network's normalisation."""
    return trace.classifier.mean if fill == "mean" else torch.zeros_like(trace.classifier.mean)


class RandomMasks(NamedTuple):
    """Random masks (Petsiuk et al. 2018, section 3.2): small binary grids, enlarged bilinearly and cropped at random.

    Attributes:
        grids: (N, s, s) zeros and ones.
        shifts: (N, 2) where each crop begins, in pixels, less than a cell.
        size: height and width of the masks.
        border: outside the outermost nodes, `clamp` continues their values and `mirror` mirrors the grid, as the authors' code;
            `torchray` mirrors it too, with nodes ceil((H + cell) / s) pixels apart instead of cell (s + 1) / s.
    """

    grids: Tensor
    shifts: Tensor
    size: tuple[int, int]
    border: Border = "clamp"

    def masks(self, part: slice) -> Tensor:
        """Masks (n, H, W) in [0, 1] of a slice."""
        rows, columns = (self._weights(axis, self.shifts[part, axis]) for axis in (0, 1))
        return rows @ self.grids[part] @ columns.transpose(1, 2)

    def _weights(self, axis: int, shifts: Tensor) -> Tensor:
        """Bilinear weights (n, side, s) of the grid's nodes on each row (axis 0) or column (axis 1) of a crop."""
        side, nodes = self.size[axis], self.grids.shape[1]
        cell = -(-side // nodes)
        enlarged = nodes * -(-(side + cell) // nodes) if self.border == "torchray" else (nodes + 1) * cell
        pixels = torch.arange(side, device=shifts.device) + shifts[:, None]
        places = (pixels + 0.5) * nodes / enlarged - 0.5  # corners not aligned
        if self.border != "clamp":
            places = (nodes - 1) - ((nodes - 1) - places.abs()).abs()
        places = places.clamp(0, nodes - 1)
        return (1 - (places[..., None] - torch.arange(nodes, device=shifts.device)).abs()).clamp_min(0).to(self.grids)


def random_masks(trace: Trace, count: int, nodes: int, keep: float, border: Border = "clamp") -> RandomMasks:
    """The random masks of a seed: the same for every image, batch and method with equal arguments.

    Args:
        trace: the batch, for its seed, size and device.
        count: number of masks.
        nodes: rows and columns of the small grids.
        keep: probability that a node is one.
        border: see `RandomMasks`.
    """
    generator = generator_for(trace.seed, "", "mask bank")
    grids = (torch.rand(count, nodes, nodes, generator=generator) < keep).float()
    cell = [-(-side // nodes) for side in trace.size]
    shifts = torch.stack([torch.randint(side, (count,), generator=generator) for side in cell], 1)
    return RandomMasks(grids.to(trace.images), shifts.to(trace.images.device), trace.size, border)
