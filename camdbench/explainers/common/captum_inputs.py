"""What Captum methods take beside the images: baselines, segments of an image, places of a layer, and how many copies at once."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any, Literal

import torch
from torch import Tensor

from camdbench.explainers.common.captum_checks import check_layer
from camdbench.explainers.common.captum_methods import Attribution
from camdbench.explainers.common.masked_scoring import fill_image
from camdbench.explainers.common.segments import How, segment
from camdbench.explainers.common.trace import Trace
from camdbench.functional.pass_size import images_per_pass

OfImage = Callable[[Trace, int], Mapping[str, Any]]


def one_by_one(trace: Trace, index: int) -> Mapping[str, Any]:
    """No further arguments: the images are explained one by one, which bounds the memory of their copies."""
    del trace, index
    return {}


def copies_at_once(trace: Trace) -> int:
    """How many copies of an image pass in one batch."""
    if trace.classifier.batch_mates == "alone":
        return 1
    return images_per_pass(trace.images.device, trace.size[0] * trace.size[1], dtype=trace.images.dtype, gradients=True)


def baselines(kind: Literal["noise", "mean", "black"], count: int) -> OfImage:
    """Baselines (count, 3, H, W) of an image: uniform noise from its own generator, or copies of a colour."""

    def of_image(trace: Trace, index: int) -> Mapping[str, Any]:
        shape = (count, 3, *trace.size)
        if kind == "noise":
            return {"baselines": torch.rand(shape, generator=trace.random(index, "captum baselines")).to(trace.images)}
        return {"baselines": fill_image(trace, kind).expand(shape).to(trace.images)}

    return of_image


def features(how: How, cells: int) -> OfImage:
    """Mask (1, 3, H, W) of the segments of an image, numbered from 0."""

    def of_image(trace: Trace, index: int) -> Mapping[str, Any]:
        alone = trace.of(trace.batch.part(index, index + 1), targets=trace.targets[index : index + 1])
        return {"feature_mask": segment(alone, how, cells).labels[:, None].repeat(1, 3, 1, 1)}

    return of_image


def places(trace: Trace, layer: str | None) -> Tensor:
    """Mask of the output of a layer, (1, ...) in its own layout: numbers of the places of its grid, then one of all prefix tokens."""
    name = trace.layer_name if layer is None else trace.classifier.layer_name(layer)
    layout = check_layer(trace, Attribution("LayerFeatureAblation"), name)
    count = layout.height * layout.width
    grid = torch.arange(count, device=trace.images.device).reshape(1, 1, layout.height, layout.width)
    prefix = torch.full((1, layout.prefix, 1), count, device=trace.images.device)
    return layout.from_grid(grid, prefix)
