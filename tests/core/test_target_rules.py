"""The names of target rules."""

from __future__ import annotations

import pytest
from helpers.each import each

from camdbench.core.errors import UsageError
from camdbench.core.target_rules import check_target_rule


@pytest.mark.parametrize(("rule", "expected"), [("label", "label"), (" predicted ", "predicted"), (7, "7"), ("0", "0")])
def test_a_rule_has_one_spelling(rule: str | int, expected: str) -> None:
    assert check_target_rule(rule) == expected


def test_leading_zeros_and_other_digits_are_the_same_class() -> None:
    assert check_target_rule("007") == check_target_rule("7")
    assert check_target_rule("٣") == "3"


@each("rule", ["-1", -1, "best", "", "1.0", "²", "label,predicted"])
def test_anything_else_is_refused(rule: str | int) -> None:
    with pytest.raises(UsageError, match="expected label, predicted, runner_up, least_likely or a class index"):
        check_target_rule(rule)
