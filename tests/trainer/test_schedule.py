"""Optimisers and rates: what the recipe names, and the course that was asked for."""

from __future__ import annotations

import math

import pytest
import torch
from torch import nn

from camdbench.trainer.recipe import Optimiser
from camdbench.trainer.schedule import optimiser_of, rate_at, schedule_of


@pytest.mark.parametrize(("name", "kind"), [("adamw", torch.optim.AdamW), ("adam", torch.optim.Adam), ("sgd", torch.optim.SGD)])
def test_the_optimiser_is_the_one_that_was_named(name: str, kind: type) -> None:
    found = optimiser_of(nn.Linear(2, 2).parameters(), Optimiser(name=name, lr=0.3, weight_decay=0.1, momentum=0.5))
    assert type(found) is kind
    assert (found.defaults["lr"], found.defaults["weight_decay"]) == (0.3, 0.1)
    assert found.defaults.get("momentum", 0.5) == 0.5


def _course(how: Optimiser, steps: int) -> list[float]:
    optimiser = torch.optim.SGD(nn.Linear(2, 2).parameters(), how.lr, momentum=0.9)
    schedule = schedule_of(optimiser, how, steps)
    found = []
    for _ in range(steps):
        found.append(schedule.get_last_lr()[0])
        optimiser.step()
        schedule.step()
    return found


def test_a_warm_up_and_then_half_a_cosine() -> None:
    found = _course(Optimiser(lr=2.0, schedule="cosine", warmup_fraction=0.25), 8)
    cosine = [1 + math.cos(math.pi * step / 6) for step in range(6)]
    assert found == pytest.approx([0.02, 0.02 + 1.98 / 2, *cosine])


def test_steps_and_constant() -> None:
    assert _course(Optimiser(lr=1.0, schedule="multistep", milestones=(0.5, 0.75), gamma=0.1), 4) == pytest.approx([1, 1, 0.1, 0.01])
    assert _course(Optimiser(lr=0.3, schedule="constant"), 3) == [0.3] * 3


def test_one_cycle_peaks_at_the_rate() -> None:
    assert max(_course(Optimiser(lr=0.3), 20)) == pytest.approx(0.3, rel=0.02)


def test_the_last_step_of_a_cosine_without_a_warm_up_worth_a_step() -> None:
    assert rate_at(0, Optimiser(schedule="cosine", warmup_fraction=0.001), 1) == pytest.approx(0.01)
    assert rate_at(1, Optimiser(schedule="cosine", warmup_fraction=0.001), 1) < 1e-5
