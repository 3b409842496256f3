"""Average Drop, Average Gain and Average Increase: how masking moves the probability of the class.

With p the probability of the class on the image x and o on x times its map, both softmax, both from float64 logits:
AD and AG are exact where float32 would give p = 1 and 0/0, and AD_i AG_i = 0 for every image.
"""

from __future__ import annotations

from pydantic import NonNegativeFloat
from torch import Tensor

from camdbench.core.catalogue import metric
from camdbench.functional.probability import drop, gain, increase
from camdbench.metrics.evidence import Evidence


@metric(
    "ad",
    paper="Chattopadhyay et al. 2018, arXiv:1710.11063; Opti-CAM, eq. 13",
    higher_is_better=False,
    unit="%",
    protocol="opticam",
    tolerance=0.1,
)
def average_drop(evidence: Evidence) -> Tensor:
    """Share of the class probability that masking loses: 100 max(0, p - o) / p.

    (B,) in [0, 100]. Fake-CAM scores near 0, so read it beside AG.
    """
    return 100 * drop(evidence.log_odds, evidence.masked_log_odds)


@metric("ag", paper="Opti-CAM, arXiv:2301.07002, eq. 15", higher_is_better=True, unit="%", protocol="opticam", tolerance=0.1)
def average_gain(evidence: Evidence) -> Tensor:
    """Share of the missing class probability that masking wins back: 100 max(0, o - p) / (1 - p).

    (B,) in [0, 100].
    """
    return 100 * gain(evidence.log_odds, evidence.masked_log_odds)


@metric(
    "ai",
    paper="Chattopadhyay et al. 2018, arXiv:1710.11063; Opti-CAM, eq. 14",
    higher_is_better=True,
    unit="%",
    protocol="opticam",
    tolerance=1.6,
)
def average_increase(evidence: Evidence, *, tolerance: NonNegativeFloat = 0.0) -> Tensor:
    """Whether masking raises the class probability: 100 where o > p + tolerance, else 0.

    (B,). Strict, as in the paper: with `tolerance=0` rounding noise counts as an increase.
    """
    return 100 * increase(evidence.log_odds, evidence.masked_log_odds, tolerance)
