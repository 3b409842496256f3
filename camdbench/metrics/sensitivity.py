"""Sensitivity (Yeh et al. 2019): relative change of the map under small noise on the image.

Both metrics share the explanations of the same noisy images, x + r U(-1, 1) per channel and pixel.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Literal, NamedTuple

import torch
from pydantic import PositiveFloat, PositiveInt
from torch import Tensor

from camdbench.core.metric_families import ZERO_FIRST_MAP
from camdbench.core.option_types import MapKind, Masking
from camdbench.core.protocols import Protocol
from camdbench.core.registries import metric
from camdbench.functional.float_precision import to_float64
from camdbench.functional.normalise import upsample
from camdbench.metrics.common.inputs import AlteredImages, MetricInputs
from camdbench.metrics.common.result import MetricResult

_NOISY = Protocol("noisy", masking="normalised", scored_class="target", maps="raw")
_PROTOCOLS = (
    _NOISY.variant("opticam", maps="default", options={"radius": 0.2, "samples": 10}, paper="Opti-CAM, arXiv:2301.07002, by Quantus"),
    _NOISY.variant("captum", options={"radius": 0.02, "samples": 10, "zero": "one"}, paper="captum.metrics.sensitivity_max"),
    _NOISY.variant("quantus", options={"radius": 0.2, "samples": 200}, paper="quantus 0.6, MaxSensitivity and AvgSensitivity"),
)
_UNDER_NOISE = {
    "higher_is_better": False,
    "unit": "",
    "values": "[0, inf)",
    "tolerance": 0.002,
    "needs": ("explainer",),
    "explains": "samples",
    "undefined": ZERO_FIRST_MAP,
    "protocols": _PROTOCOLS,
}


@metric("max_sensitivity", paper="Yeh et al. 2019, arXiv:1901.09392, sec. 3", **_UNDER_NOISE)
def max_sensitivity(
    inputs: MetricInputs,
    *,
    radius: PositiveFloat = 0.2,
    samples: PositiveInt = 10,
    masking: Masking = "normalised",
    maps: MapKind = "default",
    zero: Literal["undefined", "one"] = "undefined",
) -> MetricResult:
    r"""Max-sensitivity: largest relative change of the map among noisy copies of the image.

    .. math:: \max_{\|e\|_\infty \le r} \|E(x + e) - E(x)\| / \|E(x)\|

    The maximum is over `samples` draws of e from U(-radius, radius), in normalised space as in the papers and libraries, or in
    pixels. The explained class and an explainer's random numbers stay the same. Normalised maps hide changes of scale; raw
    maps, on the explainer's grid, show them. `zero="one"` divides by 1 for a map of zeros, as captum does.

    Returns:
        (B,) float64 in [0, inf); lower is better.
    """
    return _result(_relative_changes(inputs, radius, samples, masking, maps, zero).amax(1))


@metric("avg_sensitivity", paper="Yeh et al. 2019, arXiv:1901.09392, sec. 3, with the mean instead of the maximum", **_UNDER_NOISE)
def avg_sensitivity(
    inputs: MetricInputs,
    *,
    radius: PositiveFloat = 0.2,
    samples: PositiveInt = 10,
    masking: Masking = "normalised",
    maps: MapKind = "default",
    zero: Literal["undefined", "one"] = "undefined",
) -> MetricResult:
    r"""Average sensitivity: mean relative change of the map among noisy copies of the image.

    .. math:: \frac{1}{N} \sum_e \|E(x + e) - E(x)\| / \|E(x)\|

    Options and draws as in `max_sensitivity`; both together cost as much as one.

    Returns:
        (B,) float64 in [0, inf); lower is better.
    """
    return _result(_relative_changes(inputs, radius, samples, masking, maps, zero).mean(1))


class _Changes(NamedTuple):
    """Distances (B, samples) between maps with and without noise, raw and normalised."""

    raw: Tensor
    declared: Tensor


def _result(values: Tensor) -> MetricResult:
    """An infinite change is one against a map of zeros."""
    return MetricResult(values.masked_fill(values.isinf(), torch.nan), undefined=values.isinf())


def _relative_changes(inputs: MetricInputs, radius: float, samples: int, masking: str, maps: str, zero: str) -> Tensor:
    """Relative changes (B, samples); infinite if the map of the original image is zero."""
    key = ("changes under noise", radius, samples, masking)
    changes = inputs.cached(key, lambda: _changes_under_noise(inputs, radius, samples, masking))
    own = _raw_maps(inputs) if maps == "raw" else inputs.saliency
    norms = _norm(own)
    moved = changes.raw if maps == "raw" else changes.declared
    ratios = moved / (torch.where(norms > 0, norms, 1) if zero == "one" else norms)[:, None]
    return ratios if zero == "one" else torch.where((norms == 0)[:, None] & moved.isfinite(), torch.inf, ratios)


def _changes_under_noise(inputs: MetricInputs, radius: float, samples: int, masking: str) -> _Changes:
    own, raw, declared = _raw_maps(inputs), list[Tensor](), list[Tensor]()
    key = ("noise", radius, samples, masking)
    for found in inputs.explain_versions(key, lambda: _noisy_images(inputs, radius, samples, masking), samples):
        raw.append(_norm(upsample(found.raw, (own.shape[-2], own.shape[-1])) - own))  # maps of a file may be of another size
        declared.append(_norm(found.maps - inputs.saliency))
    return _Changes(torch.stack(raw, 1), torch.stack(declared, 1))


def _noisy_images(inputs: MetricInputs, radius: float, samples: int, masking: str) -> Iterator[AlteredImages]:
    generators = inputs.generators("sensitivity")
    scale = radius * (inputs.classifier.std if masking == "normalised" else torch.ones_like(inputs.classifier.std))
    for _ in range(samples):
        draws = [2 * torch.rand(inputs.images.shape[1:], generator=generator) - 1 for generator in generators]
        yield AlteredImages(inputs.images + scale * torch.stack(draws).to(inputs.images))


def _raw_maps(inputs: MetricInputs) -> Tensor:
    return inputs.saliency if inputs.raw is None else inputs.raw


def _norm(maps: Tensor) -> Tensor:
    return to_float64(maps).flatten(1).norm(dim=1)
