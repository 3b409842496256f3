"""Files: written whole or not at all; a YAML file that cannot be read is one clear line."""

from __future__ import annotations

from pathlib import Path

import pytest

from camdbench.core.errors import UsageError
from camdbench.core.files import read_fields, replacing


class TestReplacing:
    def test_the_new_file_takes_the_place_of_the_old_one(self, tmp_path: Path) -> None:
        file = tmp_path / "folder" / "a.txt"
        for text in ("old", "new"):
            with replacing(file) as temporary:
                temporary.write_text(text)
        assert file.read_text() == "new"
        assert list(file.parent.iterdir()) == [file]

    def test_a_failure_leaves_the_old_file_and_nothing_else(self, tmp_path: Path) -> None:
        file = tmp_path / "a.txt"
        file.write_text("old")

        def fail() -> None:
            with replacing(file) as temporary:
                temporary.write_text("half")
                raise RuntimeError("interrupted")

        with pytest.raises(RuntimeError, match="interrupted"):
            fail()
        assert file.read_text() == "old"
        assert list(tmp_path.iterdir()) == [file]


class TestFields:
    def test_are_read(self, tmp_path: Path) -> None:
        file = tmp_path / "a.yaml"
        file.write_text("name: x\ndata: {count: 3}\n")
        assert read_fields(file, "recipe", "name: x") == {"name": "x", "data": {"count": 3}}

    @pytest.mark.parametrize(
        ("content", "message"),
        [
            (b"- a\n- b\n", "expected fields such as `name: x`, found list"),
            (b"", "found NoneType"),
            (b"a: [1", "not YAML"),
            (b"\xff\xfe\x00", "not UTF-8 text"),
        ],
    )
    def test_that_are_none_are_one_line_with_the_file(self, tmp_path: Path, content: bytes, message: str) -> None:
        file = tmp_path / "a.yaml"
        file.write_bytes(content)
        with pytest.raises(UsageError, match=message) as caught:
            read_fields(file, "recipe", "name: x")
        assert str(caught.value).startswith(f"recipe {file}: ")
        assert "\n" not in str(caught.value)

    def test_of_a_missing_file_name_the_reason_and_the_fix(self, tmp_path: Path) -> None:
        with pytest.raises(
            UsageError, match=r"none\.yaml: cannot be read \(no such file or directory\); give a YAML file .*; take another"
        ):
            read_fields(tmp_path / "none.yaml", "recipe", "name: x", "; take another")
