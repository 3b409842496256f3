"""Docstrings of explainers: a first line that fits a listing, and the shape of the map under `Returns`."""

from __future__ import annotations

import re

import pytest

from camdbench.core.registries import explainers


@pytest.mark.parametrize("name", explainers.names())
def test_a_docstring_has_a_short_first_line_and_states_the_shape(name: str) -> None:
    doc = explainers.get(name).doc
    assert len(doc.partition("\n")[0]) <= 100
    assert re.search(r"\nReturns:\n    \(B, (h, w|H, W|cells, cells)\)", doc)


@pytest.mark.parametrize("name", explainers.names())
def test_no_retired_word_stands_in_a_docstring(name: str) -> None:
    retired = r"nobody|somebody|told|tells|mend|judge|verdict|desk|ledger|shelf|exhibit|witness|of one's own|likewise"
    assert not re.search(rf"\b({retired})", explainers.get(name).doc)
