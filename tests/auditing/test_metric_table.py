"""Table of metrics against the truth: metrics whose conclusion is known, and inputs without one."""

from __future__ import annotations

import numpy as np
import pandas as pd
import pytest
from helpers.each import each

from camdbench.auditing.explainer_truth import movement, same_explainers, share_errors, tracking
from camdbench.auditing.metric_table import METRIC_COLUMNS, Audited, metric_table
from camdbench.auditing.metric_truth import TruthInputs
from camdbench.auditing.resampling import draw_resamples

RNG = np.random.default_rng(12)
M, E, N = 3, 8, 30
NAMES = ["gradcam", "rise", "saliency", "occlusion", "opticam", "layercam", "smoothgrad", "fakecam"]
R = np.clip(np.array([0.1, 0.5, 0.9])[:, None] + 0.1 * RNG.normal(size=(M, N)), 0, 1)
S = np.clip(0.4 + np.linspace(0.0, 0.8, E)[:, None] * (R[:, None] - 0.5) + 0.1 * RNG.normal(size=(M, E, N)), 0, 1)
TRUTHS = TruthInputs(share_map=S, share_true={"centred_logit": R, "logit": R, "log_odds": R}, halves=np.stack([R, R]))
ERROR = -share_errors(S, R)
TRACKING = np.tile(tracking(movement(S, R), draw_resamples(N, 0))[0][0][None, :, None], (M, 1, N))


def audited(order=slice(None), **changes) -> Audited:
    facts = {"explainers": NAMES, "sets": ["real"] * (E - 1) + ["control"], "same_as": [""] * E}
    return Audited(networks=["bg", "ce", "free"], **{**{name: list(np.array(own)[order]) for name, own in facts.items()}, **changes})


def taus(values, truths=TRUTHS, about=None, **options) -> pd.DataFrame:
    found = metric_table(values, about or audited(), truths, resamples=60, **options)
    assert list(found.columns) == list(METRIC_COLUMNS)
    return found.set_index(["metric", "truth", "model"])


def test_the_truth_itself_follows_and_turned_it_is_against():
    found = taus({"error": ERROR, "turned": -ERROR, "tracks": TRACKING, "blind": -TRACKING})
    for metric, level, tau, conclusion in (("error", "error", 1, "follows"), ("turned", "error", -1, "against"),
                                           ("tracks", "tracking", 1, "follows"), ("blind", "tracking", -1, "against")):  # fmt: skip
        row = found.loc[(metric, level, "*")]
        assert row["tau"] == pytest.approx(tau)
        assert row["ceiling"] == pytest.approx(1)
        assert row["conclusion"].split(",")[0] == conclusion, row
    assert (found.xs("error")["tau"].iloc[:-1] == 1).all(), "in every network"
    assert found.loc[("error", "error", "*"), "tau_image"] == pytest.approx(1)
    assert found.loc[("turned", "error", "*"), "tau_worst"] == pytest.approx(-1)


def test_turning_a_metrics_sign_turns_its_conclusion_and_interval():
    own = ERROR + 0.05 * RNG.normal(size=S.shape)
    found = taus({"q": own, "turned": -own})
    for level in ("error", "tracking"):
        q, turned = found.loc[("q", level, "*")], found.loc[("turned", level, "*")]
        assert (turned["tau"], turned["tau_low"], turned["tau_high"]) == pytest.approx((-q["tau"], -q["tau_high"], -q["tau_low"]))
    assert found.loc[("q", "error", "*"), "conclusion"].startswith("follows")
    assert found.loc[("turned", "error", "*"), "conclusion"].startswith("against")


def test_noise_follows_nothing():
    noise = {f"noise{place}": RNG.normal(size=S.shape) for place in range(40)}
    wide = TruthInputs(share_map=np.concatenate([S] * 3, axis=1) + 0.01 * RNG.random((M, 24, N)), share_true={"logit": R})
    about = audited(explainers=[f"e{place}" for place in range(24)], sets=["real"] * 24, same_as=[""] * 24)
    found = taus({name: RNG.normal(size=(M, 24, N)) for name in noise}, wide, about, resample=("images", "explainers")).xs(
        "*", level="model"
    )
    assert found["tau"].abs().le(0.25).mean() > 0.85, "the null standard deviation of 24 explainers is 0.14"
    assert found["tau"].mean() == pytest.approx(0, abs=0.06)
    assert (found["conclusion"] == "open").mean() > 0.85


def test_the_order_of_explainers_and_copies_of_one_change_nothing():
    own = {"q": ERROR + 0.05 * RNG.normal(size=S.shape)}
    plain = taus(own).drop(columns="explainers")
    for order, same in ((RNG.permutation(E), None), ([*range(E), 2, 4], [""] * E + ["saliency", "opticam"])):
        about = audited(order, **({} if same is None else {"same_as": same}))
        truths = TruthInputs(share_map=S[:, order], share_true=TRUTHS.share_true, halves=TRUTHS.halves)
        pd.testing.assert_frame_equal(taus({"q": own["q"][:, order]}, truths, about).drop(columns="explainers"), plain, atol=1e-12)


def test_controls_enter_only_when_asked_and_those_that_fool_are_named():
    own = ERROR.copy()
    own[:, -1] = 1.0
    found = metric_table({"q": own}, audited(), TRUTHS, sets=("real", "real+controls"), resamples=20)
    assert found.groupby("set", sort=False)["explainers"].first().to_dict() == {"real": 7, "real+controls": 8}
    assert set(found["fooled_by"]) == {"fakecam"}
    assert (found["above_fakecam"] == 0).all()
    assert found["above_edges"].isna().all()
    assert found["conclusion"].str.endswith(", fooled").all()
    oracle = audited(sets=["oracle"] + ["real"] * 6 + ["control"])
    assert set(metric_table({"q": own}, oracle, TRUTHS, resamples=5)["explainers"]) == {6}


def test_scores_and_halves_must_agree():
    other = TruthInputs(share_map=S, share_true={"centred_logit": R, "log_odds": 1 - R}, halves=TRUTHS.halves)
    row = taus({"q": TRACKING}, other).loc[("q", "tracking", "*")]
    assert row["conclusion"].startswith("open")
    assert row["reason"] == "centred_logit: follows, but log_odds: against"
    half = TruthInputs(share_map=S, share_true={"centred_logit": R}, halves=np.stack([R, np.ones_like(R)]))
    assert taus({"q": TRACKING}, half).loc[("q", "tracking", "*"), "reason"] == "centred_logit: follows, but odd draws: open"


def select(count: int) -> tuple[TruthInputs, Audited, np.ndarray]:
    return TruthInputs(share_map=S[:, :count], share_true={"logit": R}), audited(slice(count)), ERROR[:, :count]


@each(
    ("values", "truths", "about", "reasons"),
    [
        (select(0)[2], *select(0)[:2], {"0 distinct explainers; tau needs two"}),
        (select(1)[2], *select(1)[:2], {"1 distinct explainers; tau needs two"}),
        (select(3)[2], *select(3)[:2], {"3 distinct explainers; 5 are the fewest that can differ from chance"}),
        (np.ones_like(S), TRUTHS, audited(), {"all explainers tie under the metric"}),
        (np.full_like(S, np.nan), TRUTHS, audited(), {"no image has values of two explainers"}),
        (ERROR, TruthInputs(share_map=np.full_like(S, 0.3), share_true={"logit": R}), audited(), {"all explainers tie under the truth"}),
        (ERROR, TruthInputs(share_map=np.full_like(S, np.nan), share_true={"logit": R}), audited(), {"the truth is undefined"}),
        (ERROR[:1], TruthInputs(share_map=S[:1], share_true={"logit": R[:1]}), audited(), {"", "one network; tracking needs two"}),
    ],
)
def test_inputs_without_a_conclusion_say_why(values, truths, about, reasons):
    about = Audited(explainers=about.explainers, networks=about.networks[: len(values)], sets=about.sets, same_as=about.same_as)
    found = metric_table({"q": values}, about, truths, resamples=20, resample=("images", "explainers", "seeds"))
    assert set(found["reason"]) == reasons
    assert (found.loc[found["reason"] != "", "conclusion"].str.split(",").str[0] == "open").all()


@each("shape", [(1, 0, 0), (2, 1, 1), (3, 2, 0), (1, 2, 2), (3, 6, 2), (2, 6, 9)])
def test_small_and_sparse_tables_have_a_tau_or_a_reason(shape):
    networks, explainers, images = shape
    for rate in (0.0, 0.5, 1.0):
        share, own, cells = (np.where(RNG.random(shape) < rate, np.nan, RNG.random(shape)) for _ in range(3))
        true = np.where(RNG.random((networks, images)) < rate, np.nan, RNG.random((networks, images)))
        names = [f"e{place}" for place in range(explainers)]
        about = Audited(
            explainers=names,
            networks=[f"n{place}" for place in range(networks)],
            sets=["real"] * explainers,
            same_as=same_explainers(names, share),
            recipes=["one"] * networks,
        )
        truths = TruthInputs(share_map=share, share_true={"logit": true}, halves=np.stack([true, true]), cell_spearman=cells)
        found = metric_table({"q": own}, about, truths, resamples=5, resample=("images", "explainers", "seeds"))
        assert ((found["tau"].abs() <= 1) | (found["reason"] != "")).all()
        assert (found["tau"].notna() | (found["conclusion"] == "open")).all()
