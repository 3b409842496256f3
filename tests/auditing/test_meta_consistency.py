"""The four numbers of MetaQuantus against slow readings of the paper and of its release, with the release's sign error in numbers."""

from __future__ import annotations

import numpy as np
import pytest
from scipy.stats import rankdata, wilcoxon

from camdbench.auditing.meta_consistency import MetaConsistency, Perturbed, meta_consistency

RNG = np.random.default_rng(4)
E, N, K = 4, 30, 3
Q = RNG.normal(size=(E, N))
MINOR = Perturbed(Q + 0.1 * RNG.normal(size=(K, E, N)), RNG.random((K, N)) < 0.1)
WORSE = Perturbed(Q - 0.6 + RNG.normal(size=(K, E, N)), RNG.random((K, N)) < 0.8)  # smaller values after the disruption


def rounded(runs: Perturbed) -> Perturbed:
    return Perturbed(runs.values.round(), runs.changed)


def read(q: np.ndarray, minor: Perturbed, disruptive: Perturbed, *, higher: bool, release: bool) -> list[float]:
    """The numbers with a loop over runs, images and explainers."""
    p, reactive, kept, better = [], [], [], []
    for k in range(K):
        stays = [i for i in range(N) if not minor.changed[k, i]]
        moves = [i for i in range(N) if disruptive.changed[k, i]]
        for e in range(E):
            p.append(wilcoxon(q[e, stays], minor.values[k, e, stays], zero_method="zsplit").pvalue)
            reactive.append(1 - wilcoxon(q[e, moves], disruptive.values[k, e, moves], zero_method="zsplit").pvalue)
        order = np.argsort if release else rankdata
        kept.append(np.mean([order(q[:, i])[e] == order(minor.values[k, :, i])[e] for i in stays for e in range(E)]))
        falls = higher and not release
        better.append(
            np.mean([(q[e, i] > after if falls else q[e, i] < after) for i in moves for e, after in enumerate(disruptive.values[k, :, i])])
        )
    four = [float(np.mean(own)) for own in (p, reactive, kept, better)]
    return [*four, float(np.mean(four))]


def numbers(found: MetaConsistency) -> list[float]:
    return [found.iac_nr, found.iac_ar, found.iec_nr, found.iec_ar, found.mc]


@pytest.mark.parametrize("higher", [True, False])
@pytest.mark.parametrize("release", [True, False])
def test_the_numbers_are_those_of_a_slow_reading(higher, release):
    for q, minor, disruptive in ((Q, MINOR, WORSE), (Q.round(), rounded(MINOR), rounded(WORSE))):
        found = meta_consistency(q, minor, disruptive, higher_is_better=higher, release=release)
        assert numbers(found) == pytest.approx(read(q, minor, disruptive, higher=higher, release=release))
    assert (found.images_minor, found.images_disruptive) == ((~MINOR.changed).sum() / K, WORSE.changed.sum() / K)


def test_the_release_turns_the_sign_of_metrics_of_which_higher_is_better():
    right = meta_consistency(Q, MINOR, WORSE, higher_is_better=True)
    release = meta_consistency(Q, MINOR, WORSE, higher_is_better=True, release=True)
    assert release.iec_ar == pytest.approx(1 - right.iec_ar)
    assert right.iec_ar == pytest.approx(0.725, abs=0.05)  # a metric that reacts as it should
    assert release.mc - right.mc == pytest.approx((1 - 2 * right.iec_ar) / 4)
    turned = [Perturbed(-runs.values, runs.changed) for runs in (MINOR, WORSE)]
    assert numbers(meta_consistency(-Q, *turned, higher_is_better=False)) == pytest.approx(numbers(right))
    assert numbers(meta_consistency(-Q, *turned, higher_is_better=False, release=True)) == pytest.approx(numbers(right))


def test_a_constant_metric_is_resilient_and_never_reactive():
    same = Perturbed(np.ones((K, E, N)), np.zeros((K, N), dtype=bool))
    other = Perturbed(np.ones((K, E, N)), np.ones((K, N), dtype=bool))
    assert numbers(meta_consistency(np.ones((E, N)), same, other, higher_is_better=True)) == [1, 0, 1, 0, 0.5]


def test_undefined_values_are_left_out_pair_by_pair_and_no_image_gives_nan():
    gaps = np.where(RNG.random(Q.shape) < 0.2, np.nan, Q)
    found = meta_consistency(gaps, Perturbed(gaps[None], MINOR.changed[:1]), WORSE, higher_is_better=True)
    assert (found.iac_nr, found.iec_nr) == (1, 1)
    assert found.iec_ar == pytest.approx(meta_consistency(Q, MINOR, WORSE, higher_is_better=True).iec_ar, abs=0.1)
    nothing = meta_consistency(Q, MINOR, Perturbed(WORSE.values, np.zeros((K, N), dtype=bool)), higher_is_better=True)
    assert np.isnan([nothing.iac_ar, nothing.iec_ar, nothing.mc]).all()
    assert nothing.iac_nr > 0
