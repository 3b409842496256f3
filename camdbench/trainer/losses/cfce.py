"""Core-focused cross-entropy (CFCE): the magnitude of contributions outside the core region counts against the label."""

from __future__ import annotations

from typing import Literal

import torch
import torch.nn.functional as F
from pydantic import NonNegativeFloat, PositiveFloat, PositiveInt
from torch import Tensor

from camdbench.core.difference import Difference
from camdbench.core.registries import loss
from camdbench.functional.core_focused_loss import (
    class_maps,
    contrasts,
    core_divergence,
    core_focused_binary_logits,
    core_focused_logits,
    core_of,
    divergence,
    on_grid,
)
from camdbench.trainer.step import TrainingStep, presence_losses
from camdbench.trainer.task import LossResult


@loss("cfce", paper="Improving feature alignment in ConvNets using ContrastiveCAMs (anonymous, under review), eq. 15", needs=("masks",))
def cfce(step: TrainingStep, *, chunk: PositiveInt = 128) -> LossResult:
    r"""CFCE: cross-entropy of class contrasts; outside the core their magnitude counts against the label (eq. 15).

    .. math::
        \log \sum_c \exp\left(b_c - b_t - \textstyle\sum H\,\mathrm{CC}_{t,c} + \sum (1 - H)\,|\mathrm{CC}_{t,c}|\right),
        \quad \mathrm{CC}_{t,c} = \mathrm{CAM}_t - \mathrm{CAM}_c

    H is the mask resized to the layer's grid (nearest-exact); if H is empty, it is 1 everywhere, which is cross-entropy
    (`skipped`). The paper has no biases; those of the head enter as in proposition 4.1.

    Args:
        step: the batch; the head must be global average pooling and a linear layer.
        chunk: number of classes whose maps are in memory at a time.

    Returns:
        (B,) nats, not negative; lower is better.
    """
    core, empty = _core(step)
    exponents = _exponents(step, core, chunk)
    total = F.cross_entropy(exponents, step.labels, reduction="none")
    return LossResult(total, {"cfce": total} | _log(step, core, empty), step.logits)


@loss(
    "rcfce",
    paper="Improving feature alignment in ConvNets using ContrastiveCAMs (anonymous, under review), eq. 18",
    needs=("masks",),
    differs=(
        Difference(
            "authors' code",
            "clamps the softmax at 1e-6 and takes logarithms of its target",
            "not a number from lambda_2 = 100 on, so not at the paper's 1000; no gradient at 97 % of cells",
        ),
        Difference("authors' code", "does not divide the divergence by C - 1", "lambda_1 counts C - 1 times as much"),
    ),
)
def rcfce(
    step: TrainingStep,
    *,
    weight: NonNegativeFloat = 50.0,
    sharpness: PositiveFloat = 1e3,
    scale: PositiveFloat = 10.0,
    chunk: PositiveInt = 128,
) -> LossResult:
    r"""RCFCE: CFCE plus the KL divergence of the contrast maps from a uniform map on the core (eq. 18).

    .. math::
        \mathrm{CFCE} + \frac{\lambda_1}{C - 1} \sum_{c \ne t} \mathrm{KL}\left(\mathrm{softmax}(\lambda_2
        H)\,\|\,\mathrm{softmax}(\lambda_3 \mathrm{CC}_{t,c})\right)

    The softmax is over grid cells. An image without a core has no divergence.

    Args:
        step: the batch; the head must be global average pooling and a linear layer.
        weight: lambda_1.
        sharpness: lambda_2.
        scale: lambda_3.
        chunk: number of classes whose maps are in memory at a time.

    Returns:
        (B,) nats, not negative; lower is better.
    """
    core, empty = _core(step)
    cross, trace = F.cross_entropy(_exponents(step, core, chunk), step.labels, reduction="none"), step.trace
    kl = core_divergence(trace.activations, trace.class_weights, core, step.labels, sharpness=sharpness, scale=scale, chunk=chunk)
    total = cross + weight * torch.where(empty, 0, kl)
    return LossResult(total, {"cfce": cross, "kl": kl.where(~empty, torch.nan)} | _log(step, core, empty), step.logits)


_BINARY_DIFFERS = (
    Difference(
        "authors' code",
        "averages present and absent classes separately (compat=author)",
        "with 1.5 of 20 classes present, a present class weighs 6.7 times as much",
    ),
    Difference(
        "authors' code for SBD",
        "weights a present class by (images without it) / (images with it) (pos_weight)",
        "1.8 for persons to 37.3; not in eq. 71",
    ),
)


@loss(
    "cfbce",
    paper="Improving feature alignment in ConvNets using ContrastiveCAMs (anonymous), eq. 71",
    needs=("masks", "class masks"),
    differs=_BINARY_DIFFERS,
)
def cfbce(step: TrainingStep, *, compat: Literal["paper", "author"] = "paper", pos_weight: tuple[float, ...] = ()) -> LossResult:
    r"""CFBCE: binary cross-entropy; outside the core the magnitude of a present class's map counts against it (eq. 71).

    .. math::
        -\frac{1}{C} \sum_c \left(y_c \log \sigma(b_c + \textstyle\sum H \mathrm{CAM}_c - \sum (1 - H)\,|\mathrm{CAM}_c|) +
        (1 - y_c) \log(1 - \sigma(f_c))\right)

    H is the mask on the layer's grid. Each class has a mask, or one mask covers all classes of an image; an empty H is 1
    everywhere. The bias b_c of a class is added to its sum.

    Args:
        step: the batch; the head must be global average pooling and a linear layer.
        compat: `author`: half the mean over all present classes of the batch and half that over all absent ones, as in the
            authors' code without `pos_weight`. With few classes present it is larger.
        pos_weight: weight of each class where it is present; default: 1. The authors' code for SBD has (images without it) /
            (images with it) and averages as the paper does.

    Returns:
        (B,) nats, not negative; lower is better. With `compat="author"` the mean over the batch is the loss.

    Raises:
        NotApplicable: the head is not global average pooling and a linear layer.
        UsageError: the number of weights is not that of classes, or one is negative.
    """
    total, _, _, _ = _binary(step, compat, pos_weight)
    return LossResult(total, {"cfbce": total}, step.logits)


@loss(
    "rcfbce",
    paper="Improving feature alignment in ConvNets using ContrastiveCAMs (anonymous), eq. 72",
    needs=("masks", "class masks"),
    differs=_BINARY_DIFFERS,
)
def rcfbce(
    step: TrainingStep,
    *,
    weight: NonNegativeFloat = 50.0,
    sharpness: PositiveFloat = 1e3,
    scale: PositiveFloat = 10.0,
    compat: Literal["paper", "author"] = "paper",
    pos_weight: tuple[float, ...] = (),
) -> LossResult:
    r"""RCFBCE: CFBCE plus the KL divergence of the maps of present classes from a uniform map on their core (eq. 72).

    .. math::
        \mathrm{CFBCE} + \frac{\lambda_1}{|y|_1} \sum_c y_c\, \mathrm{KL}\left(\mathrm{softmax}(\lambda_2
        H_c)\,\|\,\mathrm{softmax}(\lambda_3 \mathrm{CAM}_c)\right)

    The softmax is over grid cells. A class without a core has no divergence.

    Args:
        step: the batch; the head must be global average pooling and a linear layer.
        weight: lambda_1.
        sharpness: lambda_2.
        scale: lambda_3.
        compat: as of `cfbce`; the divergence is the paper's.
        pos_weight: as of `cfbce`.

    Returns:
        (B,) nats, not negative; lower is better.
    """
    total, maps, core, empty = _binary(step, compat, pos_weight)
    present = step.present * ~empty
    kl = (present * divergence(maps, core, sharpness=sharpness, scale=scale)).sum(1) / present.sum(1).clamp_min(1)
    return LossResult(total + weight * kl, {"cfbce": total, "kl": kl}, step.logits)


def _core(step: TrainingStep) -> tuple[Tensor, Tensor]:
    grid = step.trace.activations
    step.known_labels  # noqa: B018 - raises if an image has no label
    core, empty = core_of(step.masks, (grid.shape[2], grid.shape[3]))
    return core.to(grid.dtype), empty


def _exponents(step: TrainingStep, core: Tensor, chunk: int) -> Tensor:
    """(B, C) exponents of eq. 15; the biases are the logits minus the sums of the maps."""
    trace = step.trace
    bias = trace.logits - trace.activations.mean((2, 3)) @ trace.class_weights.T
    own = bias.gather(1, step.labels[:, None])
    return core_focused_logits(trace.activations, trace.class_weights, core, step.labels, chunk=chunk) + bias - own


@torch.no_grad()
def _log(step: TrainingStep, core: Tensor, empty: Tensor) -> dict[str, Tensor]:
    """Log entries: fraction of the contrast magnitude on the core, and images without a core."""
    size = contrasts(step.trace.activations, step.trace.class_weights, step.labels).abs().sum(1)  # (B, h, w)
    share = (size * core).sum((1, 2)) / size.sum((1, 2))  # NaN if all contrasts are 0
    return {"core_share": share.where(~empty, torch.nan), "skipped": empty.to(size.dtype)}


def _binary(step: TrainingStep, compat: str, pos_weight: tuple[float, ...]) -> tuple[Tensor, Tensor, Tensor, Tensor]:
    """The loss (B,), maps (B, C, h, w), cores (B, C or 1, h, w), and a bool for each empty core."""
    trace = step.trace
    maps = class_maps(trace.activations, trace.class_weights)
    core = on_grid(step.class_masks, (maps.shape[2], maps.shape[3])).to(maps.dtype)
    empty = core.flatten(2).amax(2) == 0
    core = torch.where(empty[:, :, None, None], 1, core)
    logits = core_focused_binary_logits(maps, core, trace.logits, step.present)
    losses = presence_losses(logits, step.present, pos_weight)
    if compat == "author" and not pos_weight:
        halves = [part * (len(part) / 2 / part.sum().clamp_min(1)) for part in (step.present, 1 - step.present)]
        return (losses * sum(halves)).sum(1), maps, core, empty
    return losses.mean(1), maps, core, empty
