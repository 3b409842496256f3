"""Conclusions: the side of zero, agreement of variants, and enough explainers."""

from __future__ import annotations

import numpy as np
from helpers.each import each

from camdbench.auditing.conclusions import conclude

UP, DOWN, WIDE = (0.2, 0.6), (-0.6, -0.2), (-0.1, 0.5)


@each(
    ("intervals", "explainers", "expected"),
    [
        ({"logit": UP}, 5, ("follows", "")),
        ({"logit": DOWN, "log_odds": DOWN, "even draws": DOWN}, 9, ("against", "")),
        ({"logit": WIDE, "log_odds": WIDE}, 9, ("open", "the interval of tau contains 0")),
        ({"logit": (0.0, 0.4)}, 9, ("open", "the interval of tau contains 0")),
        ({"logit": UP, "log_odds": UP, "odd draws": WIDE}, 9, ("open", "logit: follows, but odd draws: open")),
        ({"logit": UP, "log_odds": DOWN}, 9, ("open", "logit: follows, but log_odds: against")),
        ({"logit": WIDE, "log_odds": UP}, 9, ("open", "the interval of tau contains 0")),
        ({"logit": UP}, 4, ("open", "4 distinct explainers; 5 are the fewest that can differ from chance")),
        ({"logit": (np.nan, np.nan)}, 9, ("open", "tau has no interval")),
    ],
)
def test_a_conclusion_needs_the_agreement_of_all_variants(intervals, explainers, expected):
    assert conclude(intervals, explainers) == expected


def test_an_undefined_tau_keeps_its_reason():
    assert conclude({"logit": (np.nan, np.nan), "log_odds": UP}, 9, "one network") == ("open", "one network")
    assert conclude({"logit": UP}, 9, "unused") == ("follows", "")
