"""Variance components against statsmodels and simulations with known answers; networks found by record and by name."""

from __future__ import annotations

import json
import warnings
from math import inf, isnan
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest
from scipy import stats

from camdbench.core.errors import UsageError
from camdbench.tables.seed_variance import SEED_COLUMNS, components, seed_spread

SEEDS, IMAGES, REST = 3.0, 8.0, 2.0  # true standard deviations


def simulated(count: int, n: int, random: np.random.Generator) -> np.ndarray:
    effects = random.normal(0, SEEDS, (count, 1)) + random.normal(0, IMAGES, (1, n))
    return 50 + effects + random.normal(0, REST, (count, n))


def test_components_are_those_of_statsmodels_by_analysis_of_variance_and_by_restricted_likelihood():
    """In a balanced layout REML is the analysis of variance, where no component is at its bound."""
    from statsmodels.formula.api import mixedlm, ols
    from statsmodels.stats.anova import anova_lm

    values = simulated(5, 12, np.random.default_rng(1))
    seed, image = np.indices(values.shape)
    table = pd.DataFrame({"y": values.ravel(), "seed": seed.ravel(), "image": image.ravel(), "all": 1})
    found = components(values)
    squares = anova_lm(ols("y ~ C(seed) + C(image)", table).fit())["mean_sq"]
    assert found.sd_seeds**2 == pytest.approx((squares["C(seed)"] - squares["Residual"]) / 12)
    assert found.sd_images**2 == pytest.approx((squares["C(image)"] - squares["Residual"]) / 5)
    assert found.sd_residual**2 == pytest.approx(squares["Residual"])
    crossed = {"seed": "0 + C(seed)", "image": "0 + C(image)"}
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # on convergence, and on the pandas that it was written for
        fitted = mixedlm("y ~ 1", table, groups="all", re_formula="0", vc_formula=crossed).fit(reml=True)
    by_name = dict(zip(fitted.model.exog_vc.names, fitted.vcomp, strict=True))
    assert found.sd_seeds**2 == pytest.approx(by_name["seed"], rel=0.02)
    assert found.sd_images**2 == pytest.approx(by_name["image"], rel=0.02)
    assert found.sd_residual**2 == pytest.approx(fitted.scale, rel=0.02)
    assert found.mean == pytest.approx(fitted.fe_params.iloc[0])
    assert found.se == pytest.approx(fitted.bse_fe.iloc[0], rel=0.02)


def test_known_components_are_found_and_their_errors_are_as_large_as_they_say():
    random = np.random.default_rng(0)
    found = pd.DataFrame([components(simulated(6, 50, random)) for _ in range(1500)])
    for name, true in (("seeds", SEEDS), ("images", IMAGES), ("residual", REST)):
        variance = found[f"sd_{name}"] ** 2
        assert variance.mean() == pytest.approx(true**2, rel=0.06), name
        stated = ((2 * found[f"sd_{name}"] * found[f"se_{name}"]).fillna(0) ** 2).mean() ** 0.5
        assert stated == pytest.approx(variance.std(), rel=0.12), name
    assert found["se"].pow(2).mean() == pytest.approx(found["mean"].var(), rel=0.1)


@pytest.mark.parametrize(("count", "n"), [(3, 40), (6, 12)])
def test_nineteen_of_twenty_intervals_hold_the_true_mean(count: int, n: int):
    random = np.random.default_rng(2)
    found = pd.DataFrame([components(simulated(count, n, random)) for _ in range(1500)])
    assert ((found["ci_low"] < 50) & (found["ci_high"] > 50)).mean() == pytest.approx(0.95, abs=0.02)


def test_the_detectable_difference_is_found_in_eighty_per_cent_of_trainings():
    random, count, n = np.random.default_rng(3), 5, 20
    images = random.normal(0, IMAGES, (1, n))

    def means(shift: float) -> np.ndarray:
        noise = random.normal(0, SEEDS, (4000, count, 1)) + random.normal(0, REST, (4000, count, n))
        return (images + noise + shift).mean(2)

    spread = SEEDS**2 + REST**2 / n
    values = np.sqrt(spread) * stats.zscore(np.arange(count), ddof=1)[:, None] + images  # whose means have just this spread
    effect = components(values).min_detectable_difference
    assert (stats.ttest_ind(means(effect), means(0.0), axis=1).pvalue < 0.05).mean() == pytest.approx(0.8, abs=0.025)


def test_so_many_seeds_or_images_are_needed_and_not_one_less():
    values = simulated(4, 30, np.random.default_rng(4))
    found = components(values, half_width=3.6)

    def half_width(seeds: float, images: float) -> float:
        parts = found.sd_seeds**2 / seeds, found.sd_images**2 / images, found.sd_residual**2 / (seeds * images)
        return 1.96 * sum(parts) ** 0.5

    assert half_width(found.seeds_needed, 30) <= 3.6 < half_width(found.seeds_needed - 1, 30)
    more = components(values, half_width=found.sd_seeds * 1.05)  # 1.96 sd / sqrt(4) is under that
    found = found._replace(images_needed=more.images_needed)
    assert half_width(4, more.images_needed) <= found.sd_seeds * 1.05 < half_width(4, more.images_needed - 1)


def literally(values: list[list[float]]) -> dict[str, float]:
    """The analysis of variance of the docstring, sums written out."""
    count, n = len(values), len(values[0])
    mean = sum(map(sum, values)) / (count * n)
    rows, columns = [sum(row) / n for row in values], [sum(column) / count for column in zip(*values, strict=True)]
    a = n * sum((row - mean) ** 2 for row in rows) / (count - 1)
    b = count * sum((column - mean) ** 2 for column in columns) / (n - 1)
    rest = [values[i][j] - rows[i] - columns[j] + mean for i in range(count) for j in range(n)]
    free = (count - 1) * (n - 1)
    e = sum(value**2 for value in rest) / free
    seeds, images = (a - e) / n, (b - e) / count
    variance = (a + b - e) / (count * n)
    freedom = (a + b - e) ** 2 / (a**2 / (count - 1) + b**2 / (n - 1) + e**2 / free)

    def error(of_variance: float, component: float) -> float:
        return of_variance**0.5 / (2 * component**0.5)  # the delta method

    of_a, of_b, of_e = 2 * a**2 / (count + 1), 2 * b**2 / (n + 1), 2 * e**2 / (free + 2)
    reach = stats.t(freedom).ppf(0.975) * variance**0.5
    return {
        "se": variance**0.5,
        "ci_low": mean - reach,
        "ci_high": mean + reach,
        "se_seeds": error((of_a + of_e) / n**2, seeds),
        "se_images": error((of_b + of_e) / count**2, images),
        "se_residual": error(of_e, e),
        "min_detectable_difference": sum(stats.t(2 * count - 2).ppf([0.975, 0.8])) * (2 * a / n / count) ** 0.5,
    }


def test_errors_intervals_and_degrees_of_freedom_are_those_of_a_literal_reading():
    for values in (
        [[1.0, 4.0, 2.0], [3.0, 9.0, 5.0]],
        [[1.0, 3.0], [2.5, 4.0], [6.0, 8.5]],
        simulated(4, 5, np.random.default_rng(6)).tolist(),
    ):
        found, expected = components(np.array(values)), literally(values)
        assert {name: getattr(found, name) for name in expected} == pytest.approx(expected, rel=1e-9)
    found = components(np.array([[1.0, 3.0], [2.0, 4.0], [6.0, 8.0]]))  # seeds' means have the variance 7; t of 4 degrees by tables
    assert found.min_detectable_difference == pytest.approx((2.776445 + 0.940965) * (2 * 7 / 3) ** 0.5, rel=1e-6)


def test_counts_that_meet_the_half_width_exactly_suffice_and_the_default_is_half_of_the_present_one():
    two = np.array([[1.0, 1.0], [3.0, 3.0]])  # seeds alone vary, with the variance 2
    for count in (1, 7, 25, 49):
        assert components(two, half_width=1.96 * (2 / count) ** 0.5).seeds_needed == count
    many = np.repeat(np.arange(40.0)[:, None], 2, axis=1)
    assert (components(many).seeds_needed, components(many.T).images_needed) == (40 * 4, 40 * 4)
    assert (components(two).images_needed, components(two, half_width=1.96 * 1.01).images_needed) == (1, 1)  # no spread of images
    assert (components(two.T).seeds_needed, components(two, half_width=99).seeds_needed) == (1, 1)
    values = simulated(4, 30, np.random.default_rng(4))
    found = components(values)
    rest = found.sd_residual**2
    for variance in (
        (found.sd_seeds**2 + rest / 30) / 200 + found.sd_images**2 / 30,
        found.sd_seeds**2 / 4 + (found.sd_images**2 + rest / 4) / 200,
    ):
        wanted = components(values, half_width=1.96 * variance**0.5)
        assert 200 in {wanted.seeds_needed, wanted.images_needed}


def test_what_more_images_cannot_mend_is_infinite_and_by_default_the_interval_is_halved():
    found = components(simulated(4, 2000, np.random.default_rng(5)))
    assert found.images_needed == inf  # the seeds' share alone is more than half of it
    assert found.seeds_needed > 16  # four times the seeds would do if there were no images
    exact = components(np.array([[1.0, 2.0, 6.0], [2.0, 3.0, 7.0]]))
    assert (exact.sd_residual, exact.sd_seeds) == (pytest.approx(0), pytest.approx(0.5**0.5))


def test_seeds_that_are_alike_have_no_spread():
    found = components(np.tile([1.0, 5.0, 9.0], (3, 1)))
    assert (found.sd_seeds, found.sd_residual, found.min_detectable_difference) == (0, 0, 0)
    assert isnan(found.se_seeds)
    assert found.sd_images == pytest.approx(4)
    one = components(np.array([[3.0], [4.0]]))
    assert (one.mean, one.seeds, one.n) == (3.5, 2, 1)
    assert isnan(one.sd_seeds)


# ------------------------------------------------------------------------------------------------ runs


def values_of(models: list[str], seed: int = 0, n: int = 12) -> dict[str, Any]:
    random = np.random.default_rng(seed)
    return {model: {"gradcam": {"ad": list(random.uniform(0, 90, n)), "ag": list(random.uniform(0, 90, n))}} for model in models}


def seeded(make_run: Any, models: list[str], **more: Any) -> Path:
    each = values_of(models, **more)
    return make_run(next(iter(each.values())), models=models, values_of=each, name=f"run-{'-'.join(models)}")


def record(run: Path, **facts_of: dict[str, Any]) -> Path:
    """Write facts of models into the record of a run; dots and dashes in names as underscores."""
    about = json.loads((run / "run.json").read_text())
    for model, facts in about["models"].items():
        facts |= facts_of.get(model.replace("-", "_"), {})
    (run / "run.json").write_text(json.dumps(about))
    return run


def test_networks_of_one_name_and_several_seeds_belong_together(make_run):
    run = seeded(make_run, ["net-s0", "net-s1", "net-s2", "other"])
    found = seed_spread(run)
    assert list(found.columns) == list(SEED_COLUMNS)
    assert found[["network", "metric", "explainer", "seeds", "n"]].to_numpy().tolist() == [
        ["net", "ad", "gradcam", 3, 12],
        ["net", "ag", "gradcam", 3, 12],
    ]
    each = values_of(["net-s0", "net-s1", "net-s2"])
    literal = components(np.array([own["gradcam"]["ad"] for own in each.values()]))
    assert found.iloc[0]["sd_seeds"] == pytest.approx(literal.sd_seeds)
    assert found.iloc[0]["mean"] == pytest.approx(np.mean([own["gradcam"]["ad"] for own in each.values()]))


def test_the_record_of_the_training_goes_before_the_name(make_run):
    training = {"recipe": "aa", "seed": 0}
    run = record(
        seeded(make_run, ["x-s0", "y-s1", "x-s2"]),
        x_s0={"training": training, "weights_hash": "1"},
        y_s1={"training": training | {"seed": 1}, "weights_hash": "2"},
        x_s2={"training": training | {"recipe": "bb"}, "weights_hash": "3"},
    )
    assert set(seed_spread(run)["seeds"]) == {2}


def test_one_run_for_each_seed_is_as_good_as_one_for_all(make_run):
    together = seed_spread(seeded(make_run, ["net-s0", "net-s1"]))
    both = values_of(["net-s0", "net-s1"])
    apart = [make_run(both[name], models=[name], name=name) for name in both]
    pd.testing.assert_frame_equal(together, seed_spread(apart))
    same_name = [record(make_run(own, models=["net"], name=f"same-{name}"), net={"weights_hash": name}) for name, own in both.items()]
    pd.testing.assert_frame_equal(together, seed_spread(same_name))
    pd.testing.assert_frame_equal(together, seed_spread([*apart, apart[0]]))  # the same run twice is one


def test_images_that_a_seed_lacks_are_left_out(make_run):
    each = values_of(["net-s0", "net-s1"])
    each["net-s0"]["gradcam"]["ad"][3] = (float("nan"), "error")
    found = seed_spread(make_run(each["net-s0"], models=list(each), values_of=each), metrics=["ad"])
    assert found["n"].tolist() == [11]


def test_what_has_no_seeds_is_refused_with_the_fix(make_run):
    alone = seeded(make_run, ["net", "other"])
    with pytest.raises(UsageError, match=r"no two models differ only in their training seed \(net, other\); train one recipe"):
        seed_spread(alone)
    run = seeded(make_run, ["net-s0", "net-s1"])
    with pytest.raises(UsageError, match="ai not in the runs; choose from ad, ag"):
        seed_spread(run, metrics=["ai"])
    with pytest.raises(UsageError, match="--half-width = 0: expected a positive number"):
        seed_spread(run, half_width=0)
    training = {"training": {"recipe": "aa", "seed": 7}}
    record(run, net_s0=training | {"weights_hash": "1"}, net_s1=training | {"weights_hash": "2"})
    with pytest.raises(UsageError, match="net-s0 and net-s1 have the same seed, 7, but other weights"):
        seed_spread(run)
