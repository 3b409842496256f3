"""RISE: mean of random masks weighted by the class score of the masked image."""

from __future__ import annotations

from typing import Literal

import torch
from pydantic import PositiveFloat, PositiveInt
from torch import Tensor

from camdbench.core.cost import Cost, Repeat
from camdbench.core.difference import Difference
from camdbench.core.errors import UsageError
from camdbench.core.registries import explainer
from camdbench.explainers.common.masked_scoring import Border, fill_image, random_masks, score_masked
from camdbench.explainers.common.trace import Trace

_BORDERS: dict[str, Border] = {"author": "mirror", "torchray": "torchray"}


@explainer(
    "rise",
    paper="Petsiuk et al. 2018, arXiv:1806.07421, eq. 6, section 3.2",
    cost=Cost(forward=1, repeats=(Repeat("masks", forward=1),)),
    stochastic=True,
    differs=(
        Difference(
            "authors' code",
            "mirrors the grids at their border (compat=author)",
            "standard deviation of a mask's corner 0.34; here 0.44, more than at the centre (0.35)",
        ),
        Difference(
            "TorchRay",
            "mirrors too, has cells of 37 instead of 36.6 pixels at 224, scores sigmoid(logit), divides by N alone (compat=torchray)",
            "masks as the authors'; a factor p, and scores near 1 for every class of large logit",
        ),
        Difference("Xplique", "divides each pixel by its coverage (compat=xplique)", "unequal coverage is corrected"),
    ),
)
def rise(
    trace: Trace,
    *,
    masks: PositiveInt = 4000,
    cells: PositiveInt = 7,
    keep: PositiveFloat = 0.5,
    fill: Literal["mean", "black"] = "mean",
    score: Literal["probability", "logit"] = "probability",
    compat: Literal["paper", "author", "torchray", "xplique"] = "paper",
) -> Tensor:
    r"""RISE: mean of random masks weighted by the class probability of the masked image.

    .. math:: \frac{1}{N p} \sum_{i=1}^{N} p_c(x \odot M_i)\,M_i

    The N random masks are binary grids of `cells` x `cells` that keep a cell with
    probability p = `keep`, enlarged bilinearly and cropped at a random offset. The paper takes 4000 masks for VGG16 and 8000
    for ResNet-50. One set of masks, drawn from the seed, serves all images. `fill` replaces masked pixels: the network's
    mean colour, as in the authors' code, which masks the normalised image, or black. Outside the outermost nodes of its grid
    a mask is constant; the paper leaves this open.

    `compat="author"` mirrors the grid there, as the authors' code does. `torchray` does so on slightly larger cells, scores
    sigmoid(logit), regardless of `score`, and divides by N. `xplique` divides each pixel by sum_i M_i, which corrects for
    unequal coverage.

    Returns:
        (B, H, W), non-negative for `score="probability"`.
    """
    if keep > 1:
        raise UsageError(f"rise(keep={keep}): expected a probability, at most 1")
    bank = random_masks(trace, masks, cells, keep, _BORDERS.get(compat, "clamp"))
    total = trace.images.new_zeros(len(trace.images), *trace.size)
    shown = torch.zeros_like(total[:1])
    for chunk, scores in score_masked(trace, masks, bank.masks, fill_image(trace, fill), "sigmoid" if compat == "torchray" else score):
        total += torch.einsum("bn,nhw->bhw", scores, chunk)
        shown += chunk.sum(0)
    if compat == "xplique":
        return total / shown.clamp_min(torch.finfo(shown.dtype).eps)
    return total / (masks if compat == "torchray" else masks * keep)
