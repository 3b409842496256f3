"""Random numbers that depend on what they are for, and on nothing else."""

from __future__ import annotations

import torch

from camdbench.functional.seeding import generator_for


def test_seed_image_and_purpose_each_change_the_numbers() -> None:
    keys = [(0, "a", "x"), (1, "a", "x"), (0, "b", "x"), (0, "a", "y"), (0, "", "ax"), (0, "ax", "")]
    draws = {torch.rand(1, generator=generator_for(*key)).item() for key in keys}
    assert len(draws) == len(keys)


def test_the_numbers_are_the_same_on_every_machine_and_day() -> None:
    drawn = torch.randint(0, 1000, (3,), generator=generator_for(7, "val-00003", "random")).tolist()
    assert drawn == [482, 630, 62]


def test_the_global_generator_is_left_alone() -> None:
    before = torch.random.get_rng_state()
    torch.rand(5, generator=generator_for(0, "a", "x"))
    assert torch.equal(torch.random.get_rng_state(), before)


def test_any_seed_is_allowed() -> None:
    for seed in (-1, 0, 2**63, 10**30):
        generator_for(seed, "a", "x")
