"""Complexity: how concentrated a map is, whatever it points at.

All three read sizes, not signs. A 7 x 7 map that is stretched to 224 x 224 has another Gini index and another entropy
than the 7 x 7 map itself, hence the protocols: `image` looks at the absolute raw map at the size of the image, as the
papers do, `layer` at the explainer's own grid, and `mask` at the map in [0, 1] that all other metrics see.
"""

from __future__ import annotations

from collections.abc import Callable

import torch
from pydantic import NonNegativeFloat
from torch import Tensor

from camdbench.core.metric_families import DECLARED, ZERO_MAP
from camdbench.core.option_types import MapSize
from camdbench.core.protocols import Protocol
from camdbench.core.registries import metric
from camdbench.functional.normalise import upsample
from camdbench.functional.sparseness import count_relevant, entropy, gini
from camdbench.metrics.common.inputs import MetricInputs
from camdbench.metrics.common.result import MetricResult

_PROTOCOLS = (DECLARED.variant("image", maps="abs"), Protocol("layer", maps="abs, layer grid", resize="none"), DECLARED.variant("mask"))


_SIZES = {"undefined": ZERO_MAP, "protocols": _PROTOCOLS}


@metric(
    "sparseness",
    paper="Chalasani et al. 2020, arXiv:1810.06583",
    higher_is_better=True,
    unit="",
    values="[0, 1)",
    tolerance=0.001,
    **_SIZES,
)
def sparseness(inputs: MetricInputs, *, maps: MapSize = "abs") -> MetricResult:
    r"""Gini index of the map: 0 where all places are equal, towards 1 where few hold everything.

    .. math:: G(s) = \frac{\sum_i (2i - n - 1)\,s_{(i)}}{n \sum_i s_i}

    (B,) in [0, 1). Independent of the map's scale. Undefined for a map of zeros.
    """
    return _defined(gini, _sizes(inputs, maps))


NO_ENTROPY = "the map is zero everywhere, or has a single place where its entropy is normalised"


@metric(
    "entropy",
    paper="Bhatt et al. 2020, arXiv:2005.00631 (complexity)",
    higher_is_better=False,
    unit="",
    values="[0, inf)",
    tolerance=0.005,
    undefined=NO_ENTROPY,
    protocols=_PROTOCOLS,
)
def map_entropy(inputs: MetricInputs, *, maps: MapSize = "abs", normalised: bool = False) -> MetricResult:
    r"""Entropy of the places' shares in the map, which Bhatt calls complexity: 0 for one place, log n for n equal ones.

    .. math:: -\sum_i q_i \log q_i, \quad q_i = |s_i| / \sum_j |s_j|

    (B,) in nats, or in [0, 1] with `normalised`, which divides by log n and so compares maps of several sizes.
    Undefined for a map of zeros.
    """
    return _defined(lambda found: entropy(found, normalised=normalised), _sizes(inputs, maps))


@metric(
    "effective_complexity",
    paper="Nguyen & Martinez 2020, arXiv:2007.07584",
    higher_is_better=False,
    unit="",
    values="(0, inf)",
    tolerance=10.0,
    **_SIZES,
)
def effective_complexity(
    inputs: MetricInputs,
    *,
    maps: MapSize = "abs",
    threshold: NonNegativeFloat = 1e-5,
    normalised: bool = False,
) -> MetricResult:
    r"""Number of places of the map above a small share of its maximum.

    .. math:: \#\{i : |s_i| > \epsilon \max_j |s_j|\}

    (B,), from 1 to the number of places, or their share in [0, 1] with `normalised`. `threshold` is relative to the
    map's own maximum. Undefined for a map of zeros, which would otherwise be the best of all.
    """
    found = _sizes(inputs, maps)
    places = found[0].numel() if normalised else 1
    return _defined(lambda sizes: count_relevant(sizes, threshold) / places, found)


def _sizes(inputs: MetricInputs, maps: str) -> Tensor:
    """Maps (B, ., .) >= 0; maps without a known raw form are taken as they are."""
    if maps == "default" or inputs.raw is None:
        return inputs.saliency
    if maps == "abs, layer grid":
        return inputs.raw.abs()
    return upsample(inputs.raw.float(), (inputs.images.shape[-2], inputs.images.shape[-1])).abs()


def _defined(measure: Callable[[Tensor], Tensor], sizes: Tensor) -> MetricResult:
    empty = (sizes == 0).flatten(1).all(1)
    values = measure(sizes)
    single = values.isnan() & sizes.isfinite().flatten(1).all(1).to(values.device)
    return MetricResult(values.masked_fill(empty.to(values.device), torch.nan), undefined=single | empty.to(values.device))
