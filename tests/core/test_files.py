"""Files: written whole or not at all; a YAML file that cannot be read is one clear line."""

from __future__ import annotations

import errno
import json
import os
import subprocess
import sys
from pathlib import Path

import pytest
from helpers.each import each
from helpers.faults import failing, largest_file, read_only
from pydantic import BaseModel

from camdbench.core.errors import CamdbenchError, UnwritableFile, UsageError
from camdbench.core.files import read_fields, read_json, read_text, reading, to_json
from camdbench.core.written_files import AlreadyWritten, creating, make_folder, replacing, write_whole

BOMB = "a: &a [1, 1, 1, 1, 1, 1, 1, 1]\n" + "".join(
    f"{b}: &{b} [{', '.join(8 * [f'*{a}'])}]\n" for a, b in zip("abcdef", "bcdefg", strict=True)
)


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

    def test_writers_with_one_process_number_do_not_meet(self, tmp_path: Path) -> None:
        """As in two containers, whose processes have equal numbers and share a folder."""
        file, text = (
            tmp_path / "part",
            "import os, sys, pathlib; from camdbench.core.written_files import replacing; os.getpid = lambda: 7\n",
        )
        text += "for n in range(200):\n    with replacing(pathlib.Path(sys.argv[1])) as t: t.write_text(sys.argv[2] * 100_000)"
        running = [subprocess.Popen([sys.executable, "-c", text, str(file), own], stderr=subprocess.PIPE, text=True) for own in "ab"]
        assert [process.communicate()[1] for process in running] == ["", ""]
        assert file.read_text() in ("a" * 100_000, "b" * 100_000)
        assert list(tmp_path.iterdir()) == [file]


class TestCreating:
    def test_the_first_of_two_writers_wins(self, tmp_path: Path) -> None:
        file = tmp_path / "run.json"
        with creating(file) as temporary:
            temporary.write_text("first")
        with pytest.raises(AlreadyWritten), creating(file) as temporary:
            temporary.write_text("second")
        assert file.read_text() == "first"
        assert list(tmp_path.iterdir()) == [file]

    def test_without_hard_links_a_file_is_not_overwritten_either(self, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
        def link(*_: object) -> None:
            raise PermissionError(1, "Operation not permitted")

        monkeypatch.setattr(os, "link", link)
        self.test_the_first_of_two_writers_wins(tmp_path)


class TestUnwritable:
    @each("call", ["mkdir", "fsync", "replace"])
    @each(
        ("number", "fix"),
        [
            (errno.ENOSPC, "free space on the disk"),
            (errno.EDQUOT, "free space within the quota"),
            (errno.EIO, "check the disk"),
            (errno.EFBIG, "raise the limit of a file's size (ulimit -f)"),
            (errno.EROFS, ""),
        ],
    )
    def test_the_line_names_file_reason_and_fix(self, call: str, number: int, fix: str, tmp_path: Path) -> None:
        file = tmp_path / "new" / "a.txt"
        with failing(call, number, 0, tmp_path), pytest.raises(CamdbenchError) as raised:
            write_whole(file, "text")
        assert str(raised.value) == f"{file}: cannot be written ({os.strerror(number)}); {fix}{', ' if fix else ''}choose another folder"
        assert raised.value.exit_code == (1 if fix else 2)
        with failing(call, number, 0, tmp_path), pytest.raises(UnwritableFile) as raised:
            write_whole(tmp_path / "again" / "a.txt", "text", resumes=True)
        end = "finished work is kept, run the same command again"
        assert str(raised.value).endswith(f"({os.strerror(number)}); {fix or 'check the folder'}, {end}")
        assert [path for path in tmp_path.rglob("*") if path.is_file()] == []

    def test_a_folder_that_cannot_be_synced_is_no_error_but_a_damaged_disk_is(self, tmp_path: Path) -> None:
        with failing("fsync", errno.EINVAL, 1, tmp_path):  # the first call is for the file
            write_whole(tmp_path / "a.txt", "text")
        with failing("fsync", errno.EIO, 1, tmp_path), pytest.raises(UnwritableFile, match="check the disk"):
            write_whole(tmp_path / "a.txt", "text")

    def test_an_old_file_is_kept_if_the_system_refuses_the_new_one(self, tmp_path: Path) -> None:
        write_whole(tmp_path / "a.txt", "old")
        with largest_file(3), pytest.raises(UnwritableFile, match=r"File too large.*ulimit -f"):
            write_whole(tmp_path / "a.txt", "longer")
        assert (tmp_path / "a.txt").read_text() == "old"
        assert len(list(tmp_path.iterdir())) == 1

    def test_a_folder_of_results_is_checked_before_the_work(self, tmp_path: Path) -> None:
        make_folder(tmp_path / "a" / "b", "--out")
        with read_only(tmp_path), pytest.raises(UsageError, match=r"--out = .*b: cannot be written \(Permission denied\); choose another"):
            make_folder(tmp_path / "a" / "b", "--out")
        with failing("mkdir", errno.ENOSPC, 0, tmp_path), pytest.raises(UnwritableFile, match="free space on the disk, choose another"):
            make_folder(tmp_path / "c", "--out")
        assert list((tmp_path / "a" / "b").iterdir()) == []


class TestFields:
    def test_are_read(self, tmp_path: Path) -> None:
        file = tmp_path / "a.yaml"
        file.write_text("name: x\ndata: {count: 3}\n")
        assert read_fields(file, "recipe", "name: x") == {"name": "x", "data": {"count": 3}}

    @each(
        ("content", "message"),
        [
            (b"- a\n- b\n", "expected fields such as `name: x`, found list"),
            (b"", "found NoneType"),
            (b"a: [1", "not YAML"),
            (b"\xff\xfe\x00", "not UTF-8 text"),
            (b"a: 1\nb: {c: 2, c: 3}\n", "c is given twice; remove one"),
            (b"[" * 5000, "nested too deeply"),
            (b"a: \t- 1\n\t- 2", "not YAML"),
            (b"a: &a [*a]", "aliases expand to more than 100,000 values"),
            (BOMB.encode(), "aliases expand"),
            (b"a: 2020-13-45", "month must be in 1..12"),
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


class _Form(BaseModel):
    count: int


class TestReading:
    @each(
        ("text", "reason"),
        [
            ("{", "Expecting property name"),
            ("[1]", "not a JSON object"),
            ('{"a":' * 100_000, "nested too deeply"),
            ("{}", "count: field required"),
            ('{"count": "x"}', "count: input should be a valid integer"),
            ("9" * 5000, "Exceeds the limit"),
        ],
    )
    def test_json_of_another_form_is_one_line_with_the_reason(self, tmp_path: Path, text: str, reason: str) -> None:
        file = tmp_path / "a.json"
        file.write_text(text)
        with pytest.raises(CamdbenchError, match=rf"thing .*a\.json: damaged \({reason}.*\); make it again$") as caught:
            read_json(file, _Form, "thing", fix="make it again", error=CamdbenchError)
        assert "\n" not in str(caught.value)
        assert caught.value.exit_code == 1

    def test_json_is_returned_as_it_is(self, tmp_path: Path) -> None:
        file = tmp_path / "a.json"
        file.write_text('{"count": 3, "more": [null]}')
        assert read_json(file, _Form, fix="x") == {"count": 3, "more": [None]}

    def test_what_is_no_file_is_refused_and_not_waited_for(self, tmp_path: Path) -> None:
        os.mkfifo(tmp_path / "pipe")
        (tmp_path / "loop").symlink_to("loop")
        places = [("pipe", "not a regular file"), (".", "not a regular file"), ("loop", "too many levels"), ("none", "no such file")]
        for name, reason in [*places, ("x" * 300, "file name too long")]:
            with pytest.raises(UsageError, match=rf"cannot be read \({reason}.*\); give another"):
                read_text(tmp_path / name, fix="give another")

    def test_a_claim_that_memory_cannot_hold(self, tmp_path: Path) -> None:
        (tmp_path / "a").write_text("x")
        with pytest.raises(UsageError, match="claims more than fits in memory"), reading(tmp_path / "a", fix="x"):
            raise MemoryError

    def test_half_of_a_pair_is_valid_json_and_read_back(self) -> None:
        assert json.loads(to_json({"é": "\udcff"}).encode()) == {"é": "\udcff"}
