"""IROF: class score while whole segments of the image are replaced, most relevant first."""

from __future__ import annotations

from typing import Literal

import torch
from pydantic import NonNegativeFloat, PositiveFloat, PositiveInt
from torch import Tensor

from camdbench.core.difference import Difference
from camdbench.core.metric_families import MASKED
from camdbench.core.option_types import ScoredClass
from camdbench.core.registries import metric
from camdbench.functional.curves import area, class_output, ragged_pairs, replace_pixels
from camdbench.functional.normalise import is_constant
from camdbench.functional.pixel_order import segment_ranks
from camdbench.metrics.common.inputs import MetricInputs
from camdbench.metrics.common.perturbation_curves import Version, image_version, scored_classes
from camdbench.metrics.common.result import Curve, MetricResult

_SHARES = torch.linspace(0, 1, 101, dtype=torch.float64)
IROF_PROTOCOLS = (MASKED.variant("rieger"),)
NO_CURVE = "the map is constant, the image is one segment, or the class has no probability to lose"


@metric(
    "irof",
    paper="Rieger & Hansen 2020, arXiv:2003.08747, eq. 1",
    higher_is_better=True,
    unit="%",
    values="(-inf, 100]",
    aliases=("iterative_removal_of_features",),
    undefined=NO_CURVE,
    differs=(Difference("Quantus 0.6", "takes the mean of the whole batch as fill", "values depend on the other images; RGB images fail"),),
    protocols=IROF_PROTOCOLS,
)
def irof(
    inputs: MetricInputs,
    *,
    segments: PositiveInt = 100,
    compactness: PositiveFloat = 10.0,
    sigma: NonNegativeFloat = 0.0,
    fill: Literal["average", "blank"] = "average",
    scored_class: ScoredClass = "target",
) -> MetricResult:
    r"""IROF: area over the curve of the relative class probability while segments are replaced.

    .. math:: 100\,(1 - \int_0^1 f(x_u) / f(x_0)\,du)

    Segments are replaced in order of their mean map value, most relevant first. The curve of each image is stored at every
    hundredth of its segments, by linear interpolation.

    Segments are scikit-image's SLIC on the image's own colours with `compactness` and `sigma`, about `segments` of them; 100 is
    the default of scikit-image and Quantus. A replaced segment shows the image's mean colour (`fill="average"`) or black. SLIC
    may find a single segment in a noisy image; `sigma` smooths it first.

    Returns:
        (B,) float64 in (-inf, 100], per cent, negative if the probability grows; higher is better.
    """
    labels = inputs.shared(("segments", segments, compactness, sigma), lambda: _segments(inputs.images, segments, compactness, sigma))
    numbers = labels.flatten(1).amax(1) + 1  # (B,) on the CPU
    scores = _scores(inputs, segment_ranks(inputs.saliency, labels), numbers, fill, scored_classes(inputs, scored_class))
    curves = [own[: number + 1] / own[0] for own, number in zip(scores, numbers.tolist(), strict=True)]
    values = torch.stack([100 * (1 - area(own[None], torch.arange(len(own)))[0]) for own in curves])
    undefined = is_constant(inputs.saliency).cpu() | (numbers == 1) | (scores[:, 0] == 0)
    left = Curve(_SHARES, torch.stack([_at_shares(own) for own in curves]))
    return MetricResult(torch.where(undefined, torch.nan, values), undefined, {"left": left})


def _segments(images: Tensor, segments: int, compactness: float, sigma: float) -> Tensor:
    """Segment numbers of each pixel, from 0 without gaps, (B, H, W) int64 on the CPU."""
    from skimage.segmentation import slic

    found = list[Tensor]()
    for image in images.permute(0, 2, 3, 1).cpu().double():
        labels = slic(image.numpy(), n_segments=segments, compactness=compactness, sigma=sigma, start_label=0)
        found.append(torch.from_numpy(labels).unique(return_inverse=True)[1])
    return torch.stack(found)


def _scores(inputs: MetricInputs, ranks: Tensor, numbers: Tensor, fill: Version, classes: Tensor) -> Tensor:
    """Probability after each segment, (B, 1 + the largest number) float64 on the CPU, NaN behind an image's last one."""
    images, colour = inputs.images, image_version(inputs, fill, "pixels")
    colour, steps = colour.expand(len(images), -1, -1, -1), torch.arange(int(numbers.max()) + 1, device=images.device)
    found = torch.full((len(images), len(steps)), torch.nan, dtype=torch.float64)
    found[:, 0] = class_output(inputs.logits, classes, "probability")
    for chosen in ragged_pairs(numbers, ranks.shape[1], images.device):
        altered = replace_pixels(images, colour, ranks, steps, chosen)
        found[chosen.image.cpu(), chosen.point.cpu()] = class_output(inputs.score(altered), classes[chosen.image], "probability")
    return found


def _at_shares(curve: Tensor) -> Tensor:
    """Values of a curve (L + 1,) at every hundredth of its length, (101,)."""
    places = _SHARES * (len(curve) - 1)
    before = places.long().clamp_max(len(curve) - 2)
    return curve[before].lerp(curve[before + 1], places - before)
