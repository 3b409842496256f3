"""Faithfulness through Quantus: change of the score when pixels are replaced, against the map.

Quantus replaces elements (one colour channel of one pixel), in normalised space, by the image's smallest value ("black") or
by uniform noise. A map is the same for all three channels.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np
import torch
from pydantic import PositiveInt
from torch import Tensor

from camdbench.core.errors import NotApplicable
from camdbench.core.metric_families import MEAN_MASKED
from camdbench.core.option_types import MapKind
from camdbench.core.registries import metric
from camdbench.metrics.common.inputs import MetricInputs
from camdbench.metrics.common.quantus_bridge import quantus_scores, result_of
from camdbench.metrics.common.quantus_sandbox import Array
from camdbench.metrics.common.result import Curve, MetricResult

_BY_LOGIT = (MEAN_MASKED.variant("quantus06", scored_output="logit"),)
_BY_PROBABILITY = (MEAN_MASKED.variant("quantus06"),)
_UNDEFINED = "the map is constant, or the class's score does not move"
_OF_LOGIT = {"higher_is_better": True, "unit": "", "values": "[-1, 1]", "tolerance": 0.005, "undefined": _UNDEFINED, "protocols": _BY_LOGIT}


@metric("quantus:FaithfulnessCorrelation", paper="Bhatt et al. 2020, arXiv:2005.00631, definition 3", **_OF_LOGIT)
def faithfulness_correlation(
    inputs: MetricInputs, *, subset_size: PositiveInt = 224, nr_runs: PositiveInt = 100, maps: MapKind = "default"
) -> MetricResult:
    r"""Faithfulness correlation: map sum against logit drop, over random pixel subsets (Quantus).

    .. math:: r_S(\sum_{i \in S} s_i, f(x) - f(x_{\setminus S}))

    `nr_runs` subsets of `subset_size` elements each.

    Returns:
        (B,) float64 in [-1, 1]; higher is better.
    """
    _check_size(inputs, subset_size, 3, "subset_size")
    options = {"subset_size": subset_size, "nr_runs": nr_runs}
    return result_of(quantus_scores(inputs, "FaithfulnessCorrelation", maps, options, by_map=False), inputs.images)


@metric(
    "quantus:FaithfulnessEstimate",
    paper="Alvarez-Melis & Jaakkola 2018, arXiv:1806.07538, section on experiments (faithfulness)",
    **_OF_LOGIT,
)
def faithfulness_estimate(inputs: MetricInputs, *, features_in_step: PositiveInt | None = None, maps: MapKind = "default") -> MetricResult:
    r"""Faithfulness estimate: correlation of map sum and logit drop, most relevant pixels first (Quantus).

    .. math:: r_k(\sum_{i \in S_k} s_i, f(x) - f(x_{\setminus S_k}))

    `features_in_step` elements at a time; default: the largest divisor of the number of pixels up to 224, Quantus' own number
    (672 passes for 224 x 224 pixels).

    Returns:
        (B,) float64 in [-1, 1]; higher is better.
    """
    options = {"features_in_step": _step(inputs, features_in_step, 224)}
    return _result(inputs, "FaithfulnessEstimate", maps, options, softmax=False)


@metric(
    "quantus:MonotonicityCorrelation",
    paper="Nguyen & Martinez 2020, arXiv:2007.07584, definition of monotonicity",
    higher_is_better=True,
    unit="",
    values="[-1, 1]",
    tolerance=0.005,
    undefined=_UNDEFINED,
    protocols=_BY_PROBABILITY,
)
def monotonicity_correlation(
    inputs: MetricInputs, *, features_in_step: PositiveInt | None = None, nr_samples: PositiveInt = 10, maps: MapKind = "default"
) -> MetricResult:
    r"""Monotonicity: rank correlation of map sum and probability change when pixels are noise (Quantus).

    .. math:: \rho_k(\sum_{i \in S_k} s_i, \mathrm{E}[(1 - f(x_{S_k}) / f(x))^2])

    `nr_samples` draws for each step of `features_in_step` elements; default: the largest divisor of the number of pixels up to
    3584 (420 passes for 224 x 224 pixels; Quantus' single elements and 100 draws would take 15 million).

    Returns:
        (B,) float64 in [-1, 1]; higher is better.
    """
    step = _step(inputs, features_in_step, 3584)
    options = {"features_in_step": step, "nr_samples": nr_samples, "abs": True, "similarity_func": _rank_correlation}
    return _result(inputs, "MonotonicityCorrelation", maps, options, softmax=True)


_OF_PROBABILITY = {"unit": "", "tolerance": 0.002, "undefined": _UNDEFINED, "protocols": _BY_PROBABILITY}


@metric(
    "quantus:Selectivity",
    paper="Montavon et al. 2018, Digital Signal Processing 73, section on explanation selectivity",
    higher_is_better=False,
    values="[0, 1]",
    **_OF_PROBABILITY,
)
def selectivity(inputs: MetricInputs, *, patch_size: PositiveInt = 8, maps: MapKind = "default") -> MetricResult:
    r"""Selectivity: area under the probability while patches are blackened, most relevant first (Quantus).

    .. math:: \int_0^1 f(x_u)\,du

    Trapezoids over the fraction of black patches, from the first patch on. One pass per patch.

    Returns:
        (B,) float64 in [0, 1]; lower is better.
    """
    return _curve(inputs, "Selectivity", maps, {"patch_size": patch_size})


@metric(
    "quantus:PixelFlipping",
    paper="Bach et al. 2015, PLOS ONE 10(7), definition of pixel-flipping",
    higher_is_better=False,
    values="[0, 1]",
    **_OF_PROBABILITY,
)
def pixel_flipping(inputs: MetricInputs, *, features_in_step: PositiveInt | None = None, maps: MapKind = "default") -> MetricResult:
    r"""Pixel flipping: area under the probability while elements are blackened (Quantus).

    .. math:: \int_0^1 f(x_u)\,du

    The most relevant elements are blackened first. Trapezoids over the fraction of black elements, `features_in_step` at a
    time; default: the largest divisor of the number of pixels up to 224. The channels of a pixel have no fixed order;
    `deletion` replaces whole pixels.

    Returns:
        (B,) float64 in [0, 1]; lower is better.
    """
    return _curve(inputs, "PixelFlipping", maps, {"features_in_step": _step(inputs, features_in_step, 224)})


@metric(
    "quantus:RegionPerturbation",
    paper="Samek et al. 2017, arXiv:1509.06321, definition of AOPC",
    higher_is_better=True,
    values="[-1, 1]",
    **_OF_PROBABILITY,
)
def region_perturbation(
    inputs: MetricInputs, *, patch_size: PositiveInt = 14, regions_evaluation: PositiveInt = 10, maps: MapKind = "default"
) -> MetricResult:
    r"""Region perturbation: area over the probability while grid regions are blackened (Quantus).

    .. math:: \int_0^1 (f(x) - f(x_u))\,du

    Trapezoids of the drop over the regions, most relevant first. The algorithm of Quantus 0.6; `aopc` also has that of 0.5,
    which Opti-CAM used.

    Returns:
        (B,) float64 in [-1, 1]; higher is better.
    """
    return _curve(inputs, "RegionPerturbation", maps, {"patch_size": patch_size, "regions_evaluation": regions_evaluation})


def _result(inputs: MetricInputs, name: str, maps: str, options: Mapping[str, Any], *, softmax: bool) -> MetricResult:
    return result_of(quantus_scores(inputs, name, maps, options, softmax=softmax), inputs.images)


def _rank_correlation(a: Array, b: Array, **_: object) -> Array:
    """Spearman correlation (B,) of the rows of two arrays; Quantus' own fails for a constant row."""
    from scipy.stats import spearmanr

    return np.array([float(np.asarray(spearmanr(first, second))[0]) for first, second in zip(a, b, strict=True)])


def _curve(inputs: MetricInputs, name: str, maps: str, options: Mapping[str, Any]) -> MetricResult:
    """Area under each image's curve, x scaled to [0, 1], and the curve."""
    found = quantus_scores(inputs, name, maps, options, softmax=True)
    curves = [None if curve is None else torch.as_tensor(curve, dtype=torch.float64).flatten() for curve in found]
    count = next((len(curve) for curve in curves if curve is not None), 0)
    y = torch.stack([torch.full((count,), torch.nan, dtype=torch.float64) if curve is None else curve for curve in curves])
    values = torch.trapezoid(y, dim=1) / (count - 1) if count > 1 else y.sum(1) if count else torch.full((len(y),), torch.nan)
    points: dict[str, Curve] = {"curve": Curve(_positions(count), y)} if count else {}
    return MetricResult(values, undefined=values.isnan(), curves=points)


def _positions(count: int) -> Tensor:
    return torch.arange(1, count + 1, dtype=torch.float64)


def _check_size(inputs: MetricInputs, value: int, channels: int, option: str) -> None:
    height, width = inputs.size
    if value >= channels * height * width:
        raise NotApplicable(f"{option}={value} is not below the {channels} x {height} x {width} elements of an image; give a smaller one")


def _step(inputs: MetricInputs, given: int | None, largest: int) -> int:
    """Elements of a step: the given number, or the largest divisor of the pixels up to `largest`."""
    height, width = inputs.size
    step = given or max(step for step in range(1, largest + 1) if height * width % step == 0)
    if height * width % step:
        raise NotApplicable(f"features_in_step={step} does not divide {height} x {width} pixels; give a divisor")
    return step
