"""Every command prints on a console of any encoding, and changes the streams for its own time only."""

from __future__ import annotations

import io
import os
import subprocess
import sys
from pathlib import Path

import pytest

import camdbench
from camdbench.cli.main import COMMANDS, run_cli

WORDS = ["run", "--explainers", "gradcam,hirescam,fakecam", "--metrics", "ad", "--limit", "4", "--device", "cpu"]


@pytest.fixture(scope="module")
def made(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A run made by a process whose output goes to a file in an encoding without arrows and superscripts."""
    folder = tmp_path_factory.mktemp("console")
    root = str(Path(camdbench.__file__).parents[1])
    environment = os.environ | {"PYTHONIOENCODING": "cp1252", "PYTHONPATH": root, "COLUMNS": "120"}
    with (folder / "out.txt").open("wb") as out:
        command = [sys.executable, "-m", "camdbench", *WORDS, "--out", str(folder / "run")]
        subprocess.run(command, stdout=out, stderr=subprocess.PIPE, env=environment, check=True)
    return folder


def test_the_table_of_a_run_is_not_lost(made: Path):
    lines = (made / "out.txt").read_bytes().decode("cp1252").splitlines()
    assert lines[0] == "shortcuts-ce · shortcuts val · target: label"
    assert "| explainer   |           ad v % | passes/image | s/image |" in lines
    assert any(line.startswith("| hirescam ^a | ") for line in lines)


def output_of(words: list[str], encoding: str, monkeypatch: pytest.MonkeyPatch) -> tuple[int, str, str]:
    """Exit code, stdout and stderr of a command on a console of an encoding."""
    streams = [io.TextIOWrapper(io.BytesIO(), encoding=encoding, errors="strict") for _ in range(2)]
    with monkeypatch.context() as patch:
        patch.setattr(sys, "stdout", streams[0])
        patch.setattr(sys, "stderr", streams[1])
        code = run_cli(words)
    for stream in streams:
        assert (stream.encoding, stream.errors) == (encoding, "strict")
        stream.flush()
    out, err = (stream.buffer.getvalue().decode(encoding) for stream in streams)
    return code, out, err


def test_every_command_prints_on_it(made: Path, monkeypatch: pytest.MonkeyPatch):
    run, golden = str(made / "run"), str(made / "golden.csv")
    monkeypatch.setenv("COLUMNS", "120")
    for words, expected in (
        (["summarise", run, "--significance"], "^a gradcam = hirescam"),
        (["summarise", run, "--format", "markdown"], "| `gradcam` ^a |"),
        (["summarise", run, "--format", "latex"], "textsuperscript{a}"),
        (["compare", run], "| better"),
        (["diff", "insertion", "insertion(protocol=rise)"], "| section"),
        (["check", run, "--against", golden, "--update"], ""),
        (["check", run, "--against", golden], "3 of 3 golden cells met."),
        (["list", "metrics"], "[v %;"),
        (["list", "recipes", "opticam-table1"], "Zhang"),
        *(([name, "--help"], "Usage: camdbench") for name in COMMANDS),
    ):
        code, out, err = output_of(words, "ascii", monkeypatch)
        assert code == 0, (words, err)
        assert expected in out, words


@pytest.mark.parametrize(("encoding", "shown"), [("ascii", r"gradc\u00e4m..."), ("latin-1", "gradcäm..."), ("cp1252", "gradcäm…")])
def test_errors_keep_the_signs_that_the_encoding_has(encoding: str, shown: str, monkeypatch: pytest.MonkeyPatch):
    code, _, err = output_of(["list", "explainers", "gradcäm…"], encoding, monkeypatch)
    assert code == 2
    assert err.startswith("Error: ")
    assert shown in err
