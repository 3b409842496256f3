"""Walks from one version of an image to another, each made once however many metrics read it."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal, NamedTuple

import torch
from torch import Tensor

from camdbench.core.errors import NotApplicable
from camdbench.core.option_types import MapStatistics, Masking, ScoredClass
from camdbench.functional.baselines import lowest, rise_blur
from camdbench.functional.curves import Score, area, read, scores_along
from camdbench.functional.normalise import is_constant
from camdbench.functional.orderings import Ties, grid_ranks, pixel_ranks, sliding_ranks
from camdbench.metrics.evidence import Evidence
from camdbench.metrics.measured import Curve, Measured
from camdbench.models.single_image_norm import with_own_statistics

Version = Literal["image", "blank", "blurred", "lowest", "uniform", "average"]


@dataclass(frozen=True)
class Order:
    """In which order pixels are replaced.

    Attributes:
        most_first: whether what the map holds for most relevant comes first.
        ties: which of equals comes first.
        patch: side of the patches that are replaced together; 1 for pixels.
        sliding: number of patches that may lie anywhere without overlap; 0 for a grid.
        maps: which maps tell the order: the explainer's, or those that it makes with the statistics of each image alone.
        jitter: standard deviation of noise on the map that breaks ties; 0 for none.
    """

    most_first: bool = True
    ties: Ties = "first"
    patch: int = 1
    sliding: int = 0
    maps: MapStatistics = "default"
    jitter: float = 0.0


@dataclass(frozen=True)
class Walk:
    """What is replaced, by what, how far, and how the network's answer is read.

    Attributes:
        order: the order of replacement.
        counts: how many pixels or patches are replaced at each point.
        before: the version of the image that the walk leaves.
        after: the version that it goes to.
        masking: the space of pixels: `pixels`, where blank is black, or `normalised`, where it is the mean colour.
        scored_class: the class whose score is read.
        scored_output: how it is read.
    """

    order: Order
    counts: tuple[int, ...]
    before: Version
    after: Version
    masking: Masking
    scored_class: ScoredClass
    scored_output: Score


class Walked(NamedTuple):
    """What was found on a walk.

    Attributes:
        scores: (B, K) float64 on the CPU.
        dead: (B,) bool on the CPU, where the map is constant, so that every order is as good as another.
    """

    scores: Tensor
    dead: Tensor


def walk(evidence: Evidence, way: Walk) -> Walked:
    """The scores along a walk; the passes are shared by all metrics that make the same one, and so are its ends."""
    return evidence.shared(("walk", way), lambda: _walk(evidence, way))


def _walk(evidence: Evidence, way: Walk) -> Walked:
    ranks, dead = ordering(evidence, way.order)
    classes = classes_of(evidence, way.scored_class)
    ends: dict[int, Version] = {0: way.before}  # the counts at which a whole version shows
    if way.order.patch == 1:
        ends[ranks.shape[1]] = way.after
    inner = tuple(count for count in way.counts if count not in ends)
    before, after = (version(evidence, name, way.masking) for name in (way.before, way.after))
    found = scores_along(evidence.scored_output, before, after, ranks, inner, classes, way.scored_output)
    columns = dict(zip(inner, found.unbind(1), strict=True))
    columns |= {
        count: read(_logits_of(evidence, name, way.masking), classes, way.scored_output)
        for count, name in ends.items()
        if count in way.counts
    }
    return Walked(torch.stack([columns[count] for count in way.counts], 1), dead)


def area_under(evidence: Evidence, way: Walk, total: int | None = None) -> Measured:
    """The area under a walk in per cent, a constant map's undefined, and the curve over shares.

    Args:
        evidence: the batch.
        way: the walk.
        total: how many pixels or patches there are; the last point's number where None.
    """
    scores, dead = walk(evidence, way)
    x = torch.tensor(way.counts, dtype=torch.float64) / (total or way.counts[-1])
    return Measured(torch.where(dead, torch.nan, 100 * area(scores, x)), dead, {"curve": Curve(x, scores)})


def classes_of(evidence: Evidence, scored_class: ScoredClass) -> Tensor:
    """(B,), the class whose score is read."""
    return evidence.targets if scored_class == "target" else evidence.predictions


def ordering(evidence: Evidence, order: Order) -> tuple[Tensor, Tensor]:
    """The place (B, P) of each pixel, and whether the map is constant (B,), on the CPU."""
    return evidence.shared(("ordering", order), lambda: _ordering(evidence, order))


def _ordering(evidence: Evidence, order: Order) -> tuple[Tensor, Tensor]:
    maps = maps_of(evidence, order.maps)
    dead = is_constant(maps).cpu()
    if order.jitter:
        noise = [torch.randn(maps.shape[1:], generator=evidence.random(index, "ties")) for index in range(len(maps))]
        maps = maps + order.jitter * torch.stack(noise).to(maps)
    if order.sliding:
        ranks = sliding_ranks(maps, order.patch, order.sliding, most_first=order.most_first, ties=order.ties)
    elif order.patch > 1:
        ranks = grid_ranks(maps, order.patch, most_first=order.most_first, ties=order.ties)
    else:
        ranks = pixel_ranks(maps, most_first=order.most_first, ties=order.ties)
    return ranks, dead


def maps_of(evidence: Evidence, kind: MapStatistics) -> Tensor:
    """(B, H, W) in [0, 1].

    Raises:
        NotApplicable: the maps were made elsewhere, or the network's batch norms cannot be given statistics of one image.
    """
    return evidence.saliency if kind == "default" else evidence.shared("maps of own statistics", lambda: _explained_anew(evidence))


def _explained_anew(evidence: Evidence) -> Tensor:
    copy = with_own_statistics(evidence.classifier)
    passes = copy.passes
    try:
        maps = evidence.explain(evidence.images, classifier=copy).maps
    except ValueError as error:  # as torch says that a place alone has no variance
        raise NotApplicable(f"the network has no statistics of a single image: {error}") from None
    evidence.classifier.passes += copy.passes - passes  # the copy counts for itself
    return maps


def version(evidence: Evidence, name: Version, masking: Masking) -> Tensor:
    """A version of the images (B, 3, H, W), or one colour (B or 1, 3, 1, 1) that stands for all pixels."""
    return evidence.shared(("version", name, masking), lambda: _version(evidence, name, masking))


def _version(evidence: Evidence, name: Version, masking: Masking) -> Tensor:
    images, mean = evidence.images, evidence.classifier.mean
    ground = mean if masking == "normalised" else torch.zeros_like(mean)
    match name:
        case "image":
            return images
        case "blank":
            return ground
        case "blurred":
            return rise_blur(images, ground)
        case "lowest":
            return lowest(images, mean, evidence.classifier.std)
        case "average":
            return images.mean((2, 3), keepdim=True)
        case "uniform":
            noise = [torch.rand(images.shape[1:], generator=evidence.random(index, "uniform fill")) for index in range(len(images))]
            return torch.stack(noise).to(images)


def _logits_of(evidence: Evidence, name: Version, masking: Masking) -> Tensor:
    """Logits (B, C) of a whole version; a blank picture is scored once for all images, and the images not at all."""
    if name == "image":
        return evidence.logits
    shown = version(evidence, name, masking)
    whole = shown.expand(len(shown), *evidence.images.shape[1:])
    return evidence.shared(("logits", name, masking), lambda: evidence.score(whole).expand(len(evidence), -1))
