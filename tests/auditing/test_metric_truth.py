"""Tau of metrics with the truth against scipy, resample by resample, at every level."""

from __future__ import annotations

import numpy as np
import pytest
from scipy import stats

from camdbench.auditing.explainer_truth import movement, tracking
from camdbench.auditing.metric_truth import TruthInputs, image_tau, metric_taus, truth_signs
from camdbench.auditing.resampling import draw_resamples

RNG = np.random.default_rng(9)
M, E, N = 4, 7, 12
R = RNG.random((M, N))
S = np.clip(np.linspace(0.1, 0.9, E)[:, None] * R[:, None] + 0.3 * RNG.random((M, E, N)), 0, 1).round(5)
CELLS = RNG.random((M, E, N))
Q = RNG.integers(0, 4, (M, E, N)).astype(float)
TRUTHS = TruthInputs(
    share_map=S, share_true={"logit": R, "log_odds": R**2}, halves=np.stack([R, 0.8 * R + 0.1 * RNG.random((M, N))]), cell_spearman=CELLS
)


def tau(a: np.ndarray, b: np.ndarray) -> float:
    return float(np.asarray(stats.kendalltau(a, b))[0])


def test_taus_are_scipys_in_every_resample_of_images_explainers_and_networks():
    recipes = ["x", "x", "y", "z"]
    for drawn in (draw_resamples(N, 6), draw_resamples(N, 6, explainers=E, recipes=recipes)):
        found = metric_taus(Q, truth_signs(TRUTHS, drawn))
        for row, images in enumerate(drawn.images):
            kept = np.repeat(np.arange(E), np.ones(E, int) if drawn.explainers is None else drawn.explainers[row].astype(int))
            networks = np.repeat(np.arange(M), np.ones(M, int) if drawn.networks is None else drawn.networks[row].astype(int))
            for place, share_true in enumerate(TRUTHS.variants.values()):
                own = [tau((-np.abs(S[m] - share_true[m]) @ images)[kept], (Q[m] @ images)[kept]) for m in range(M)]
                assert found["error"].networks[place, :, row] == pytest.approx(own)
                assert found["error"].joint[place, row] == pytest.approx(np.mean([own[m] for m in networks]))
                t = tracking(movement(S, share_true), drawn)[0][row]
                assert found["tracking"].joint[place, row] == pytest.approx(tau(t[kept], (Q[networks].sum(0) @ images)[kept]))
            own = [tau((CELLS[m] @ images)[kept], (Q[m] @ images)[kept]) for m in range(M)]
            assert found["cells"].networks[0, :, row] == pytest.approx(own)


def test_the_ceiling_is_the_tau_of_the_halves_and_the_image_tau_a_mean_of_scipys():
    found = metric_taus(Q, truth_signs(TRUTHS, draw_resamples(N, 2)))
    assert TRUTHS.halves is not None
    even, odd = (-np.abs(S - half[:, None]).mean(2) for half in TRUTHS.halves)
    expected = [tau(a, b) for a, b in zip(even, odd, strict=True)]
    assert found["error"].ceiling == pytest.approx([*expected, np.mean(expected)])
    once = draw_resamples(N, 0)
    assert found["tracking"].ceiling[-1] == pytest.approx(tau(*(tracking(movement(S, half), once)[0][0] for half in TRUTHS.halves)))
    images = [np.nanmean([tau(-np.abs(S[m, :, i] - R[m, i]), Q[m, :, i]) for i in range(N)]) for m in range(M)]
    assert found["error"].image == pytest.approx(images)


def test_undefined_values_leave_out_pairs_and_not_images():
    gaps = np.where(RNG.random(Q.shape) < 0.2, np.nan, Q)
    found = metric_taus(gaps, truth_signs(TRUTHS, draw_resamples(N, 1)))
    for m in range(M):
        signs = np.array([[np.sign(np.nansum(gaps[m, e] - gaps[m, f])) for e in range(E)] for f in range(E)])
        theirs = -np.abs(S[m] - R[m]).mean(1)
        theirs = np.sign(theirs[None] - theirs[:, None])
        expected = (signs * theirs).sum() / np.sqrt((signs**2).sum() * (theirs**2).sum())
        assert found["error"].networks[0, m, 0] == pytest.approx(expected)
    own = [tau(-np.abs(S[0, :, i] - R[0, i])[~lost], gaps[0, ~lost, i]) for i, lost in enumerate(np.isnan(gaps[0]).T)]
    assert image_tau(gaps[0], -np.abs(S[0] - R[0])) == pytest.approx(np.nanmean(own))
    assert np.isnan(image_tau(np.ones((3, 4)), RNG.random((3, 4))))


def test_an_explainer_without_truth_or_value_is_left_out_of_both_orders():
    share, values = S.copy(), Q.copy()
    share[:, 2], values[1, 4], cells = np.nan, np.nan, CELLS.copy()
    cells[:, 2] = np.nan
    drawn = draw_resamples(N, 4)
    found = metric_taus(values, truth_signs(TruthInputs(share_map=share, share_true=TRUTHS.share_true, cell_spearman=cells), drawn))
    kept = [0, 1, 3, 4, 5, 6]
    without = TruthInputs(share_map=S[:, kept], share_true=TRUTHS.share_true, cell_spearman=CELLS[:, kept])
    expected = metric_taus(values[:, kept], truth_signs(without, drawn))
    for level in ("error", "tracking", "cells"):
        assert found[level].joint == pytest.approx(expected[level].joint)
        assert found[level].networks == pytest.approx(expected[level].networks)
    assert found["error"].explainers.tolist() == [6, 5, 6, 6, 5]
    assert found["tracking"].explainers[-1] == 6
    five = [0, 1, 3, 5, 6]
    assert found["error"].networks[0, 1, 0] == pytest.approx(tau(-np.abs(S[1] - R[1]).mean(1)[five], Q[1].mean(1)[five]))
