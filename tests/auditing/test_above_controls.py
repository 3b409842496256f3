"""Real explainers against controls, by a slow reading and on known values."""

from __future__ import annotations

import numpy as np
import pytest

from camdbench.auditing.above_controls import CONTROLS, above_control, fooled_by, of_control
from camdbench.core.registries import explainers

NAMES = ["gradcam", "rise", "fakecam", "random", "random(cells=7)", "gtmask"]
SETS = ["real", "real", "control", "control", "control", "oracle"]
Q = np.random.default_rng(3).integers(0, 5, (2, 6, 20)).astype(float)


def test_the_controls_are_registered_as_such():
    assert all(explainers.get(name).facts.control for name in CONTROLS)


def test_the_probability_is_that_of_all_pairs_with_ties_as_halves():
    gaps = np.where(np.random.default_rng(4).random(Q.shape) < 0.2, np.nan, Q)
    won = []
    for network in gaps:
        for image in network.T:
            won += [1.0 if a > b else 0.5 if a == b else 0.0 for a in image[:2] for b in image[3:5] if not np.isnan(a + b)]
    real = np.array([kind == "real" for kind in SETS])
    assert above_control(gaps, real, of_control(NAMES, "random")) == pytest.approx(np.mean(won))
    assert above_control(gaps, real, of_control(NAMES, "random"), tolerance=9) == 0.5
    assert np.isnan(above_control(gaps, real, of_control(NAMES, "edges")))


def test_a_control_fools_a_metric_if_its_mean_beats_every_real_explainer():
    values = np.zeros((1, 6, 3))
    values[0, :, :] = np.array([1.0, 2.0, 2.0, 3.0, 1.5, 9.0])[:, None]
    assert fooled_by(values, NAMES, SETS) == ["random"]
    values[0, 3, :2], values[0, 1, 2] = np.nan, 4.0  # on the image that both define, rise is better
    assert fooled_by(values, NAMES, SETS) == []
    assert fooled_by(values[:, 2:], NAMES[2:], SETS[2:]) == [], "without a real explainer"
