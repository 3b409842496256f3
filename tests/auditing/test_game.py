"""Shapley values of small games: by orders of joining, by known games, and by symmetry."""

from __future__ import annotations

import itertools

import numpy as np
import pytest

from camdbench.auditing.game import interaction, players_of, shapley_values, share_of


def by_orders(values: np.ndarray) -> np.ndarray:
    """A literal reading of the definition: the mean contribution of each player over all orders of joining."""
    players = players_of(values)
    found, orders = np.zeros(players), list(itertools.permutations(range(players)))
    for order in orders:
        coalition = 0
        for player in order:
            found[player] += values[coalition | 1 << player] - values[coalition]
            coalition |= 1 << player
    return found / len(orders)


@pytest.mark.parametrize("players", [2, 3, 4])
def test_values_are_the_mean_over_orders_and_sum_to_the_whole(players: int) -> None:
    values = np.random.default_rng(players).standard_normal((5, 2**players))
    phi = shapley_values(values)
    assert phi == pytest.approx(np.stack([by_orders(one) for one in values]), abs=1e-12)
    assert phi.sum(1) == pytest.approx(values[:, -1] - values[:, 0], abs=1e-10)


def test_known_games() -> None:
    both, either = np.array([0.0, 0.0, 0.0, 1.0]), np.array([0.0, 1.0, 1.0, 1.0])
    assert shapley_values(both).tolist() == [0.5, 0.5]
    assert (interaction(both), interaction(either)) == (1, -1)
    additive = np.array([1.0 + 2 * (k & 1) - 3 * (k >> 1 & 1) + 5 * (k >> 2) for k in range(8)])
    assert shapley_values(additive) == pytest.approx([2, -3, 5], abs=1e-15)
    assert interaction(additive) == 0


def test_two_players_who_swap_swap_their_values() -> None:
    values = np.random.default_rng(0).standard_normal((7, 4))
    assert np.array_equal(shapley_values(values[:, [0, 2, 1, 3]]), shapley_values(values)[:, ::-1])
    assert np.array_equal(interaction(values[:, [0, 2, 1, 3]]), interaction(values))


def test_shares() -> None:
    group = np.array([True, True, False])
    phi = np.array([[1.0, 1.0, 2.0], [1.0, -1.0, 2.0], [-1.0, -1.0, -2.0], [0.0, 0.0, 0.0]])
    assert share_of(phi, group) == pytest.approx([0.5, 0.5, 0.5, np.nan], nan_ok=True)
    assert share_of(phi, group, positive=True) == pytest.approx([0.5, 1 / 3, np.nan, np.nan], nan_ok=True)
