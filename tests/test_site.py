"""The site: pages of the API, commands that can be pasted, the landing page's table and links."""

from __future__ import annotations

import importlib.util
import inspect
import json
import re
import sys
from collections import Counter
from dataclasses import fields
from pathlib import Path
from types import ModuleType
from typing import Any, get_args

import numpy as np
import pytest
import test_readme
import torch
from docutils import nodes
from test_prose import SHAPE
from test_readme import blocks, commands, run
from torch import Tensor

import camdbench
from camdbench.cli.main import COMMANDS
from camdbench.core.row import Row, Status
from camdbench.runner.part_tables import UsageRow, prediction_table
from camdbench.runner.run_directory import RunRecord
from camdbench.tables.curve_lists import _COLUMNS
from camdbench.tables.load import SCHEMA
from camdbench.tables.summary import SUMMARY_COLUMNS

ROOT = Path(__file__).parents[1]
DOCS = ROOT / "docs"


def module_of(name: str) -> ModuleType:
    """A module of the folder `docs`, which has no `__init__.py`."""
    if str(DOCS) not in sys.path:
        sys.path.append(str(DOCS))  # pages import their neighbours
    spec = importlib.util.spec_from_file_location(name, DOCS / f"{name}.py")
    assert spec is not None
    assert spec.loader is not None
    sys.modules[name] = module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


def tensor_arguments(function: object) -> list[str]:
    """Arguments of a function whose annotation names a tensor or an array."""
    parameters = inspect.signature(function).parameters.values()  # pyright: ignore[reportArgumentType]
    return [parameter.name for parameter in parameters if re.search(r"\b(?:Tensor|ndarray)\b", str(parameter.annotation))]


def without_shape(function: object) -> list[str]:
    """Of these the ones whose entry under `Args:` states no shape."""
    doc = inspect.getdoc(function) or ""
    entries = dict[str, str](re.findall(r"^    (\w+): ((?:.*\n?)(?:^ {8,}.*\n?)*)", doc, re.MULTILINE))
    return [name for name in tensor_arguments(function) if not SHAPE.search(entries.get(name, ""))]


folder = test_readme.folder  # a fixture
PAGES = (ROOT / "README.md", *sorted(page for page in DOCS.rglob("*.md") if not {"reference", "gallery"} & set(page.parts)))
TEXTS = {page: page.read_text(encoding="utf-8") for page in PAGES}
BLOCKS = re.MULTILINE | re.DOTALL


class TestApi:
    def test_every_public_name_is_in_one_group(self) -> None:
        named = Counter(name for group in module_of("_api").GROUPS.values() for name in group.names)
        assert named == Counter(camdbench.__all__)

    def test_pages_document_names_where_they_are_public(self) -> None:
        api = module_of("_api")
        text = "\n".join(api.page(group) for group in api.GROUPS.values())
        missing = [name for name in camdbench.__all__ if not re.search(rf"^\.\. (auto|py:)\w+:: camdbench\.{name}\b", text, re.MULTILINE)]
        assert missing == []

    @pytest.mark.parametrize("name", [name for name in camdbench.__all__ if inspect.isfunction(getattr(camdbench, name))])
    def test_arguments_that_are_tensors_state_their_shape(self, name: str) -> None:
        assert without_shape(getattr(camdbench, name)) == []

    def test_the_check_of_shapes_finds_a_missing_one(self) -> None:
        def function(images: Tensor, maps: Tensor | None = None) -> None:
            """Do.

            Args:
                images: (N, 3, H, W)
                    in [0, 1].
                maps: saliency.
            """

        assert without_shape(function) == ["maps"]

    def test_a_dash_between_words_is_set_and_one_of_an_option_is_not(self) -> None:
        paragraph = nodes.paragraph("", "", nodes.strong("", "limit"), nodes.Text(" -- "), nodes.Text("as --limit"))
        module_of("_api").set_dashes(None, paragraph)
        assert paragraph.astext() == "limit \N{EN DASH} as --limit"

    @pytest.mark.parametrize("what", ["property", "function"])
    def test_a_colon_in_a_text_is_no_type(self, what: str) -> None:
        api = module_of("_api")
        lines = ["Logits: raw.", "", "Returns:", "    One row per layer: name, shape."]
        given = list(lines)
        api.hide_colons(None, what, "", None, None, lines)
        assert ": " not in lines[3]
        assert (": " in lines[0]) == (what == "function")
        api.show_colons(None, what, "", None, None, lines)
        assert lines == given


class TestCommands:
    def test_each_command_has_a_page_and_most_an_executed_example(self) -> None:
        commands = module_of("_commands")
        pages = commands.pages()
        assert set(pages) == {"index", *COMMANDS}
        assert set(COMMANDS) - set(commands.EXAMPLES) == {"probe", "reproduce"}
        assert set(commands.EXAMPLES) <= set(COMMANDS)
        for name, lines in commands.EXAMPLES.items():
            assert lines in pages[name]
            assert all(line.startswith(f"camdbench {name} ") for line in lines.splitlines())

    def test_a_picture_shows_what_was_printed_and_loads_nothing(self, tmp_path: Path) -> None:
        terminal = module_of("_terminal")
        [shown] = terminal.execute({"diff": "camdbench diff insertion 'insertion(protocol=rise)'"}, tmp_path).values()
        assert "1792" in shown[0][1]
        svg = terminal.drawn(shown)
        assert "1792" in svg
        assert set(re.findall(r"https?://[^\"' )]+", svg)) <= {"http://www.w3.org/2000/svg", "https://www.textualize.io"}
        assert "url(" not in svg.replace("url(#", "")

    def test_a_command_that_fails_stops_the_build(self, tmp_path: Path) -> None:
        with pytest.raises(RuntimeError, match=r"exit code 2\nError: .*nonsense"):
            module_of("_terminal").execute({"list": "camdbench list metrics nonsense"}, tmp_path)

    def test_examples_of_a_help_are_code(self) -> None:
        lines = ["Run.", "", "| camdbench run", "| camdbench run --report", "", "| Exit", "| codes"]
        module_of("_commands").show_examples(None, None, lines)
        assert lines == [
            "Run.",
            "",
            ".. code-block:: console",
            "",
            "   camdbench run",
            "   camdbench run --report",
            "",
            "| Exit",
            "| codes",
        ]


class TestPages:
    def test_code_can_be_pasted(self) -> None:
        block = re.compile(r"^```(?:console|bash|dockerfile|yaml)\n(.*?)^```$", BLOCKS)
        lines = [line for text in TEXTS.values() for code in block.findall(text) for line in code.splitlines()]
        assert len(lines) > 50
        assert [line for line in lines if re.search("[\u2013\u2014\u2018\u2019\u201c\u201d]", line)] == []
        assert "smartquotes = False" in (DOCS / "conf.py").read_text(encoding="utf-8")

    def test_each_page_is_in_the_navigation(self) -> None:
        trees = re.findall(r"^```\{toctree\}\n(.*?)^```$", TEXTS[DOCS / "index.md"], BLOCKS)
        listed = {line.strip() for tree in trees for line in tree.splitlines() if not line.startswith(":")}
        assert {page.stem for page in DOCS.glob("*.md")} - {"index"} - listed == set()

    def test_the_readme_fits_a_screen_and_a_half(self) -> None:
        assert len((ROOT / "README.md").read_text(encoding="utf-8").splitlines()) <= 111

    def test_lists_for_language_models(self) -> None:
        llms = module_of("_llms")
        listed, full = llms.texts([("faq", "# Questions\n\n```{note}\nx\n```\n\nAnswers.\n\n## A\n")], "A suite.")
        assert "> A suite." in listed
        assert "- [Questions](_sources/faq.md.txt): Answers." in listed
        assert "# Questions" in full


class TestQuestions:
    TEXT = (DOCS / "faq.md").read_text(encoding="utf-8")

    def test_there_are_thirty(self) -> None:
        assert len(re.findall(r"^### ", self.TEXT, re.MULTILINE)) >= 30

    def test_every_command_works(self, folder: Path, capsys: pytest.CaptureFixture[str]) -> None:
        np.save(folder / "theirs.npy", np.random.default_rng(0).random((2, 7, 7)))
        for words in commands(self.TEXT):
            run(words, capsys)

    def test_python_works(self, folder: Path) -> None:
        names: dict[str, Any] = {"camdbench": camdbench, "torch": torch}
        for _, code in blocks(self.TEXT, "python"):
            if "grey_network" not in code:
                exec(compile(code, "docs/faq.md", "exec"), names)
        two = names["TwoClasses"](torch.nn.Sequential(torch.nn.Flatten(), torch.nn.Linear(12, 1)))(torch.ones(2, 3, 2, 2))
        torch.testing.assert_close(two.softmax(1)[:, 1], torch.sigmoid(two[:, 1]))
        assert names["raw"].shape == (1, 96, 96)


class TestSchema:
    TEXT = (DOCS / "schema.md").read_text(encoding="utf-8")

    def names(self, title: str) -> list[str]:
        """Names in the first column of the first table of a section."""
        (section,) = re.findall(rf"^## {re.escape(title)}\n(.*?)(?=^## |\Z)", self.TEXT, re.MULTILINE | re.DOTALL)
        table = re.search(r"(?:^\|.*\n)+", section, re.MULTILINE)
        assert table
        return [name for line in table[0].splitlines()[2:] for name in re.findall(r"`([\w.]+)`", line.split("|")[1])]

    def test_columns_are_those_of_the_code(self) -> None:
        assert self.names("rows") == list(Row._fields)
        assert self.names("usage") == list(UsageRow._fields)
        assert self.names("curves") == list(_COLUMNS)
        assert self.names("predictions") == list(prediction_table({"a": (0, 0.5)}).column_names)
        assert self.names("run.json") == [own.name for own in fields(RunRecord)]
        assert self.names("summary.csv") == [*SUMMARY_COLUMNS, "objective"]
        assert f"schema {SCHEMA};" in self.TEXT

    def test_statuses_and_keys_of_sessions_are_those_of_a_run(self, tmp_path: Path) -> None:
        assert set(get_args(Status)) <= set(re.findall(r"^\| `(\w+)` \|", self.TEXT, re.MULTILINE))
        camdbench.run("fakecam", "ad", limit=1, out=tmp_path / "run", progress=False)
        (session,) = (tmp_path / "run" / "sessions").iterdir()
        written = json.loads(session.read_text(encoding="utf-8"))
        assert set(written) | {"reason"} == set(self.names("sessions"))
        assert set(json.loads((tmp_path / "run" / "run.json").read_text(encoding="utf-8"))) == set(self.names("run.json"))
