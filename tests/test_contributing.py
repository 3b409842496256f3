"""CONTRIBUTING.md works as written: its files, its commands, and the paths that it names."""

from __future__ import annotations

import re
import shlex
import sys
from collections.abc import Iterator
from pathlib import Path
from types import ModuleType
from typing import NamedTuple

import pytest

import camdbench.cli
from camdbench.cli import main

ROOT = Path(__file__).parents[1]
PAGE = (ROOT / "CONTRIBUTING.md").read_text(encoding="utf-8")
FENCE = re.compile(r"^```(\w+)(?: (\w+)=(\S+))?\n(.*?)^```$", re.MULTILINE | re.DOTALL)
NEW = {  # section -> name of the new thing
    "An explainer": "positivecam",
    "A metric": "active_area",
    "A data set": "squares",
    "A model family": "tiny16",
    "A loss": "focal",
    "A paper table": "Grad-CAM",
    "A command": "digest",
}


class Block(NamedTuple):
    """One fenced code block: language, marker and its value, text."""

    language: str
    marker: str
    value: str
    text: str


def sections() -> dict[str, list[Block]]:
    """Title of each section of level three -> its code blocks."""
    parts = re.split(r"^### (.+)$", PAGE.split("\n## When a metric value")[0], flags=re.MULTILINE)[1:]
    return {title: [Block(*found) for found in FENCE.findall(text)] for title, text in zip(parts[::2], parts[1::2], strict=True)}


@pytest.fixture
def workplace(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Path]:
    """An empty working directory; commands that are added are removed afterwards."""
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("COLUMNS", "200")
    before = set(main.COMMANDS.values())
    monkeypatch.setattr(main, "COMMANDS", dict(main.COMMANDS))
    package: ModuleType = camdbench.cli
    monkeypatch.setattr(package, "__path__", [*package.__path__, str(tmp_path / "camdbench" / "cli")])
    yield tmp_path
    for name in main.COMMANDS.values():
        if name not in before:
            sys.modules.pop(f"camdbench.cli.{name}", None)


def write(block: Block, folder: Path) -> None:
    """Write the file of a block, or add its line to a table of the command line."""
    if block.marker == "file":
        file = folder / block.value
        file.parent.mkdir(parents=True, exist_ok=True)
        file.write_text(block.text, encoding="utf-8")
    if block.marker == "add":
        [(name, value)] = re.findall(r'"(\w+)": "(\w+)",', block.text)
        getattr(main, block.value)[name] = value


def test_every_section_is_followed() -> None:
    assert sorted(sections()) == sorted(NEW)


@pytest.mark.parametrize("title", NEW)
def test_the_section_works_as_written(title: str, workplace: Path, capsys: pytest.CaptureFixture[str]) -> None:
    blocks = sections()[title]
    for block in blocks:
        write(block, workplace)
    commands = [shlex.split(line) for block in blocks if block.language == "console" for line in block.text.splitlines()]
    for program, *words in commands:
        assert program == "camdbench"
        code = main.run_cli(words)
        shown = capsys.readouterr()
        assert code == 0, shown.err
    assert NEW[title] in shown.out + shown.err  # of the last command, which uses the new thing


def test_plugins_import_public_names_only() -> None:
    """Commands live in the package; all other files import from `camdbench` itself."""
    texts = [block.text for title, blocks in sections().items() if title != "A command" for block in blocks if block.language == "python"]
    lines = [line for text in texts for line in re.findall(r"^from camdbench import (.+)$", text, re.MULTILINE)]
    imported = {name for line in lines for name in line.split(", ")}
    assert imported <= set(camdbench.__all__)
    assert not [text for text in texts if re.search(r"camdbench\.\w", text)]


def test_every_path_of_the_page_exists() -> None:
    paths = set(re.findall(r"(?<![\w/{])((?:camdbench|tests|docs|benchmarks|results)/[\w./*]*|[\w.]+\.(?:ini|md|toml))(?![\w/])", PAGE))
    named = {path.rstrip(".") for path in paths if "PAPER" not in path} - {
        block.value for blocks in sections().values() for block in blocks
    }
    assert len(named) > 20
    assert [path for path in sorted(named) if not list(ROOT.glob(path))] == []
