"""Provenance: the code hash follows the source of values, versions name what is installed, times are in UTC."""

from __future__ import annotations

from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest
import torch

from camdbench.core import provenance


@pytest.fixture
def sources(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Path]:
    """A package of two folders, one of which values depend on."""
    for folder in ("metrics", "report"):
        (tmp_path / folder).mkdir()
        (tmp_path / folder / "a.py").write_text("x = 1\n")
    monkeypatch.setattr(provenance, "_ROOT", tmp_path)
    provenance.code_hash.cache_clear()
    yield tmp_path
    provenance.code_hash.cache_clear()


def hashed() -> str:
    provenance.code_hash.cache_clear()
    return provenance.code_hash()


def test_the_code_hash_follows_content_and_name_of_what_values_depend_on(sources: Path) -> None:
    first = hashed()
    assert len(first) == 16
    (sources / "report" / "a.py").write_text("x = 2\n")
    assert hashed() == first
    (sources / "metrics" / "a.py").write_text("x = 2\n")
    second = hashed()
    assert second != first
    (sources / "metrics" / "a.py").rename(sources / "metrics" / "b.py")
    assert hashed() not in (first, second)


def test_outside_a_checkout_there_is_no_revision(sources: Path) -> None:
    assert provenance.git_revision() is None


def test_versions_are_those_installed(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(provenance, "_PACKAGES", ("torch", "no-such-package"))
    found = provenance.versions()
    assert found["torch"].partition("+")[0] == torch.__version__.partition("+")[0]
    assert found["no-such-package"] == "not installed"
    assert found["python"].startswith("3.")


def test_now_is_utc_to_the_second() -> None:
    found = datetime.fromisoformat(provenance.now())
    assert found.utcoffset() == timedelta(0)
    assert found.microsecond == 0
    assert abs(datetime.now(UTC) - found) < timedelta(minutes=1)


def test_the_command_line_leaves_out_the_programs_folder(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("sys.argv", ["/somewhere/bin/camdbench", "run", "--limit", "2"])
    assert provenance.command_line() == ["camdbench", "run", "--limit", "2"]
