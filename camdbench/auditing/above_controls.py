"""How often a metric places explainers above controls, which know nothing about the network."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from camdbench.auditing.rank_correlation import mean_defined, pair_differences, pairs
from camdbench.core.spec import parse_spec

CONTROLS = ("fakecam", "random", "centre", "edges")
"""Controls with a column each."""


def above_control(values: np.ndarray, real: np.ndarray, control: np.ndarray, tolerance: float = 0.0) -> float:
    """Probability that a real explainer scores above a control on an image, over images, networks and pairs; ties count half.

    Args:
        values: (M, E, N), more is better, NaN where undefined.
        real: (E,) which explainers are real.
        control: (E,) which are copies of the control, such as several grids of random numbers.
        tolerance: largest difference of tied values.

    Returns:
        Probability in [0, 1]; NaN if no pair is defined on an image.
    """
    moved = values[:, real][:, :, None] - values[:, control][:, None]
    won = np.where(np.isnan(moved), np.nan, (1 + np.where(np.abs(moved) <= tolerance, 0.0, np.sign(moved))) / 2)
    return mean_defined(won)


def of_control(explainers: Sequence[str], control: str) -> np.ndarray:
    """Which explainers (E,) are a control, with any options.

    >>> of_control(["gradcam", "random", "random(cells=7)"], "random").tolist()
    [False, True, True]
    """
    return np.array([parse_spec(name).name == control for name in explainers], dtype=bool)


def fooled_by(values: np.ndarray, explainers: Sequence[str], sets: Sequence[str], tolerance: float = 0.0) -> list[str]:
    """Controls whose mean value is better than that of every real explainer.

    The two means of a pair are over the networks and images on which both are defined.

    Args:
        values: (M, E, N), more is better.
        explainers: E names.
        sets: `real`, `control` or `oracle` of each.
        tolerance: largest difference of tied means.

    Returns:
        Names of controls; none without a real explainer.
    """
    flat = np.moveaxis(values, 0, 1).reshape(len(explainers), values.shape[0] * values.shape[2])
    signs = np.zeros((len(explainers), len(explainers)))
    first, second = pairs(len(explainers))
    signs[first, second] = pair_differences(np.ones((1, flat.shape[1])), flat).signs(tolerance)[0]
    signs -= signs.T
    real = np.array([kind == "real" for kind in sets], dtype=bool)
    if not real.any():
        return []
    better = np.all(signs[:, real] > 0, axis=1)
    return [name for place, name in enumerate(explainers) if sets[place] == "control" and better[place]]
