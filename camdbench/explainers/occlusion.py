"""Occlusion: drop of the class score under a sliding window."""

from __future__ import annotations

from typing import Literal

import torch
from pydantic import PositiveInt
from torch import Tensor

from camdbench.core.cost import Cost, Repeat
from camdbench.core.registries import explainer
from camdbench.explainers.common.masked_scoring import explained_scores, fill_image, score_masked
from camdbench.explainers.common.trace import Trace


@explainer(
    "occlusion",
    paper="Zeiler & Fergus 2014, arXiv:1311.2901, section 4.2",
    cost=Cost(forward=1, repeats=(Repeat("per window position", forward=1),)),
    values="(-inf, inf)",
)
def occlusion(
    trace: Trace,
    *,
    window: PositiveInt | None = None,
    stride: PositiveInt | None = None,
    fill: Literal["mean", "black"] = "mean",
    score: Literal["probability", "logit"] = "probability",
) -> Tensor:
    r"""Occlusion: mean drop of the class score over the windows that cover a pixel.

    .. math:: \mathrm{mean}_{W \ni u}\,(y(x) - y(x_{\setminus W}))

    Window and stride are in pixels. Default: the
    window is a fifth of the shorter side (the paper slides a grey square of 50 pixels over images of about 224), and
    the stride half a window. Windows start at multiples of the stride; the last one may cross the border.
    `score="logit"` is Captum's convention.

    Returns:
        (B, H, W), signed.
    """
    side = window or max(1, round(min(trace.size) / 5))
    step = stride or max(1, side // 2)
    rows, columns = (_spans(length, side, step, trace.images) for length in trace.size)  # (r, H), (c, W)

    def masks_of(part: slice) -> Tensor:
        index = torch.arange(part.start, part.stop, device=rows.device)
        return 1 - rows[index // len(columns), :, None] * columns[index % len(columns), None, :]

    clean = explained_scores(trace, trace.logits, None, score)
    lost = clean.new_zeros(len(clean), *trace.size)
    for masks, scores in score_masked(trace, len(rows) * len(columns), masks_of, fill_image(trace, fill), score):
        lost += torch.einsum("bn,nhw->bhw", clean[:, None] - scores, 1 - masks)
    return lost / (rows.sum(0)[:, None] * columns.sum(0)).clamp_min(1)  # a stride wider than the window leaves gaps


def _spans(length: int, side: int, step: int, like: Tensor) -> Tensor:
    """Ones where each window lies on an axis, (places, length)."""
    places = 1 + -(-max(0, length - side) // step)
    starts = torch.arange(places, device=like.device)[:, None] * step
    pixels = torch.arange(length, device=like.device)
    return ((pixels >= starts) & (pixels < starts + side)).to(like)
