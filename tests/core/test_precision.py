"""The names of precisions; another one is refused with those that there are."""

from __future__ import annotations

import pytest

from camdbench.core.errors import UsageError
from camdbench.core.precision import PRECISIONS, check_precision


@pytest.mark.parametrize("name", PRECISIONS)
def test_a_known_name_is_returned(name: str) -> None:
    assert check_precision(name) == name


@pytest.mark.parametrize("name", ["fp16", "BF16", ""])
def test_another_name_is_refused(name: str) -> None:
    with pytest.raises(UsageError, match="expected fp32, bf16 or bf16-all"):
        check_precision(name)
