"""LaFAM: the mean over channels of a layer."""

from __future__ import annotations

from torch import Tensor

from camdbench.core.cost import Cost
from camdbench.core.registries import explainer
from camdbench.explainers.common.trace import Trace


@explainer("lafam", paper="Karjauv & Albayrak 2024, arXiv:2407.06059, section 3", cost=Cost(forward=1), needs=("layer",), values="(-inf, inf)")
def lafam(trace: Trace, *, layer: str | None = None) -> Tensor:
    r"""LaFAM: mean of the activations over channels (class-agnostic).

    .. math:: \frac{1}{K} \sum_k A_k

    It shows what a layer's activations show without any weights, and so whether the weights of a CAM add anything.

    Returns:
        (B, h, w), of the sign of the activations.
    """
    return trace.at(layer).activations.mean(1)
