"""No input may end in an unexpected error: a few mutated files of every format, and odd command lines; tox -e fuzz tries many more."""

from __future__ import annotations

import random
from pathlib import Path

import pytest
from helpers.fuzz_cases import FAILED, FORMATS, Case
from helpers.fuzzing import call, fault, hostile_words, make_files, try_case, try_words
from helpers.mutations import mutate

SLOW = ("train", "probe", "reproduce", "figures", "explain", "layers")  # tried by tox -e fuzz
QUICK = [next((case for case in cases if case.words[0] not in SLOW), None) for cases in FORMATS.values()]


@pytest.fixture(scope="module")
def files(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("fuzz") / "files"
    make_files(folder)
    return folder


def test_a_mutated_file_of_every_format_ends_in_a_line(files: Path, tmp_path: Path) -> None:
    found = [try_case(case, files, tmp_path / "case", case.file)[1] for case in QUICK if case is not None]
    assert "\n".join(filter(None, found)) == ""


def test_mutations_that_once_failed_end_in_a_line(files: Path, tmp_path: Path) -> None:
    cases = [(Case(tuple(one.words.split()), one.file), one.seed, one.mutation) for one in FAILED]
    found = [try_case(case, files, tmp_path / "case", seed, mutation)[1] for case, seed, mutation in cases]
    assert "\n".join(filter(None, found)) == ""


def test_odd_command_lines_end_in_a_line(files: Path, tmp_path: Path) -> None:
    draws = (random.Random(f"words {number}") for number in range(200))
    words = [words for words in map(hostile_words, draws) if words[0] not in (*SLOW, "run", "score")][:20]
    found = [try_words(line, files, tmp_path / "case")[1] for line in words]
    assert "\n".join(filter(None, found)) == ""


def test_the_search_finds_an_unexpected_error(files: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def broken(*arguments: object, **options: object) -> None:
        raise RuntimeError("odd")

    monkeypatch.setattr("camdbench.tables.load.load_run", broken)
    monkeypatch.setattr("camdbench.tables.pool.load_run", broken)
    assert "unexpected RuntimeError: odd" in try_case(Case(("summarise", "run"), "golden.csv"), files, tmp_path / "case", "0")[1]
    assert all(fault(code, err) for code, err in ((-1, ""), (130, "Error: interrupted"), (2, ""), (1, "Traceback")))
    assert not fault(2, "Error: x: no such file")


@pytest.mark.parametrize(
    ("code", "said"),
    [
        ("open('odd', 'w')", "writes ['odd']"),
        ("open('../odd', 'w')", "writes [] ['odd']"),
        ("open('../outside.txt', 'w')", "writes through a link"),
        ("print('\\x1b[31m')", "control characters"),
    ],
)
def test_the_search_finds_what_is_written_elsewhere(code: str, said: str, files: Path, tmp_path: Path) -> None:
    (files / "odd.py").write_text(f"{code}\n")
    found = try_case(Case(("list", "explainers", "--plugin", "odd.py"), "golden.csv"), files, tmp_path / "case", "0")[1]
    (files / "odd.py").unlink()
    (tmp_path / "odd").unlink(missing_ok=True)
    assert said in found


def test_every_mutation_of_a_file_depends_on_its_seed_alone(tmp_path: Path) -> None:
    first, second = tmp_path / "a.json", tmp_path / "b.json"
    for file in (first, second):
        file.write_text('{"a": [1, {"b": "c"}]}')
    assert mutate(first, "3") == mutate(second, "3")
    assert first.read_bytes() == second.read_bytes()
    assert mutate(first, "3", "_cut") == "_cut"


def test_a_command_that_hangs_is_ended(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("helpers.fuzzing.run_cli", lambda words: [None for _ in iter(int, 1)])
    assert call(["list"], seconds=1)[0] == -1
