"""Input invariance: change of the map under a shift of the input that the normalisation of the network undoes."""

from __future__ import annotations

import torch
from torch import Tensor

from camdbench.core.difference import Difference
from camdbench.core.errors import NotApplicable
from camdbench.core.metric_families import EXPLAINED_AGAIN, ZERO_FIRST_MAP
from camdbench.core.option_types import MapKind
from camdbench.core.registries import metric
from camdbench.functional.float_precision import to_float64
from camdbench.functional.normalise import upsample
from camdbench.functional.pass_size import in_halves
from camdbench.metrics.common.inputs import AlteredImages, MetricInputs
from camdbench.metrics.common.result import MetricResult
from camdbench.models.classifier import Classifier
from camdbench.models.pass_counts import copy_counted
from camdbench.models.shifted_mean import with_shifted_mean

KINDERMANS = (EXPLAINED_AGAIN.variant("kindermans"),)
_ROUNDING = 1e-3  # of the range of the logits; networks of many layers amplify the low bits that a shifted image loses


@metric(
    "input_invariance",
    paper="Kindermans et al. 2017, arXiv:1711.00867, section 2",
    higher_is_better=False,
    unit="",
    values="[0, inf)",
    tolerance=0.002,
    needs=("explainer",),
    explains=1,
    undefined=ZERO_FIRST_MAP,
    differs=(
        Difference(
            "paper, Quantus 0.6",
            "change the bias of the first layer, which is inexact at padded borders and fails without a bias",
            "here the network's normalisation takes up the shift: every network, no weight is changed",
        ),
    ),
    protocols=KINDERMANS,
)
def input_invariance(inputs: MetricInputs, *, shift: float = -1.0, maps: MapKind = "raw") -> MetricResult:
    r"""Input invariance: relative change of the map when image and normalisation are shifted alike.

    .. math:: \|E_{f'}(x + d) - E_f(x)\| / \|E_f(x)\|, \quad f'(x + d) = f(x)

    d is `shift` in all channels, on the scale of pixels in [0, 1]. The mean of the normalisation moves by d, so the logits stay the
    same, which is checked. Gradients and CAMs do not change. Input x gradient does, as do methods with a black reference, which stays
    where it is.

    Returns:
        (B,) float64 in [0, inf); lower is better.

    Raises:
        NotApplicable: the logits of the shifted images differ by more than rounding, or the maps were made elsewhere.
    """
    inputs.shared(("shifted logits", shift), lambda: _check_logits(inputs, shift))
    [found] = inputs.explain_versions(("shifted", shift), lambda: [_shifted(inputs, shift)], 1)
    own, other = (inputs.saliency, found.maps) if maps == "default" or inputs.raw is None else (inputs.raw, found.raw)
    change, norm = (_norm(part) for part in (upsample(other, (own.shape[-2], own.shape[-1])) - own, own))
    undefined = norm == 0
    return MetricResult(torch.where(undefined, torch.nan, change / torch.where(undefined, 1, norm)), undefined)


def _shifted(inputs: MetricInputs, shift: float) -> AlteredImages:
    return AlteredImages(inputs.images + shift, classifier=_classifier(inputs, shift))


def _classifier(inputs: MetricInputs, shift: float) -> Classifier:
    return inputs.shared(("shifted mean", shift), lambda: with_shifted_mean(inputs.classifier, shift))


def _check_logits(inputs: MetricInputs, shift: float) -> None:
    """Compare the logits of the shifted images with those of the images, one pass for each.

    Raises:
        NotApplicable: they differ by more than rounding.
    """
    other, own = _classifier(inputs, shift), to_float64(inputs.logits).cpu()
    with copy_counted(other, inputs.classifier), torch.no_grad():
        found = to_float64(in_halves(other, inputs.images + shift)).cpu()
    apart = (found - own).abs().amax(1) > _ROUNDING * (own.amax(1) - own.amin(1))
    if bool(apart.any()):
        raise NotApplicable(f"the network's logits change with the shift of {shift:g} by more than rounding")


def _norm(maps: Tensor) -> Tensor:
    return to_float64(maps).flatten(1).norm(dim=1)
