"""Concentration of a map, independent of where it points: Gini index, entropy, effective complexity.

All read magnitudes. A 7 x 7 map and its enlargement to 224 x 224 have different values, hence the protocols: `image` reads
the absolute raw map at image size, as the papers do, `layer` at the explainer's grid, and `mask` the map in [0, 1].
"""

from __future__ import annotations

from collections.abc import Callable

import torch
from pydantic import NonNegativeFloat
from torch import Tensor

from camdbench.core.difference import Difference
from camdbench.core.metric_families import DECLARED, ZERO_MAP
from camdbench.core.option_types import MapSize
from camdbench.core.protocols import Protocol
from camdbench.core.registries import metric
from camdbench.functional.normalise import upsample
from camdbench.functional.sparseness import count_relevant, entropy, gini
from camdbench.metrics.common.inputs import MetricInputs
from camdbench.metrics.common.result import MetricResult

_PROTOCOLS = (DECLARED.variant("image", maps="abs"), Protocol("layer", maps="abs, layer grid", resize="none"), DECLARED.variant("mask"))
_BATCHWISE = (Difference("Quantus 0.6", "divides maps by the maximum of the batch", "values depend on the other images: 0.325 or 0.272"),)
_SIZES = {"unit": "", "undefined": ZERO_MAP, "protocols": _PROTOCOLS}


@metric(
    "sparseness",
    paper="Chalasani et al. 2020, arXiv:1810.06583, definition of the Gini index",
    higher_is_better=True,
    values="[0, 1)",
    tolerance=0.001,
    differs=_BATCHWISE,
    **_SIZES,
)
def sparseness(inputs: MetricInputs, *, maps: MapSize = "abs") -> MetricResult:
    r"""Sparseness: Gini index of the map; 0 if all values are equal, near 1 if few hold the sum.

    .. math:: G(s) = \frac{\sum_i (2i - n - 1)\,s_{(i)}}{n \sum_i s_i}

    It does not depend on the map's scale.

    Returns:
        (B,) float64 in [0, 1); higher is better. Undefined for a map of zeros.
    """
    return _result(gini, _magnitudes(inputs, maps))


NO_ENTROPY = "the map is zero everywhere, or has a single place where its entropy is normalised"


@metric(
    "entropy",
    paper="Bhatt et al. 2020, arXiv:2005.00631, definition of complexity",
    higher_is_better=False,
    unit="",
    values="[0, inf)",
    tolerance=0.005,
    undefined=NO_ENTROPY,
    protocols=_PROTOCOLS,
)
def map_entropy(inputs: MetricInputs, *, maps: MapSize = "abs", normalised: bool = False) -> MetricResult:
    r"""Entropy of the normalised map (complexity of Bhatt et al.): 0 for one pixel, log n for n equal ones.

    .. math:: -\sum_i q_i \log q_i, \quad q_i = |s_i| / \sum_j |s_j|

    `normalised` divides by log n, which makes maps of different sizes comparable.

    Returns:
        (B,) float64 in [0, inf), nats, or in [0, 1] with `normalised`; lower is better. Undefined for a map of zeros.
    """
    return _result(lambda found: entropy(found, normalised=normalised), _magnitudes(inputs, maps))


@metric(
    "effective_complexity",
    paper="Nguyen & Martinez 2020, arXiv:2007.07584, definition of effective complexity",
    higher_is_better=False,
    values="(0, inf)",
    tolerance=10.0,
    differs=(Difference("Quantus 0.6", "divides maps by the maximum of the batch", "values depend on the other images: 64 or 0"),),
    **_SIZES,
)
def effective_complexity(
    inputs: MetricInputs, *, maps: MapSize = "abs", threshold: NonNegativeFloat = 1e-5, normalised: bool = False
) -> MetricResult:
    r"""Effective complexity: number of map values above a small fraction of the maximum.

    .. math:: \#\{i : |s_i| > \epsilon \max_j |s_j|\}

    `threshold` is epsilon, relative to the map's own maximum; `normalised` divides by the number of values.

    Returns:
        (B,) float64 from 1 to H W, or in (0, 1] with `normalised`; lower is better. Undefined for a map of zeros.
    """
    found = _magnitudes(inputs, maps)
    places = found[0].numel() if normalised else 1
    return _result(lambda sizes: count_relevant(sizes, threshold) / places, found)


def _magnitudes(inputs: MetricInputs, maps: str) -> Tensor:
    """Magnitudes of maps (B, ., .); the map in [0, 1] if the raw map is unknown."""
    if maps == "default" or inputs.raw is None:
        return inputs.saliency
    if maps == "abs, layer grid":
        return inputs.raw.abs()
    return upsample(inputs.raw.float(), inputs.size).abs()


def _result(measure: Callable[[Tensor], Tensor], sizes: Tensor) -> MetricResult:
    empty = (sizes == 0).flatten(1).all(1)
    values = measure(sizes)
    single = values.isnan() & sizes.isfinite().flatten(1).all(1).to(values.device)
    return MetricResult(values.masked_fill(empty.to(values.device), torch.nan), undefined=single | empty.to(values.device))
