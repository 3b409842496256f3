"""What docs/regression.md tells users to paste runs: its workflow, its explainer, its test."""

from __future__ import annotations

import re
import shlex
import sys
import tomllib
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import click
import pytest
import yaml

import camdbench
from camdbench.cli.main import cli, run_cli
from camdbench.tables.golden import write_golden

ROOT = Path(__file__).parents[1]
PAGE = (ROOT / "docs" / "regression.md").read_text(encoding="utf-8")


def fenced(language: str) -> list[str]:
    return re.findall(rf"^```{language}\n(.*?)^```", PAGE, re.MULTILINE | re.DOTALL)


def commands() -> list[list[str]]:
    """The `run:` lines of the workflow."""
    (workflow,) = (yaml.safe_load(text) for text in fenced("yaml"))
    return [shlex.split(step["run"]) for job in workflow["jobs"].values() for step in job["steps"] if "run" in step]


@pytest.fixture
def home(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Path]:
    """A user's repository with the page's explainer, which is forgotten afterwards."""
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("COLUMNS", "200")
    monkeypatch.syspath_prepend(tmp_path)
    (tmp_path / "my_cam.py").write_text(fenced("python")[0], encoding="utf-8")
    yield tmp_path
    sys.modules.pop("my_cam", None)


def test_the_workflow_installs_this_project_and_then_runs_and_checks():
    install, *own = commands()
    name = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))["project"]["name"]
    assert install == ["pip", "install", name]
    assert [words[:2] for words in own] == [["camdbench", "run"], ["camdbench", "check"]]


def test_every_option_of_the_workflow_is_one_of_the_command_line(home: Path):
    context = click.Context(cli)
    for _, verb, *options in commands()[1:]:
        command = cli.get_command(context, verb)
        assert command is not None
        command.make_context(verb, list(options))  # parses, runs nothing; raises for what it does not know


def test_the_workflow_passes_and_a_moved_value_fails_it(home: Path, capsys: pytest.CaptureFixture[str]):
    (_, *run), (_, *check) = commands()[1:]
    assert run_cli([*run, "--metrics", "ad", "--limit", "4"]) == 0
    assert run_cli([*check, "--update"]) == 0
    assert run_cli(check) == 0
    golden = home / "golden.csv"
    golden.write_text(re.sub(r"(my_cam,ad,opticam,label),[^,]+", r"\1,99", golden.read_text(encoding="utf-8")), encoding="utf-8")
    capsys.readouterr()
    assert run_cli(check) == 4
    assert "my_cam · ad (opticam)" in capsys.readouterr().out


def test_the_test_of_the_page_passes_and_fails_likewise(home: Path):
    shown = fenced("python")[1].replace("limit=16", "limit=2")
    names = dict[str, Any]()
    exec(compile(shown, "docs/regression.md", "exec"), names)
    camdbench.run("my_cam,gradcam", "ad,ag,ai", limit=2, device="cpu", out=home / "golden")
    write_golden(home / "golden", home / "golden.csv")
    names["test_my_cam_has_not_moved"](home / "mine")
    text = (home / "golden.csv").read_text(encoding="utf-8")
    (home / "golden.csv").write_text(re.sub(r"(my_cam,ad,opticam,label),[^,]+", r"\1,31.2", text), encoding="utf-8")
    moved = r"1 of 6 golden cells of golden\.csv moved:\n  my_cam · ad \(opticam\).*mean 31\.2 → .*tolerance 0\.1"
    with pytest.raises(AssertionError, match=moved):
        names["test_my_cam_has_not_moved"](home / "mine again")
