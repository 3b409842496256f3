"""No input may end in an unexpected error: a few mutated files of every kind, and odd command lines; tox -e fuzz tries many more."""

from __future__ import annotations

import random
from pathlib import Path

import pytest
from helpers.fuzzing import CASES, Case, call, fault, hostile_words, make_files, try_case, try_words
from helpers.mutations import mutate

SLOW = ("train", "probe", "reproduce", "figures", "explain")  # tried by tox -e fuzz
QUICK = [case for case in CASES if case.words[0] not in SLOW]


@pytest.fixture(scope="module")
def files(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("fuzz") / "files"
    make_files(folder)
    return folder


def test_mutated_files_end_in_a_line(files: Path, tmp_path: Path) -> None:
    found = [try_case(case, files, tmp_path / "case", case.file) for case in QUICK]
    assert "\n".join(filter(None, found)) == ""


def test_odd_command_lines_end_in_a_line(files: Path, tmp_path: Path) -> None:
    draws = (random.Random(f"words {number}") for number in range(200))
    words = [words for words in map(hostile_words, draws) if words[0] not in (*SLOW, "run", "score")][:30]
    found = [try_words(line, files, tmp_path / "case") for line in words]
    assert "\n".join(filter(None, found)) == ""


def test_the_search_finds_an_unexpected_error(files: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def broken(*arguments: object, **options: object) -> None:
        raise RuntimeError("odd")

    monkeypatch.setattr("camdbench.tables.load.load_run", broken)
    monkeypatch.setattr("camdbench.tables.pool.load_run", broken)
    assert "unexpected RuntimeError: odd" in try_case(Case(("summarise", "run"), "golden.csv"), files, tmp_path / "case", "0")
    assert all(fault(code, err) for code, err in ((-1, ""), (130, "Error: interrupted"), (2, ""), (1, "Traceback")))
    assert not fault(2, "Error: x: no such file")


def test_every_mutation_of_a_file_depends_on_its_seed_alone(tmp_path: Path) -> None:
    first, second = tmp_path / "a.json", tmp_path / "b.json"
    for file in (first, second):
        file.write_text('{"a": [1, {"b": "c"}]}')
    assert mutate(first, "3") == mutate(second, "3")
    assert first.read_bytes() == second.read_bytes()


def test_a_command_that_hangs_is_ended(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("helpers.fuzzing.run_cli", lambda words: [None for _ in iter(int, 1)])
    assert call(["list"], seconds=1)[0] == -1
