"""Class scores of the image masked by single channels: one forward pass for each distinct channel."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator
from typing import NamedTuple

import torch
from torch import Tensor

from camdbench.explainers.common.masked_scoring import Fill, Score, explained_scores, fill_image
from camdbench.explainers.common.trace import Trace
from camdbench.functional.pass_size import images_per_pass


class DistinctChannels(NamedTuple):
    """Distinct channels of a batch, with the image of each.

    Attributes:
        grids: (J, h, w).
        images: (J,) number of the image.
        numbers: (J,) number of the channel.
    """

    grids: Tensor
    images: Tensor
    numbers: Tensor

    def chunks(self, length: int) -> Iterator[DistinctChannels]:
        """The same, `length` at a time."""
        for start in range(0, len(self.grids), length):
            yield DistinctChannels(*(item[start : start + length] for item in self))


def channel_scores(trace: Trace, masks_of: Callable[[DistinctChannels], Iterable[Tensor]], fill: Fill, score: Score) -> Tensor:
    """Mean score (B, K) of the class under the masks that a channel makes.

    Args:
        trace: the batch through the layer.
        masks_of: one or several masks (J, H, W) for each of J channels; as many for every channel.
        fill: what stands where a mask is zero.
        score: how logits are read.
    """
    channels, places = distinct(trace.activations)
    background = fill_image(trace, fill)
    contrast = trace.images - background  # (B, 3, H, W)
    length = images_per_pass(trace.images.device, trace.size[0] * trace.size[1], dtype=trace.images.dtype)
    dtype = torch.promote_types(contrast.dtype, channels.grids.dtype)
    room = contrast.new_empty(min(length, len(channels.grids)), *contrast.shape[1:], dtype=dtype)  # of one pass, used again by the next
    found = list[Tensor]()
    for part in channels.chunks(length):
        total, count = contrast.new_zeros(len(part.images)), 0
        first, last = int(part.images[0]), int(part.images[-1])
        shown = contrast[first : first + 1] if first == last else contrast[part.images]  # the images are in their order
        for masks in masks_of(part):
            with torch.no_grad():
                logits = trace.score(torch.mul(shown, masks[:, None], out=room[: len(masks)]).add_(background))
            total, count = total + explained_scores(trace, logits, part.images, score), count + 1
        found.append(total / count)
    return torch.cat(found)[places]


def distinct(activations: Tensor) -> tuple[DistinctChannels, Tensor]:
    """The channels of (B, K, h, w) that differ within their image, and where each of the B x K is among them, (B, K).

    Constant channels make one mask, zero everywhere, and stand for each other; so do channels that are equal place by
    place. In both cases the scores that are not computed again would be the very same.
    """
    count, channels = activations.shape[:2]
    flat = activations.flatten(2)
    flat = flat.to(torch.promote_types(flat.dtype, torch.float32))  # half precision could not number the images
    flat = torch.where(flat.amax(2, keepdim=True) > flat.amin(2, keepdim=True), flat, 0)
    image = torch.arange(count, device=flat.device, dtype=flat.dtype)[:, None, None].expand(-1, channels, 1)
    inverse = torch.unique(torch.cat([image, flat], 2).flatten(0, 1), dim=0, return_inverse=True)[1]  # (B*K,)
    number = torch.arange(count * channels, device=flat.device)
    first = torch.full_like(number, count * channels).scatter_reduce(0, inverse, number, "amin")[inverse]
    kept = first == number
    places = (kept.cumsum(0) - 1)[first].unflatten(0, (count, channels))
    chosen = number[kept]
    return DistinctChannels(activations.flatten(0, 1)[chosen], chosen // channels, chosen % channels), places
