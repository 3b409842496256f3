"""Optimisers and learning-rate schedules."""

from __future__ import annotations

import math
from collections.abc import Iterable
from functools import partial

import torch
from torch import nn

from camdbench.trainer.recipe_fields import Optimiser

_START = 0.01  # first rate of a warm-up, relative to the highest


def optimiser_of(parameters: Iterable[nn.Parameter], how: Optimiser) -> torch.optim.Optimizer:
    """The optimiser that a recipe names."""
    if how.name == "sgd":
        return torch.optim.SGD(parameters, how.lr, momentum=how.momentum, weight_decay=how.weight_decay)
    kind = torch.optim.AdamW if how.name == "adamw" else torch.optim.Adam
    return kind(parameters, how.lr, weight_decay=how.weight_decay)


def schedule_of(optimiser: torch.optim.Optimizer, how: Optimiser, steps: int) -> torch.optim.lr_scheduler.LRScheduler:
    """The learning-rate schedule over `steps` steps; it is stepped after each of them, the last included."""
    if how.schedule == "one_cycle":
        return torch.optim.lr_scheduler.OneCycleLR(optimiser, how.lr, total_steps=steps + 1, pct_start=how.warmup_fraction)
    return torch.optim.lr_scheduler.LambdaLR(optimiser, partial(rate_at, how=how, steps=steps))


def rate_at(step: int, how: Optimiser, steps: int) -> float:
    """Learning rate at a step, counted from 0, relative to the highest.

    `cosine` rises linearly from 0.01 over `warmup_fraction` of the steps, then falls by half a cosine to zero; the code of
    the CFCE paper multiplies both.

    >>> [round(rate_at(step, Optimiser(schedule="cosine", warmup_fraction=0.5), 4), 3) for step in range(5)]
    [0.01, 0.505, 1.0, 0.5, 0.0]
    """
    if how.schedule == "constant":
        return 1.0
    if how.schedule == "multistep":
        return how.gamma ** sum(step >= share * steps for share in how.milestones)
    rise = how.warmup_fraction * steps
    if step < rise:
        return _START + (1 - _START) * step / rise
    return 0.5 * (1 + math.cos(math.pi * (step - rise) / max(steps - rise, 1)))
