"""Where a reader looks: errors that show what is there, and files read strictly."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

from camdbench.core.errors import UsageError
from camdbench.datasets.folder_layout import (
    PICTURES,
    FolderLayout,
    folders_in,
    integer,
    numbers,
    pictures_under,
    read_columns,
    read_lines,
    read_mat,
    read_table,
)


class TestPath:
    def test_is_the_file_that_is_there(self, tmp_path: Path) -> None:
        (tmp_path / "val").mkdir()
        assert FolderLayout("imagenet", tmp_path, "ROOT/val").path("val") == tmp_path / "val"

    def test_names_what_was_expected_and_at_most_eight_entries_of_what_is_there(self, tmp_path: Path) -> None:
        for number in range(9):
            (tmp_path / f"{number}.txt").touch()
        (tmp_path / ".hidden").touch()
        with pytest.raises(UsageError, match=r"val does not exist; expected ROOT/val; found in ROOT: 0\.txt, 1\.txt") as caught:
            FolderLayout("imagenet", tmp_path, "ROOT/val").path("val")
        assert "7.txt, … (see" in str(caught.value)
        assert ".hidden" not in str(caught.value)

    @pytest.mark.parametrize(("given", "right"), [("", "inner"), ("inner/val", "inner")])
    def test_one_level_off_names_the_right_folder(self, tmp_path: Path, given: str, right: str) -> None:
        (tmp_path / "inner" / "val").mkdir(parents=True)
        with pytest.raises(UsageError, match=re.escape(f"use --data-root {tmp_path / right}")):
            FolderLayout("imagenet", tmp_path / given, "ROOT/val").path("val")


class TestText:
    def test_lines_are_stripped_and_blank_ones_left_out(self, tmp_path: Path) -> None:
        file = tmp_path / "a.txt"
        file.write_bytes(b"\xef\xbb\xbf a \r\n\r\nb\n")
        assert read_lines(file) == ["a", "b"]

    def test_the_last_column_may_hold_blanks_and_a_short_line_is_named(self, tmp_path: Path) -> None:
        file = tmp_path / "a.txt"
        file.write_text("1 a b\n2 c\n3\n")
        lines = read_columns(file, "id name")
        assert [next(lines), next(lines)] == [["1", "a b"], ["2", "c"]]
        with pytest.raises(UsageError, match="line 3: expected id name, found '3'"):
            next(lines)

    def test_a_table_keeps_the_named_columns_and_names_the_one_that_is_missing(self, tmp_path: Path) -> None:
        file = tmp_path / "a.csv"
        file.write_text("x,y,z\n1,2,3\n4\n")
        assert read_table(file, "z,x") == [{"z": "3", "x": "1"}, {"z": "", "x": "4"}]
        with pytest.raises(UsageError, match="no column 'w'; expected x,w"):
            read_table(file, "x,w")

    @pytest.mark.parametrize("text", ["nan", "inf", "a", ""])
    def test_numbers_are_finite(self, text: str) -> None:
        with pytest.raises(UsageError, match=r"f\.txt: expected numbers"):
            numbers(["1", text], Path("f.txt"))
        assert numbers(["1", "2.5"], Path("f.txt")) == [1.0, 2.5]

    def test_an_integer_is_whole(self) -> None:
        assert integer("7", Path("f.txt")) == 7
        with pytest.raises(UsageError, match=r"f\.txt: expected an integer, found '7.5'"):
            integer("7.5", Path("f.txt"))

    def test_a_matlab_file_that_is_none_is_named(self, tmp_path: Path) -> None:
        (tmp_path / "a.mat").write_bytes(b"nothing")
        with pytest.raises(UsageError, match=r"a\.mat cannot be read as a MATLAB file"):
            read_mat(tmp_path / "a.mat", "x")


def test_pictures_and_folders_are_sorted_and_hidden_ones_left_out(tmp_path: Path) -> None:
    for name in ("b/2.PNG", "a/1.jpg", "a/notes.txt", ".cache/3.png", "a/._1.jpg"):
        (tmp_path / name).parent.mkdir(exist_ok=True)
        (tmp_path / name).touch()
    assert [path.relative_to(tmp_path).as_posix() for path in pictures_under(tmp_path)] == ["a/1.jpg", "b/2.PNG"]
    assert [path.name for path in folders_in(tmp_path)] == ["a", "b"]


def test_pictures_are_those_of_a_search_of_all_paths(tmp_path: Path) -> None:
    names = ("b.png", "a/1.jpg", "a/.2.jpg", "a/b/3.Jpeg", "a b/4.png", "a-b/5.png", ".c/6.png", "a/txt", "a/7.png.txt", "a/8.png/9.gif")
    for name in names:
        (tmp_path / "in" / name).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / "in" / name).touch()
    (tmp_path / "in" / "link.png").symlink_to(tmp_path / "in" / "b.png")
    (tmp_path / "in" / "gone.png").symlink_to(tmp_path / "nowhere.png")
    (tmp_path / "in" / "around").symlink_to(tmp_path / "in" / "a")
    (tmp_path / "linked").symlink_to(tmp_path / "in")
    for home in (tmp_path / "in", tmp_path / "linked"):
        every = [path for path in home.rglob("*") if path.suffix.lower() in PICTURES and path.is_file()]
        expected = sorted(path for path in every if not any(part.startswith(".") for part in path.relative_to(home).parts))
        assert pictures_under(home) == expected
        assert len(expected) == 7
