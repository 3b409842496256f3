"""Feature ablation: the effect of removing each segment alone."""

from __future__ import annotations

from typing import Literal

import torch
from pydantic import PositiveInt
from torch import Tensor

from camdbench.core.cost import Cost, Repeat
from camdbench.core.registries import explainer
from camdbench.explainers.common.masked_scoring import explained_scores, fill_image
from camdbench.explainers.common.segments import scores_of_rows, segment
from camdbench.explainers.common.trace import Trace


@explainer(
    "featureablation",
    paper="Zeiler & Fergus 2014, arXiv:1311.2901, section 4.2, on segments; Captum, feature_ablation.py",
    cost=Cost(forward=1, repeats=(Repeat("per feature", forward=1),)),
    values="(-inf, inf)",
)
def featureablation(
    trace: Trace,
    *,
    segments: Literal["quickshift", "grid"] = "quickshift",
    cells: PositiveInt = 8,
    fill: Literal["mean", "black"] = "mean",
    score: Literal["probability", "logit"] = "logit",
    spread: Literal["value", "density"] = "value",
) -> Tensor:
    r"""Feature ablation: drop of the class score when one segment is removed.

    .. math:: \phi_s = y(x) - y(x_{\setminus s})

    Segments, fill and score are those of `kernelshap`. With `spread="value"` each pixel of a segment has the segment's value, so
    that a sum over pixels weighs a segment by its area; with `spread="density"` the pixels of a segment sum to its value.

    Returns:
        (B, H, W), signed.
    """
    found = segment(trace, segments, cells)
    whole = explained_scores(trace, trace.logits, None, score).detach().cpu().double()
    without = scores_of_rows(trace, found, [1 - torch.eye(count) for count in found.counts], fill_image(trace, fill), score)
    return found.spread([all_ - row for all_, row in zip(whole, without, strict=True)], spread)
