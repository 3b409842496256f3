"""A finished run of two networks."""

from __future__ import annotations

from pathlib import Path

import pytest
from helpers.audited_runs import run_two_networks


@pytest.fixture(scope="session")
def run(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The run of both networks."""
    return run_two_networks(tmp_path_factory.mktemp("audited") / "two")
