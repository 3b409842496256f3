"""Rules that choose the explained class."""

from __future__ import annotations

from camdbench.core.errors import UsageError

TARGET_RULES = ("label", "predicted", "runner_up", "least_likely")


def check_target_rule(rule: str | int) -> str:
    """The rule in canonical spelling.

    >>> check_target_rule(" 7 ")
    '7'

    Raises:
        UsageError: the rule is neither a name nor a class index.
    """
    text = str(rule).strip()
    if text in TARGET_RULES:
        return text
    if text.isdecimal():
        return str(int(text))
    raise UsageError(f"--target {rule}: expected label, predicted, runner_up, least_likely or a class index")
