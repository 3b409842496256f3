"""Infidelity: squares where they may be, and the beta that numpy's least squares finds."""

from __future__ import annotations

import itertools

import numpy as np
import pytest
import torch

from camdbench.functional.infidelity import infidelity, inside, squares


def test_squares_lie_in_the_image_anywhere_and_their_sides_take_turns() -> None:
    found = squares(torch.Generator().manual_seed(0), 3000, (2, 5, 99), (7, 6))
    assert found[:, 2].tolist() == [2, 5, 6] * 1000
    for side in (2, 5, 6):
        corners = {tuple(row[:2]) for row in found.tolist() if row[2] == side}
        assert corners == set(itertools.product(range(7 - side + 1), range(6 - side + 1)))


def test_inside_is_what_a_loop_says() -> None:
    drawn = squares(torch.Generator().manual_seed(0), 20, (1, 3, 4), (7, 6))
    for (top, left, side), found in zip(drawn.tolist(), inside(drawn, (7, 6)).tolist(), strict=True):
        for y, x in itertools.product(range(7), range(6)):
            assert found[y][x] == (top <= y < top + side and left <= x < left + side)


@pytest.mark.parametrize("scale", [1e-160, 1.0, 1e160])
def test_beta_is_the_least_squares_fit(scale: float) -> None:
    generator = torch.Generator().manual_seed(0)
    told, changes = (torch.randn(3, 50, generator=generator, dtype=torch.float64) for _ in range(2))
    for index in range(3):
        fit = np.linalg.lstsq(told[index, :, None].numpy(), changes[index].numpy(), rcond=None)
        assert infidelity(told * scale, changes)[index].item() == pytest.approx(float(fit[1][0]) / 50)


def test_without_beta_it_is_the_plain_mean_and_with_nothing_told_there_is_no_fit() -> None:
    told, changes = torch.tensor([[1.0, 0.0]]), torch.tensor([[0.5, 2.0]])
    assert infidelity(told, changes, scaled=False).item() == pytest.approx((0.25 + 4) / 2)
    assert infidelity(torch.zeros(1, 2), changes).isnan().item()
    assert infidelity(torch.zeros(1, 2), changes, scaled=False).item() == pytest.approx((0.25 + 4) / 2)
