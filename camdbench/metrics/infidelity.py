"""Infidelity: error of the map as a prediction of score changes when blocks of the image are covered."""

from __future__ import annotations

from typing import Literal

import torch
from pydantic import PositiveInt
from torch import Tensor

from camdbench.core.difference import Difference
from camdbench.core.errors import NotApplicable, UsageError
from camdbench.core.metric_families import MASKED
from camdbench.core.option_types import MapKind, Masking, ScoredClass, ScoredObjective
from camdbench.core.registries import metric
from camdbench.functional.curves import Output, pairs
from camdbench.functional.float_precision import to_float64
from camdbench.functional.infidelity import infidelity as mismatch
from camdbench.functional.infidelity import inside, squares
from camdbench.functional.normalise import upsample
from camdbench.metrics.common.inputs import MetricInputs
from camdbench.metrics.common.perturbation_curves import image_version, scored_classes
from camdbench.metrics.common.result import MetricResult

_SIDE = 224  # of the images that block sizes are given for
BLOCKS = MASKED.variant("blocks", scored_output="logit", maps="raw")
CAPTUM = "Yeh et al. 2019, definition 2.1 to the letter, as Captum's infidelity with normalize=False"
INFIDELITY_PROTOCOLS = (BLOCKS, BLOCKS.variant("plain", options={"beta": False}, paper=CAPTUM))
NO_PREDICTION = "the map is zero, everywhere or wherever the image differs from its baseline"


@metric(
    "infidelity",
    paper="Yeh et al. 2019, arXiv:1901.09392, definition 2.1",
    higher_is_better=False,
    unit="",
    values="[0, inf)",
    tolerance=0.005,
    undefined=NO_PREDICTION,
    differs=(
        Difference("Captum", "does not scale the map's prediction, by default (scaled=False)", "values depend on the scale of the map"),
        Difference("Quantus 0.6", "covers blocks one after another without uncovering them, in fixed order", "its 10 samples are equal"),
    ),
    protocols=INFIDELITY_PROTOCOLS,
)
def infidelity(
    inputs: MetricInputs,
    *,
    samples: PositiveInt = 100,
    blocks: tuple[PositiveInt, ...] = (16, 32, 56),
    scaled: bool = True,
    perturbation: Literal["difference", "indicator"] = "difference",
    beta: bool = True,
    masking: Masking = "pixels",
    scored_class: ScoredClass = "target",
    scored_output: ScoredObjective = "logit",
    maps: MapKind = "raw",
) -> MetricResult:
    r"""Infidelity: mean squared error of the score changes that the map predicts for covered blocks.

    .. math:: \frac{1}{N} \sum_n (\beta I_n^\top \Phi - (f(x) - f(x - I_n)))^2

    Values compare explainers on one model, not models. Each sample covers one square at a place drawn from (seed,
    image id); the sides are used in turn. Sides are in pixels of an image of 224, or of the image itself with `scaled=false`. A covered
    pixel is black, or of the mean colour with `masking="normalised"`, where I is taken in normalised space.

    Phi is the raw map, enlarged bilinearly, equal for the three channels. I is the difference between the image and the covered
    one (the paper); `indicator` makes I . Phi the sum of the map over the block, for maps of importance regardless of colour.
    `scored_output="objective"` reads what was explained (`--objective`).
    beta fits the map's scale to each image, as in the authors' code; with `beta=false` the value depends on that scale.

    Returns:
        (B,) float64 in [0, inf), squared units of the score; lower is better.

    Raises:
        UsageError: there is no block size.
        NotApplicable: the raw map is unknown.
    """
    if not blocks:
        raise UsageError("infidelity(blocks=()): no block; give at least one side in pixels")
    where = (samples, blocks, scaled)
    drawn = inputs.shared(("blocks", *where), lambda: _squares(inputs, samples, blocks, scaled=scaled))
    predicted = inputs.cached(
        ("predicted changes", *where, perturbation, masking, maps),
        lambda: _predicted_changes(drawn, _prediction(inputs, perturbation, masking, maps)),
    )
    changes = inputs.shared(
        ("changes under blocks", *where, masking, scored_class, scored_output),
        lambda: _measured_changes(inputs, drawn, masking, scored_class, scored_output),
    )
    nothing = beta & (predicted == 0).all(1)
    return MetricResult(torch.where(nothing, torch.nan, mismatch(predicted, changes, scaled=beta)), nothing)


def _squares(inputs: MetricInputs, samples: int, blocks: tuple[int, ...], *, scaled: bool) -> Tensor:
    """Blocks (B, N, 3), drawn for each image alone."""
    sides = tuple(max(1, round(side * min(inputs.size) / _SIDE)) if scaled else side for side in blocks)
    drawn = [squares(generator, samples, sides, inputs.size) for generator in inputs.generators("infidelity")]
    return torch.stack(drawn).to(inputs.images.device)


def _prediction(inputs: MetricInputs, perturbation: str, masking: Masking, maps: str) -> Tensor:
    """Score change that the map predicts for covering each pixel alone, (B, H, W) float64.

    Raises:
        NotApplicable: the raw map is unknown.
    """
    if maps == "raw" and inputs.raw is None:
        raise NotApplicable("the raw map is unknown; use infidelity(maps='default'), which takes the normalised one")
    raw = inputs.saliency if maps != "raw" or inputs.raw is None else inputs.raw
    phi = to_float64(upsample(raw, inputs.size))
    if perturbation == "indicator":
        return phi
    change = inputs.images - image_version(inputs, "blank", masking)
    if masking == "normalised":
        change = change / inputs.classifier.std
    return phi * to_float64(change).sum(1)


def _predicted_changes(drawn: Tensor, predicted: Tensor) -> Tensor:
    """Sum of a prediction (B, H, W) over each sample's block, (B, N) float64 on the CPU."""
    size, sums = (predicted.shape[-2], predicted.shape[-1]), list[Tensor]()
    for image, point in pairs(len(drawn), drawn.shape[1], size[0] * size[1], drawn.device):
        covered = inside(drawn[image, point], size)
        sums.append((predicted[image.to(predicted.device)] * covered.to(predicted.device)).sum((1, 2)).cpu())
    return torch.cat(sums).unflatten(0, (len(drawn), drawn.shape[1]))


def _measured_changes(inputs: MetricInputs, drawn: Tensor, masking: Masking, scored_class: ScoredClass, scored_output: Output) -> Tensor:
    """Change of the score under each sample's block, (B, N) float64 on the CPU; it depends on no map."""
    images, classes, blank = inputs.images, scored_classes(inputs, scored_class), image_version(inputs, "blank", masking)
    size, count, scores = inputs.size, drawn.shape[1], list[Tensor]()
    for image, point in pairs(len(images), count, size[0] * size[1], images.device):
        covered = inside(drawn[image, point], size)
        logits = inputs.score(torch.where(covered[:, None], blank, images[image]))
        scores.append(inputs.output_of(logits, classes[image], scored_output, image))
    start = inputs.output_of(inputs.logits, classes, scored_output)[:, None]
    return start - torch.cat(scores).unflatten(0, (len(images), count))
