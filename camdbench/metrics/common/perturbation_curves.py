"""Perturbation curves: class scores while pixels are gradually replaced. Cached, so that metrics share them."""

from __future__ import annotations

from dataclasses import dataclass, replace
from functools import partial
from typing import Literal, NamedTuple

import torch
from torch import Tensor

from camdbench.core.errors import NotApplicable
from camdbench.core.option_types import MapStatistics, Masking, ScoredClass
from camdbench.functional.curves import Output, area, scores_along
from camdbench.functional.fill_values import lowest, rise_blur
from camdbench.functional.normalise import is_constant
from camdbench.functional.pixel_order import TieRule, grid_ranks, pixel_ranks, sliding_ranks
from camdbench.metrics.common.inputs import AlteredImages, MetricInputs
from camdbench.metrics.common.read_outs import read_out_of, read_outs
from camdbench.metrics.common.result import Curve, MetricResult
from camdbench.models.single_image_norm import with_own_statistics

Version = Literal["image", "blank", "blurred", "lowest", "uniform", "average"]


@dataclass(frozen=True)
class PixelOrder:
    """Order in which pixels are replaced.

    Attributes:
        most_first: whether the most relevant come first.
        ties: order of equal pixels.
        patch: side of the patches that are replaced together; 1 for pixels.
        sliding: number of patches at free positions without overlap; 0 for a grid.
        maps: maps that give the order: the explainer's, or those with the batch statistics of each image alone.
        jitter: standard deviation of noise on the map that breaks ties; 0 for none.
    """

    most_first: bool = True
    ties: TieRule = "first"
    patch: int = 1
    sliding: int = 0
    maps: MapStatistics = "default"
    jitter: float = 0.0


@dataclass(frozen=True)
class PerturbationPath:
    """Order, extent and fill of a perturbation, and read-out of the network.

    Attributes:
        order: order of replacement.
        counts: number of replaced pixels or patches at each point.
        before: version of the image at the start.
        after: version of the image at the end.
        masking: colour space: `pixels`, where blank is black, or `normalised`, where it is the mean colour.
        scored_class: class whose score is read.
        scored_output: quantity that is read.
    """

    order: PixelOrder
    counts: tuple[int, ...]
    before: Version
    after: Version
    masking: Masking
    scored_class: ScoredClass
    scored_output: Output


class PathScores(NamedTuple):
    """Scores along a perturbation path.

    Attributes:
        scores: (B, K) float64 on the CPU.
        constant: (B,) bool on the CPU, whether the map is constant and gives no order.
    """

    scores: Tensor
    constant: Tensor


def path_scores(inputs: MetricInputs, path: PerturbationPath) -> PathScores:
    """Scores along a path; metrics with the same pictures share their passes, whatever they read, and paths share their ends."""
    pictures = replace(path, scored_class="target", scored_output="probability")
    found = inputs.cached(("walk", pictures), lambda: _path_scores(inputs, pictures))
    return PathScores(found[:, :, read_out_of(path.scored_class, path.scored_output)], pixel_order(inputs, path.order)[1])


def _path_scores(inputs: MetricInputs, path: PerturbationPath) -> Tensor:
    """All read-outs (B, K, 7) of the pictures of a path."""
    ranks, _ = pixel_order(inputs, path.order)
    ends: dict[int, Version] = {0: path.before}  # the counts at which a whole version shows
    if path.order.patch == 1:
        ends[ranks.shape[1]] = path.after
    inner = tuple(count for count in path.counts if count not in ends)
    before, after = (image_version(inputs, name, path.masking) for name in (path.before, path.after))

    read = partial(read_outs, inputs)
    columns = dict(zip(inner, scores_along(inputs.score, before, after, ranks, inner, read).unbind(1), strict=True)) if inner else {}
    rows = torch.arange(len(inputs), device=ranks.device)
    columns |= {count: read(version_logits(inputs, name, path.masking), rows) for count, name in ends.items() if count in path.counts}
    return torch.stack([columns[count] for count in path.counts], 1)


def area_under(inputs: MetricInputs, path: PerturbationPath, total: int | None = None) -> MetricResult:
    """Area under the curve over fractions of pixels, in per cent; undefined for a constant map.

    Args:
        inputs: the batch.
        path: perturbation and read-out.
        total: number of pixels or patches; default: that of the last point.
    """
    scores, constant = path_scores(inputs, path)
    x = torch.tensor(path.counts, dtype=torch.float64) / (total or path.counts[-1])
    return MetricResult(torch.where(constant, torch.nan, 100 * area(scores, x)), constant, {"curve": Curve(x, scores)})


def scored_classes(inputs: MetricInputs, scored_class: ScoredClass) -> Tensor:
    """Classes (B,) whose score is read."""
    return inputs.targets if scored_class == "target" else inputs.predictions


def pixel_order(inputs: MetricInputs, order: PixelOrder) -> tuple[Tensor, Tensor]:
    """Rank (B, P) of each pixel, and whether the map is constant (B,), on the CPU."""
    return inputs.cached(("ordering", order), lambda: _pixel_order(inputs, order))


def _pixel_order(inputs: MetricInputs, order: PixelOrder) -> tuple[Tensor, Tensor]:
    maps = maps_of(inputs, order.maps)
    constant = is_constant(maps).cpu()
    if order.jitter:
        maps = maps + order.jitter * inputs.shared(("noise on maps", maps.shape), lambda: _noise(inputs, maps))
    if order.sliding:
        ranks = sliding_ranks(maps, order.patch, order.sliding, most_first=order.most_first, ties=order.ties)
    elif order.patch > 1:
        ranks = grid_ranks(maps, order.patch, most_first=order.most_first, ties=order.ties)
    else:
        ranks = pixel_ranks(maps, most_first=order.most_first, ties=order.ties)
    return ranks, constant


def _noise(inputs: MetricInputs, maps: Tensor) -> Tensor:
    """Standard normal noise (B, H, W) for the maps of any explainer."""
    return torch.stack([torch.randn(maps.shape[1:], generator=generator) for generator in inputs.generators("ties")]).to(maps)


def maps_of(inputs: MetricInputs, kind: MapStatistics) -> Tensor:
    """Maps (B, H, W) in [0, 1] that give the order.

    Raises:
        NotApplicable: the maps were made elsewhere, or the batch norms cannot use statistics of one image.
    """
    return inputs.saliency if kind == "default" else inputs.cached("maps of own statistics", lambda: _explain_alone(inputs))


def _explain_alone(inputs: MetricInputs) -> Tensor:
    def versions() -> list[AlteredImages]:
        return [AlteredImages(inputs.images, classifier=with_own_statistics(inputs.classifier))]

    try:
        [found] = inputs.explain_versions("own statistics", versions, 1)
    except ValueError as error:  # as torch says that a place alone has no variance
        raise NotApplicable(f"the network has no statistics of a single image: {error}") from None
    return found.maps


def image_version(inputs: MetricInputs, name: Version, masking: Masking) -> Tensor:
    """A version of the images (B, 3, H, W), or one colour (B or 1, 3, 1, 1) for all pixels."""
    return inputs.shared(("version", name, masking), lambda: _image_version(inputs, name, masking))


def _image_version(inputs: MetricInputs, name: Version, masking: Masking) -> Tensor:
    images, mean = inputs.images, inputs.classifier.mean
    ground = mean if masking == "normalised" else torch.zeros_like(mean)
    match name:
        case "image":
            return images
        case "blank":
            return ground
        case "blurred":
            return rise_blur(images, ground)
        case "lowest":
            return lowest(images, mean, inputs.classifier.std)
        case "average":
            return images.mean((2, 3), keepdim=True)
        case "uniform":
            noise = [torch.rand(images.shape[1:], generator=generator) for generator in inputs.generators("uniform fill")]
            return torch.stack(noise).to(images)


def version_logits(inputs: MetricInputs, name: Version, masking: Masking) -> Tensor:
    """Logits (B, C) of a whole version; a blank image is scored once for the batch, the original images not again."""
    if name == "image":
        return inputs.logits
    shown = image_version(inputs, name, masking)
    whole = shown.expand(len(shown), *inputs.images.shape[1:])
    return inputs.shared(("logits", name, masking), lambda: inputs.score(whole).expand(len(inputs), -1))
