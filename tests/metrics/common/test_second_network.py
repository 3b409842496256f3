"""A second network is loaded once, and again when its file has changed."""

from __future__ import annotations

import shutil
from pathlib import Path

import pytest

import camdbench
from camdbench.core.errors import UsageError
from camdbench.metrics.common.second_network import load_second

WEIGHTS = Path(camdbench.__file__).parent / "models" / "weights"


def test_it_is_loaded_once_and_again_when_its_file_changes(tmp_path: Path) -> None:
    for suffix in ("json", "safetensors"):
        shutil.copy(WEIGHTS / f"shortcuts-ce.{suffix}", tmp_path / f"net.{suffix}")
    name = str(tmp_path / "net.safetensors")
    first = load_second(name)
    assert load_second(name) is first
    shutil.copy(WEIGHTS / "shortcuts-so.safetensors", name)
    again = load_second(name)
    assert again.weights_hash() != first.weights_hash()
    with pytest.raises(UsageError):
        load_second(str(tmp_path / "absent.safetensors"))
