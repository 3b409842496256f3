"""Parts of the object of an image: their importance in a map, and logits of versions without them (FunnyBirds, Hesse et al. 2023).

No version depends on a map: all explainers of a batch and all metrics share their passes.
"""

from __future__ import annotations

from collections.abc import Callable, Collection, Iterable, Sequence
from functools import partial
from typing import Literal, NamedTuple

import torch
import torch.nn.functional as F
from torch import Tensor

from camdbench.core.errors import NotApplicable, ResultError, SampleError
from camdbench.datasets.samples import PartVersions
from camdbench.functional.float_precision import to_float64
from camdbench.functional.normalise import upsample
from camdbench.functional.part_sets import Variants
from camdbench.functional.pass_size import images_per_pass
from camdbench.metrics.common.inputs import MetricInputs

PartOutput = Literal["logit", "centred_logit"]  # centred: minus the mean of all logits
_REACH = 5  # side of the square by which a part is dilated
_ROUNDING = 1e-6  # of the largest score


class Importances(NamedTuple):
    """Sums of raw maps.

    Attributes:
        parts: (B, K) float64, over each dilated part.
        objects: B tensors (n,) float64, over each dilated background object.
        whole: (B,) float64, over the image.
    """

    parts: Tensor
    objects: tuple[Tensor, ...]
    whole: Tensor


def birds_of(inputs: MetricInputs) -> tuple[PartVersions, ...]:
    """Versions of the images without parts.

    Raises:
        NotApplicable: the images have no parts, or no versions without them.
    """
    versions = [own for own in inputs.interventions or () if isinstance(own, PartVersions)]
    if inputs.parts is None or len(versions) != len(inputs):
        raise NotApplicable("needs images without parts of their object, which these data do not have")
    return tuple(versions)


def part_names(inputs: MetricInputs) -> tuple[str, ...]:
    """Names of the K parts, in order."""
    return tuple(birds_of(inputs)[0].part_values)


def class_variants(inputs: MetricInputs) -> Variants:
    """Variant of each part of each class."""
    return tuple(map(tuple, birds_of(inputs)[0].variants))


def importances(inputs: MetricInputs, raw: Tensor | None, *, objects: bool = False) -> Importances:
    """Sums of raw maps (B, h, w), enlarged bilinearly, over parts dilated by 5 x 5 pixels; two regions of one part are added.

    Raises:
        NotApplicable: the raw map is unknown, or the images have no parts.
    """
    birds = birds_of(inputs)
    if raw is None or inputs.parts is None:
        raise NotApplicable("sums the raw map over parts, and the raw map is unknown")
    maps, numbers = to_float64(upsample(raw, inputs.size)).cpu(), inputs.parts.cpu()
    regions = [_sums(maps, numbers, values) for values in birds[0].part_values.values()]
    beside = [_objects(*own) for own in zip(maps, numbers, birds, strict=True)] if objects else []
    return Importances(torch.stack(regions, 1), tuple(beside), maps.sum((1, 2)))


def _objects(own: Tensor, number: Tensor, bird: PartVersions) -> Tensor:
    found = [_sums(own[None], number[None], (value,)) for value in bird.object_values]
    return torch.cat(found) if found else own.new_zeros(0)


def _sums(maps: Tensor, numbers: Tensor, values: Sequence[int]) -> Tensor:
    """Sum of maps (B, H, W) over the dilated region of each value, (B,)."""
    total = maps.new_zeros(len(maps))
    for value in values:
        region = F.max_pool2d((numbers == value).to(maps)[:, None], _REACH, stride=1, padding=_REACH // 2)[:, 0]
        total += torch.where(region > 0, maps, 0).sum((1, 2))
    return total


def logits_without(inputs: MetricInputs, removed: Iterable[str]) -> Tensor:
    """Logits (B, C) of the images without these parts; those of the images themselves if there are none."""
    gone = tuple(sorted(removed))
    return logits_of_sets(inputs, [gone] * len(inputs), ",".join(gone)) if gone else inputs.logits


def logits_of_sets(inputs: MetricInputs, removed: Sequence[Collection[str]], key: str) -> Tensor:
    """Logits (B, C) of the images, each without its own set of parts; `key` names the choice, which depends on no map.

    Raises:
        ResultError: a version cannot be read.
    """
    birds, names = birds_of(inputs), part_names(inputs)

    def score() -> Tensor:
        kept = [[name for name in names if name not in gone] for gone in removed]
        versions = [_read(partial(own.with_parts, parts)) for own, parts in zip(birds, kept, strict=True)]
        return inputs.score(torch.stack(versions).to(inputs.images))

    return inputs.shared(("without parts", key), score)


def logits_without_objects(inputs: MetricInputs) -> tuple[Tensor, ...]:
    """Logits (n, C) of each image without each of its n background objects, B tensors.

    Raises:
        ResultError: a version cannot be read.
    """
    birds = birds_of(inputs)
    return inputs.shared("without background objects", lambda: tuple(_score_objects(inputs, own) for own in birds))


def _score_objects(inputs: MetricInputs, bird: PartVersions) -> Tensor:
    numbers, room = list(bird.object_numbers), images_per_pass(inputs.images.device, inputs.images[0, 0].numel())
    chunks = (numbers[start : start + room] for start in range(0, len(numbers), room))
    shown = (torch.stack([_read(partial(bird.without_object, number)) for number in chunk]).to(inputs.images) for chunk in chunks)
    return torch.cat([inputs.logits[:0], *map(inputs.score, shown)])


def _read(version: Callable[[], Tensor]) -> Tensor:
    try:
        return version()
    except SampleError as error:  # the run continues
        raise ResultError(str(error)) from None


def output(logits: Tensor, classes: Tensor, scored_output: PartOutput) -> Tensor:
    """Logit of a class (N,) from logits (N, C), or the logit minus the mean of all: (N,) float64 on the CPU."""
    found = to_float64(logits.detach().cpu())
    own = found.gather(1, classes.cpu()[:, None]).squeeze(1)
    return own if scored_output == "logit" else own - found.mean(1)


def part_drops(inputs: MetricInputs, classes: Tensor, scored_output: PartOutput) -> tuple[Tensor, Tensor]:
    """Scores of classes (B,), and by how much they drop without each part (B, K), without what rounding adds."""
    score = output(inputs.logits, classes, scored_output)
    without = torch.stack([output(logits_without(inputs, [name]), classes, scored_output) for name in part_names(inputs)], 1)
    return score, _rounded(score[:, None] - without, score)


def object_drops(inputs: MetricInputs, classes: Tensor, scored_output: PartOutput) -> list[Tensor]:
    """Drop of the score of classes (B,) without each background object, B tensors (n,)."""
    score, found = output(inputs.logits, classes, scored_output), list[Tensor]()
    for own, label, logits in zip(score, classes, logits_without_objects(inputs), strict=True):
        drops = own - output(logits, label.expand(len(logits)), scored_output)
        found.append(_rounded(drops[None], own[None])[0])
    return found


def is_irrelevant(drops: Tensor, score: Tensor, least: float = 0.05) -> Tensor:
    """Whether a removal lowers the score by less than 5 % of it, or does not lower it: of drops (…) and scores that broadcast to them.

    >>> is_irrelevant(torch.tensor([0.4, 0.5, -3.0]), torch.tensor(-10.0)).tolist()
    [True, False, True]
    """
    return (drops < least * score.abs()) | (drops <= 0)


def _rounded(drops: Tensor, score: Tensor) -> Tensor:
    """Drops (B, n) rounded to 1e-6 of the score, so that versions equal to the image have none."""
    unit = _ROUNDING * score.abs()[:, None]
    return torch.where(unit > 0, (drops / torch.where(unit > 0, unit, 1)).round() * unit, drops)
