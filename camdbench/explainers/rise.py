"""RISE: the mean of random masks, weighted by what the class scores under them."""

from __future__ import annotations

from typing import Literal

import torch
from pydantic import PositiveFloat, PositiveInt
from torch import Tensor

from camdbench.core.catalogue import explainer
from camdbench.core.errors import UsageError
from camdbench.explainers.perturbing import filling, mask_bank, scored
from camdbench.explainers.trace import Trace


@explainer("rise", paper="Petsiuk et al. 2018, arXiv:1806.07421, eq. 6, section 3.2", cost="4001 forward", stochastic=True)
def rise(
    trace: Trace,
    *,
    masks: PositiveInt = 4000,
    cells: PositiveInt = 7,
    keep: PositiveFloat = 0.5,
    fill: Literal["mean", "black"] = "mean",
    score: Literal["probability", "logit"] = "probability",
    compat: Literal["paper", "torchray", "xplique"] = "paper",
) -> Tensor:
    """Random masks, weighted by the class's probability under each.

    (B, H, W). S = 1 / (N p) sum_i p_c(x M_i) M_i over N random masks, `cells` x `cells` binary grids that keep a cell
    with probability p = `keep`, enlarged bilinearly and cropped at a random place. The paper takes 4000 masks for
    VGG16 and 8000 for ResNet-50. One bank of masks, drawn from the seed, serves all images. `fill` is what a mask
    hides a pixel behind: the network's mean, which the authors' code does by masking the normalised image, or black.

    `compat` takes other readings: `torchray` scores sigmoid(logit), whatever `score` says, and divides by N;
    `xplique` divides, pixel by pixel, by sum_i M_i, which evens out what chance shows more often.
    """
    if keep > 1:
        raise UsageError(f"rise(keep={keep}): expected a probability, at most 1")
    bank = mask_bank(trace, masks, cells, keep)
    total = torch.zeros(len(trace.images), *trace.size, device=trace.images.device)
    shown = torch.zeros_like(total[:1])
    for chunk, scores in scored(trace, masks, bank.masks, filling(trace, fill), "sigmoid" if compat == "torchray" else score):
        total += torch.einsum("bn,nhw->bhw", scores, chunk)
        shown += chunk.sum(0)
    if compat == "xplique":
        return total / shown.clamp_min(torch.finfo(shown.dtype).eps)
    return total / (masks if compat == "torchray" else masks * keep)
