"""Log-odds, drop, gain and increase against a reading of the paper in 60-digit decimals, and the identities between them."""

from __future__ import annotations

from collections.abc import Callable
from decimal import Decimal, localcontext

import pytest
import torch
from helpers.each import each
from hypothesis import given
from hypothesis import strategies as st
from torch import Tensor

from camdbench.functional.probability import drop, gain, increase, log_odds

LOGITS = st.lists(st.floats(-200, 200, width=32), min_size=2, max_size=6)
PAIRS = LOGITS.flatmap(
    lambda before: st.tuples(st.just(before), st.lists(st.floats(-200, 200, width=32), min_size=len(before), max_size=len(before)))
)


@given(PAIRS)
def test_drop_and_gain_are_equations_13_and_15_at_any_logits(pair: tuple[list[float], list[float]]) -> None:
    before, after = pair
    with localcontext() as context:
        context.prec = 400  # 1 - p is down to exp(-400), so p needs more than 174 digits
        p, o = _softmax_of_first(before), _softmax_of_first(after)
        expected_drop, expected_gain = max(Decimal(0), p - o) / p, max(Decimal(0), o - p) / (1 - p)
        expected = [float(expected_drop), float(expected_gain), float(p < o)]
    first, second = _log_odds(before), _log_odds(after)
    found = [drop(first, second).item(), gain(first, second).item(), increase(first, second).item()]
    assert found[:2] == pytest.approx(expected[:2], rel=1e-7, abs=1e-12)
    if abs(first - second).item() > 1e-9:  # closer than that, float64 need not tell which is larger
        assert found[2] == expected[2]


@given(PAIRS)
def test_an_image_never_has_both_a_drop_and_a_gain(pair: tuple[list[float], list[float]]) -> None:
    first, second = _log_odds(pair[0]), _log_odds(pair[1])
    assert (drop(first, second) * gain(first, second)).item() == 0
    assert 0 <= drop(first, second).item() <= 1
    assert 0 <= gain(first, second).item() <= 1
    assert increase(first, second).item() == float(gain(first, second).item() > 0 or second > first)


@pytest.mark.parametrize(("tolerance", "larger"), [(0.0, 1), (0.24, 1), (0.26, 0)])
def test_an_increase_is_larger_than_its_tolerance(tolerance: float, larger: int) -> None:
    one, three_quarters = torch.tensor([0.0]), torch.tensor([3.0]).log()
    assert increase(one, three_quarters, tolerance).item() == larger
    assert increase(three_quarters, one, tolerance).item() == 0


@given(LOGITS)
def test_what_does_not_change_has_neither_drop_nor_gain_nor_increase(logits: list[float]) -> None:
    odds = _log_odds(logits)
    assert [drop(odds, odds).item(), gain(odds, odds).item(), increase(odds, odds).item()] == [0, 0, 0]


@pytest.mark.parametrize("gap", [17.5, 40.0, 90.0, 200.0])
def test_gain_is_right_where_the_float32_probability_is_exactly_one(gap: float) -> None:
    before = torch.tensor([[gap, 0.0, 0.0]])
    assert before.softmax(1)[0, 0].item() == 1.0  # where eq. 15 in float32 would be 0/0
    after = torch.tensor([[gap + 1, 0.0, 0.0]])
    target = torch.tensor([0])
    # With 1 - p = 2 / (e^gap + 2) the gain is 1 - (1 - o) / (1 - p) = 1 - 1/e, up to e^-gap.
    assert gain(log_odds(before, target), log_odds(after, target)).item() == pytest.approx(1 - torch.e**-1, rel=1e-6)
    assert gain(log_odds(after, target), log_odds(before, target)).item() == 0


def test_drop_is_right_where_the_float32_probability_is_exactly_zero() -> None:
    before, after, target = torch.tensor([[-150.0, 0.0]]), torch.tensor([[-151.0, 0.0]]), torch.tensor([0])
    assert before.softmax(1)[0, 0].item() == 0.0
    assert drop(log_odds(before, target), log_odds(after, target)).item() == pytest.approx(1 - torch.e**-1, rel=1e-6)


@each(("before", "after"), [(torch.nan, 0.0), (0.0, torch.nan), (torch.nan, torch.nan)])
@each("score", [drop, gain, increase])
def test_nan_stays_nan(score: Callable[..., Tensor], before: float, after: float) -> None:
    assert score(torch.tensor([before]), torch.tensor([after])).isnan().all()


@each("logits", [[torch.inf, 0.0], [0.0, torch.inf], [torch.inf, torch.inf], [torch.nan, 1.0], [1.0, torch.nan]])
@each("score", [drop, gain, increase])
def test_a_network_that_overflows_has_no_score_rather_than_a_perfect_one(score: Callable[..., Tensor], logits: list[float]) -> None:
    broken, sound, target = torch.tensor([logits]), torch.tensor([[1.0, 0.0]]), torch.tensor([0])
    assert score(log_odds(sound, target), log_odds(broken, target)).isnan().all()
    assert score(log_odds(broken, target), log_odds(sound, target)).isnan().all()


def test_a_class_that_a_network_rules_out_has_probability_zero() -> None:
    ruled_out, possible, target = torch.tensor([[-torch.inf, 0.0]]), torch.tensor([[0.0, 0.0]]), torch.tensor([0])
    assert drop(log_odds(possible, target), log_odds(ruled_out, target)).item() == 1
    assert gain(log_odds(ruled_out, target), log_odds(possible, target)).item() == pytest.approx(0.5)


@given(PAIRS)
def test_each_image_has_its_own_value(pair: tuple[list[float], list[float]]) -> None:
    rows = torch.tensor([pair[0], pair[1], pair[0]])
    targets = torch.tensor([0, 1, 0])
    together = log_odds(rows, targets)
    alone = torch.cat([log_odds(rows[index : index + 1], targets[index : index + 1]) for index in range(3)])
    assert torch.equal(together, alone)
    assert together.dtype == torch.float64


def _log_odds(logits: list[float]) -> Tensor:
    return log_odds(torch.tensor([logits]), torch.tensor([0]))


def _softmax_of_first(logits: list[float]) -> Decimal:
    powers = [Decimal(value).exp() for value in logits]
    return powers[0] / sum(powers)
