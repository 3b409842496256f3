"""Cooperative games of few players: Shapley values, interaction, and the shares of the players.

The values of a game are an array whose last axis has one entry per coalition: bit j of its index is set if player j is in the coalition.
Shapley 1953; the share of a player is the fraction of the total magnitude of the Shapley values that it has.
"""

from __future__ import annotations

from math import factorial

import numpy as np


def players_of(values: np.ndarray) -> int:
    """Number of players p of values (…, 2^p).

    >>> players_of(np.zeros((3, 4)))
    2
    """
    return values.shape[-1].bit_length() - 1


def shapley_values(values: np.ndarray) -> np.ndarray:
    r"""Shapley values, by the formula over all coalitions.

    .. math:: \phi_j = \sum_{S \not\ni j} \frac{|S|! (p - |S| - 1)!}{p!} [v(S \cup j) - v(S)]

    They sum to v(all) - v(none).

    >>> shapley_values(np.array([0.0, 0.0, 0.0, 1.0])).tolist()  # both are needed
    [0.5, 0.5]

    Args:
        values: (…, 2^p) value of each coalition.

    Returns:
        (…, p) in the unit of the values.
    """
    players, coalitions = players_of(values), np.arange(values.shape[-1])
    sizes = np.array([int(one).bit_count() for one in coalitions])
    weights = np.array([factorial(size) * factorial(players - size - 1) for size in range(players)]) / factorial(players)
    found = list[np.ndarray]()
    for player in range(players):
        without = coalitions[coalitions >> player & 1 == 0]
        found.append((weights[sizes[without]] * (values[..., without | 1 << player] - values[..., without])).sum(-1))
    return np.stack(found, -1)


def interaction(values: np.ndarray) -> np.ndarray:
    r"""What all players achieve together beyond the sum of what each achieves alone.

    .. math:: I = v(all) - v(none) - \sum_j [v(\{j\}) - v(none)]

    >>> float(interaction(np.array([0.0, 0.0, 0.0, 1.0])))
    1.0

    Args:
        values: (…, 2^p) value of each coalition.

    Returns:
        (…,) in the unit of the values; 0 for an additive game.
    """
    alone = sum(values[..., 1 << player] - values[..., 0] for player in range(players_of(values)))
    return values[..., -1] - values[..., 0] - alone


def share_of(phi: np.ndarray, group: np.ndarray, *, positive: bool = False) -> np.ndarray:
    """Fraction of the magnitude of the Shapley values that a group of players has.

    >>> share_of(np.array([3.0, -1.0]), np.array([True, False])).tolist()
    0.75
    >>> share_of(np.array([3.0, -1.0]), np.array([True, False]), positive=True).tolist()
    1.0

    Args:
        phi: (…, p) Shapley values.
        group: (p,) bool, True for the players of the group.
        positive: whether negative values count as 0 instead of by their magnitude: the share that a rectified map can show.

    Returns:
        (…,) in [0, 1]; NaN where all are 0.
    """
    size = np.maximum(phi, 0) if positive else np.abs(phi)
    total = size.sum(-1)
    with np.errstate(invalid="ignore", divide="ignore"):
        return np.where(total > 0, size[..., group].sum(-1) / total, np.nan)
