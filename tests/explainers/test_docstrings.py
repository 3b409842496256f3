"""Docstrings of explainers: a first line that fits a listing, and the shape of the map under `Returns`."""

from __future__ import annotations

import re

import pytest
from helpers.each import subcase

from camdbench.core.registries import explainers


def test_docstrings_have_a_short_first_line_state_the_shape_and_hold_no_retired_word(subtests: pytest.Subtests) -> None:
    retired = r"nobody|somebody|told|tells|mend|judge|verdict|desk|ledger|shelf|exhibit|witness|of one's own|likewise"
    for entry in explainers:
        with subcase(subtests, entry.name):
            assert len(entry.doc.partition("\n")[0]) <= 100
            assert re.search(r"\nReturns:\n    \(B, (h, w|H, W|cells, cells)\)", entry.doc)
            assert not re.search(rf"\b({retired})", entry.doc)
