"""Rules that choose the explained class."""

from __future__ import annotations

from camdbench.core.errors import UsageError

TARGET_RULES = ("label", "predicted", "runner_up", "least_likely")


def check_target_rule(rule: str | int, *, labels: bool = True) -> str:
    """The rule in canonical spelling; `labels` states whether the images have labels.

    >>> check_target_rule(" 7 ")
    '7'

    Raises:
        UsageError: the rule is neither a name nor a class index.
    """
    text = str(rule).strip()
    rules = TARGET_RULES if labels else TARGET_RULES[1:]
    if text in rules:
        return text
    if text.isdecimal():
        return str(int(text))
    raise UsageError(f"--target {rule}: expected {', '.join(rules)} or a class index")
