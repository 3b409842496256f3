"""Explainers against the truth: perfect, blind and known ones, scipy's correlations, and inputs without an answer."""

from __future__ import annotations

import numpy as np
import pytest
from scipy import stats

from camdbench.auditing.explainer_truth import (
    EXPLAINER_COLUMNS,
    ExplainerInputs,
    explainer_table,
    movement,
    partial_spearman,
    same_explainers,
    share_errors,
    sign_accuracy,
    tracking,
)
from camdbench.auditing.resampling import draw_resamples

RNG = np.random.default_rng(6)
M, N = 4, 25
R = np.clip(np.linspace(0.1, 0.9, M)[:, None] + 0.1 * RNG.normal(size=(M, N)), 0, 1)
NAMES = ["perfect", "half", "blind", "noise"]
BLIND = np.tile(RNG.random(N), (M, 1)) + 1e-7 * RNG.normal(size=(M, N))  # float noise, which rounding to 1e-5 does not always remove
BLIND[:, 0] = 0.123455 + np.array([-1, 1, -1, 1]) * 1e-8
S = np.stack([R, 0.5 * R + 0.2, BLIND, RNG.random((M, N))], axis=1)
NETWORKS = ["a", "b", "c", "d"]


def table(**changes) -> dict[str, dict[str, float]]:
    inputs = ExplainerInputs(**{"share_map": S, "share_true": R, **changes})
    found = explainer_table(NAMES, NETWORKS, inputs, resamples=100)
    assert list(found.columns) == list(EXPLAINER_COLUMNS)
    assert len(found) == (M + 1) * len(NAMES)
    return found[found["model"] == "*"].set_index("explainer").to_dict("index")


def test_a_perfect_explainer_has_no_error_and_tracks_the_truth():
    own = table()["perfect"]
    assert own["error"] == pytest.approx(0, abs=5e-6)  # shares are rounded to 1e-5
    assert own["tracking"] == pytest.approx(1, abs=1e-6)
    assert own["slope"] == pytest.approx(1, abs=1e-4)
    half = table()["half"]
    assert half["tracking"] == pytest.approx(1, abs=1e-6)
    assert half["slope"] == pytest.approx(0.5, abs=1e-4)
    assert half["error"] == pytest.approx(np.abs(0.2 - 0.5 * R).mean(), abs=1e-5)


def test_a_map_that_ignores_the_network_has_no_tracking_in_any_resample():
    moved = movement(S, R)
    for recipes in (None, ["x", "x", "y", "y"]):
        t, slope = tracking(moved, draw_resamples(N, 50, recipes=recipes))
        assert np.abs([t[:, 2], slope[:, 2]]).max() <= 1e-12
    assert table()["blind"]["tracking_high"] <= 1e-12


@pytest.mark.parametrize("recipes", [None, ["x", "x", "y", "z"]])
def test_tracking_is_pearsons_correlation_of_the_centred_shares_of_copied_images_and_networks(recipes):
    drawn = draw_resamples(N, 10, seed=1, recipes=recipes)
    t, slope = tracking(movement(S, R), drawn)
    for row in range(11):
        networks = np.arange(M) if drawn.networks is None else np.repeat(np.arange(M), drawn.networks[row].astype(int))
        images = np.repeat(np.arange(N), drawn.images[row].astype(int))
        s, r = S[networks][:, 3][:, images].round(5), R[networks][:, images]
        ds, dr = (s - s.mean(0)).ravel(), (r - r.mean(0)).ravel()
        assert t[row, 3] == pytest.approx(stats.pearsonr(ds, dr).statistic, abs=1e-6)
        assert slope[row, 3] == pytest.approx(stats.linregress(dr, ds).slope, abs=1e-6)


def test_a_resample_of_one_network_alone_has_no_tracking():
    drawn = draw_resamples(N, 200, recipes=["x"] * M)
    assert drawn.networks is not None
    alone = drawn.networks.max(1) == M
    assert alone.any()
    t, slope = tracking(movement(S, R), drawn)
    assert np.isnan(t[alone]).all()
    assert np.isnan(slope[alone]).all()
    assert not np.isnan(t[~alone]).any()


def test_undefined_shares_are_left_out_one_by_one():
    gaps = S.copy()
    gaps[0, 1, :5], gaps[1:, 1, 5] = np.nan, np.nan  # image 5 is left with one network, which shows no movement
    truth = R.copy()
    truth[2, 7] = np.nan
    moved = movement(gaps, truth)
    assert moved.defined[:, 1].sum() == M * N - 5 - 4 - 1
    assert np.abs(moved.maps.sum(0)).max() < 1e-12
    own = table(share_map=gaps, share_true=truth)["half"]
    assert own["tracking"] == pytest.approx(1, abs=1e-5)
    assert own["n"] == N
    assert own["error"] == pytest.approx(np.mean([np.nanmean(row) for row in share_errors(gaps, truth)[:, 1]]))


def test_rank_correlations_are_scipys_and_the_partial_one_is_that_of_residual_ranks():
    area = RNG.random(N)
    found = explainer_table(NAMES, NETWORKS, ExplainerInputs(share_map=S, share_true=R, area=area), resamples=10)
    own = found[(found["model"] == "b") & (found["explainer"] == "noise")].iloc[0]
    s, r, a = (stats.rankdata(values) for values in (S[1, 3].round(5), R[1], area))
    assert own["spearman"] == pytest.approx(stats.spearmanr(s, r).statistic)
    residuals = [values - np.polyval(np.polyfit(a, values, 1), a) for values in (s, r)]
    assert own["partial"] == pytest.approx(stats.pearsonr(*residuals).statistic)
    assert np.isnan(partial_spearman(area[None], R[:1], area)).all(), "ordered as the area itself"


def test_signs_are_judged_only_where_the_effect_is_larger_than_its_error():
    phi, se = np.array([1.0, -1.0, -1.0, 0.1, -0.1]), np.full(5, 0.2)
    outside = np.array([[2.0, -1.0, 1.0, -9.0, 9.0], [1, 1, 1, 1, 1], [-1.0, 1, 1, 0, 0], [0, -1, -1, 0, 0]])
    found = sign_accuracy(outside, phi, se)
    assert found[[0, 2, 3]].tolist() == [0.75, 0, 0.75]
    assert np.isnan(found[1]), "a map without a negative sum states no sign"
    assert np.isnan(sign_accuracy(outside[:1], np.abs(phi), se)).all(), "one of the two signs does not occur"
    signed = table(outside=np.tile(-np.sign(R)[:, None], (1, 4, 1)), phi_background=-R, se_background=0.01 * R)
    assert np.isnan(signed["half"]["sign_accuracy"])
    mixed = np.where(RNG.random((M, N)) < 0.5, 1.0, -1.0)
    assert table(outside=np.tile(mixed[:, None], (1, 4, 1)), phi_background=mixed, se_background=0.01 * R)["half"]["sign_accuracy"] == 1


def test_equal_explainers_are_found_and_counted_once():
    names = ["gradcam", "rise", "hirescam", "xgradcam", "nothing", "void"]
    shares = np.stack([S[:, 1], S[:, 3], S[:, 1] + 4e-6, S[:, 1], np.full_like(R, np.nan), np.full_like(R, np.nan)], axis=1)
    assert same_explainers(names, shares) == ["", "", "gradcam", "gradcam", "", ""]
    values = RNG.random((M, 6, N))
    values[:, 2] = values[:, 0] + 1e-6
    assert same_explainers(names, shares, [values], [1e-4]) == ["", "", "gradcam", "", "", ""]
    assert same_explainers(names, None, [values], [1e-4]) == ["", "", "gradcam", "", "", ""]
    assert same_explainers(names, None, [np.ones_like(values)], [1e-4]) == [""] * 6, "hits and misses agree by chance"
    shares[1, 2, 3] += 1e-4
    assert same_explainers(names, shares) == ["", "", "", "gradcam", "", ""], "one image separates them"


def test_inputs_without_an_answer_say_why():
    one = explainer_table(NAMES, ["a"], ExplainerInputs(share_map=S[:1], share_true=R[:1]), resamples=10)
    assert set(one[one["model"] == "*"]["reason"]) == {"one network; tracking needs two"}
    constant = explainer_table(NAMES, NETWORKS, ExplainerInputs(share_map=S, share_true=np.full((M, N), 0.3)), resamples=10)
    assert set(constant[constant["model"] == "*"]["reason"]) == {"the true share does not change between networks"}
    assert constant["tracking"].isna().all()
    empty = explainer_table(NAMES, NETWORKS, ExplainerInputs(share_map=np.full_like(S, np.nan), share_true=R), resamples=10)
    assert empty[["error", "tracking", "spearman", "share_map"]].isna().all(axis=None)
    assert set(empty["reason"]) == {"no image has both a share of the map and a true share", "no image is defined on two networks"}
    none = explainer_table([], NETWORKS, ExplainerInputs(share_map=S[:, :0], share_true=R), resamples=10)
    assert (len(none), list(none.columns)) == (0, list(EXPLAINER_COLUMNS))
