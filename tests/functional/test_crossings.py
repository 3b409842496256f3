"""Normalised curves, crossings and lines between points."""

from __future__ import annotations

import numpy as np
import torch

from camdbench.functional.crossings import at_places, first_crossing, normalised


def test_scores_are_cut_to_the_way_between_both_ends_and_without_way_there_is_none() -> None:
    scores = torch.tensor([[0.1, 0.5, 0.9], [0.1, 0.5, 0.9]])
    found = normalised(scores, torch.tensor([0.3, 0.9]), torch.tensor([0.7, 0.9]))
    torch.testing.assert_close(found[0], torch.tensor([0.0, 0.5, 1.0]))
    assert found[1].isnan().all()


def test_the_first_crossing_counts_though_the_score_falls_again() -> None:
    holds = torch.tensor([[False, True, False, True], [True, False, False, True], [False] * 4])
    found = first_crossing(holds, torch.tensor([0.0, 0.2, 0.6, 1.0]))
    torch.testing.assert_close(found, torch.tensor([0.2, 0.0, torch.nan], dtype=torch.float64), equal_nan=True)


def test_lines_between_points_are_numpy_s() -> None:
    rng = np.random.default_rng(0)
    x, y, places = np.sort(rng.random(8)), rng.random(8), rng.random(40)
    torch.testing.assert_close(at_places(*map(torch.from_numpy, (x, y, places))), torch.from_numpy(np.interp(places, x, y)))
