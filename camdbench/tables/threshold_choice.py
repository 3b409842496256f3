"""Threshold of part importance that maximises completeness, of all images or of the other half of them (FunnyBirds)."""

from __future__ import annotations

from collections.abc import Callable, Mapping

import numpy as np

CURVES = ("score", "csdc", "checks", "distractibility", "valid", "half")
"""Own score, CSDC, mean of both checks and distractibility (M, T), whether these have a value (M, 3), and 0 or 1, the half (M, 1)."""


def at_best_threshold(curves: Mapping[str, np.ndarray], *, held_out: bool) -> Callable[[np.ndarray], np.ndarray]:
    """Return the function from weights (r, M), how often each image was drawn, to the mean score at the best threshold (r,).

    The best threshold maximises mean CSDC / 3 + 2 mean of both checks / 3 + mean distractibility (Hesse et al. 2023); of equal ones it
    is the lowest. With `held_out` the images of either half take the threshold of the other half, and have no value if that is empty.

    >>> score = np.array([[0.0, 1.0], [1.0, 0.0]])
    >>> curves = dict(zip(CURVES, (score, score, score, score, np.ones((2, 3)), np.array([[0], [1]]))))
    >>> [at_best_threshold(curves, held_out=own)(np.ones((1, 2))).tolist() for own in (True, False)]
    [[0.0], [0.5]]
    """
    there = np.asarray(np.isfinite(curves["score"]).all(1))
    score, *terms = (np.where(there[:, None], curves[name], 0.0) for name in CURVES[:4])
    valid = np.where(there[:, None], curves["valid"], 0.0)
    half = np.nan_to_num(curves["half"][:, 0], nan=-1.0)
    halves = [there & (half == own) for own in (0, 1)] if held_out else [there, there]

    def best(weights: np.ndarray) -> np.ndarray:
        """Place of the best threshold (r,), -1 without an image."""
        total = np.zeros((len(weights), score.shape[1]))
        for factor, term, counted in zip((1 / 3, 2 / 3, 1), terms, valid.T, strict=True):
            count = weights @ counted
            total += factor * np.divide(
                weights @ (term * counted[:, None]), count[:, None], out=np.zeros_like(total), where=count[:, None] > 0
            )
        return np.where((weights @ valid).sum(1) > 0, total.argmax(1), -1)

    def of(weights: np.ndarray) -> np.ndarray:
        above, below = np.zeros(len(weights)), np.zeros(len(weights))
        for own, other in (halves, halves[::-1]) if held_out else (halves,):
            place, drawn = best(weights * other), weights * own
            chosen = np.take_along_axis(drawn @ score, place[:, None].clip(0), 1)[:, 0]
            above += np.where(place < 0, 0, chosen)
            below += np.where(place < 0, 0, drawn.sum(1))
        return above / np.where(below == 0, np.nan, below)

    return of
