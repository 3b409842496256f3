"""F-Fidelity: random removal of salient, or other, pixels, scored by a network that was fine-tuned on images without random pixels."""

from __future__ import annotations

from typing import Literal, NamedTuple

import torch
from pydantic import PositiveFloat, PositiveInt
from torch import Tensor

from camdbench.core.difference import Difference
from camdbench.core.errors import UsageError
from camdbench.core.metric_families import CONSTANT_MAP
from camdbench.core.option_types import Masking, PositiveFraction, Readout, ScoredClass
from camdbench.core.protocols import Protocol
from camdbench.core.registries import metric
from camdbench.functional.curves import class_output
from camdbench.functional.pass_size import in_halves
from camdbench.metrics.common.ground_truth import result_of
from camdbench.metrics.common.inputs import MetricInputs
from camdbench.metrics.common.perturbation_curves import PixelOrder, pixel_order, scored_classes
from camdbench.metrics.common.result import Curve, MetricResult
from camdbench.metrics.common.second_network import second_network
from camdbench.models.classifier import Classifier
from camdbench.models.pass_counts import copy_counted

Side = Literal["salient", "rest"]
FIDELITY_PROTOCOLS = (
    Protocol("zheng", masking="normalised", scored_class="target", scored_output="accuracy", maps="default", resize="bilinear"),
    Protocol("probability", masking="normalised", scored_class="target", scored_output="probability", maps="default", resize="bilinear"),
)
_JITTER = 1e-4  # of the noise on the map that breaks ties
_FIDELITY = {
    "paper": "Zheng et al. 2025, arXiv:2410.02970, section 4 (F-Fidelity)",
    "unit": "%",
    "values": "[-100, 100]",
    "tolerance": 1.0,
    "undefined": CONSTANT_MAP,
    "protocols": FIDELITY_PROTOCOLS,
    "differs": (
        Difference(
            "released code",
            "compares a share with a number of pixels, so that the bound of the probability never holds",
            "at 50 % of the pixels a = 0.5 instead of 0.2",
        ),
    ),
}


class _Removal(NamedTuple):
    """How pixels are removed and the network is read; the options of the metrics."""

    alpha: float
    beta: float
    sizes: tuple[float, ...]
    samples: int
    masking: Masking
    scored_class: ScoredClass
    scored_output: Readout


def removal_probability(alpha: float, beta: float, pixels: int, chosen: int) -> float:
    """Probability with which each of `chosen` pixels is removed, so that no more than `beta` of all are on average.

    >>> [round(removal_probability(0.5, 0.1, 1024, chosen), 4) for chosen in (51, 205, 512)]
    [0.5, 0.4995, 0.2]
    """
    return min(alpha, beta * pixels / chosen) if chosen else 0.0


@metric("f_fidelity_plus", higher_is_better=True, **_FIDELITY)
def f_fidelity_plus(
    inputs: MetricInputs,
    *,
    network: str | None = None,
    alpha: PositiveFraction = 0.5,
    beta: PositiveFraction = 0.1,
    sizes: tuple[PositiveFloat, ...] = (10, 30, 50, 70, 90),
    samples: PositiveInt = 50,
    masking: Masking = "normalised",
    scored_class: ScoredClass = "target",
    scored_output: Readout = "accuracy",
) -> MetricResult:
    r"""F-Fidelity+: drop of the score when salient pixels are removed at random.

    .. math:: 100 \left(f_r(x) - \operatorname{mean}_m f_r(x \odot m)\right), \quad P(m_i = 0) = \min(\alpha, \beta N / |E|)

    E are the most salient `sizes` per cent of the N pixels; the value is the mean over sizes, the curve holds each. `network` is f_r, a
    checkpoint fine-tuned with `augment: {pixel_dropout: 0.1}`, whose weights' hash is recorded. Without it f_r is the explained
    network, which has not seen images without pixels (RFid). Removed pixels have the mean colour. f is 1 if the class has the largest
    logit, else 0, or its probability.

    Returns:
        (B,) float64 in [-100, 100], per cent; higher is better.

    Raises:
        UsageError: no size is given, or one above 100, or there is no such network.
        NotApplicable: the network has another number of classes.
    """
    how = _Removal(alpha, beta, sizes, samples, masking, scored_class, scored_output)
    return _fidelity(inputs, network, how, "salient")


@metric("f_fidelity_minus", higher_is_better=False, **_FIDELITY)
def f_fidelity_minus(
    inputs: MetricInputs,
    *,
    network: str | None = None,
    alpha: PositiveFraction = 0.5,
    beta: PositiveFraction = 0.1,
    sizes: tuple[PositiveFloat, ...] = (10, 30, 50, 70, 90),
    samples: PositiveInt = 50,
    masking: Masking = "normalised",
    scored_class: ScoredClass = "target",
    scored_output: Readout = "accuracy",
) -> MetricResult:
    r"""F-Fidelity-: drop of the score when pixels outside the salient ones are removed at random.

    .. math:: 100 \left(f_r(x) - \operatorname{mean}_m f_r(x \odot m)\right), \quad P(m_i = 0) = \min(\alpha, \beta N / (N - |E|))

    As `f_fidelity_plus`, of the pixels that are not among the most salient `sizes` per cent.

    Returns:
        (B,) float64 in [-100, 100], per cent; lower is better.

    Raises:
        UsageError: no size is given, or one above 100, or there is no such network.
        NotApplicable: the network has another number of classes.
    """
    how = _Removal(alpha, beta, sizes, samples, masking, scored_class, scored_output)
    return _fidelity(inputs, network, how, "rest")


def _fidelity(inputs: MetricInputs, network: str | None, how: _Removal, side: Side) -> MetricResult:
    if not how.sizes:
        raise UsageError("sizes = (): give one or more percentages of the pixels")
    if too_large := [size for size in how.sizes if size > 100]:
        raise UsageError(f"sizes = {how.sizes!r}: {too_large[0]:g} % of the pixels; give percentages up to 100")
    scorer, classes = second_network(inputs, network), scored_classes(inputs, how.scored_class)
    ranks, constant = pixel_order(inputs, PixelOrder(jitter=_JITTER))
    whole = inputs.logits if network is None else inputs.shared(("logits of", network), lambda: _score(inputs, scorer, inputs.images))
    before = class_output(whole, classes, how.scored_output)
    pixels = ranks.shape[1]
    colour = scorer.mean.to(inputs.images) if how.masking == "normalised" else torch.zeros_like(inputs.images[:1, :, :1, :1])
    after = torch.zeros(len(inputs), len(how.sizes), dtype=torch.float64)
    generators = inputs.generators("f-fidelity")
    for _ in range(how.samples):
        drawn = torch.stack([torch.rand(pixels, generator=own) for own in generators])
        for place, size in enumerate(how.sizes):
            count = round(size / 100 * pixels)
            chosen = ranks < count if side == "salient" else ranks >= count
            share = removal_probability(how.alpha, how.beta, pixels, count if side == "salient" else pixels - count)
            removed = (chosen.cpu() & (drawn < share)).reshape(len(inputs), 1, *inputs.size).to(inputs.images.device)
            logits = _score(inputs, scorer, torch.where(removed, colour, inputs.images))
            after[:, place] += class_output(logits, classes, how.scored_output)
    found = 100 * (before[:, None] - after / how.samples)
    return result_of(found.mean(1), constant, {"curve": Curve(torch.tensor(how.sizes, dtype=torch.float64) / 100, found)})


def _score(inputs: MetricInputs, scorer: Classifier, images: Tensor) -> Tensor:
    with copy_counted(scorer, inputs.classifier), torch.no_grad():
        return in_halves(scorer, images)
