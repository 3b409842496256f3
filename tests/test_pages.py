"""The generated reference: a page for every entry, with direction, formula, options and links that exist."""

from __future__ import annotations

import ast
import io
import re
import sys
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from camdbench.core.registries import datasets, explainers, losses, metrics
from camdbench.papers.recipe_files import recipe_files

ROOT = Path(__file__).parents[1]
DOCS = ROOT / "docs"
sys.path.insert(0, str(DOCS))

import _check  # noqa: E402
import _docstrings  # noqa: E402
import _drawing  # noqa: E402
import _generate  # noqa: E402
import _mathml  # noqa: E402
import _model_pages  # noqa: E402
from _page_text import file_of  # noqa: E402

REGISTRIES = {"explainers": explainers, "metrics": metrics, "losses": losses, "datasets": datasets}
ENTRIES = [(kind, entry.name) for kind, registry in REGISTRIES.items() for entry in registry]


@pytest.fixture(scope="module")
def pages() -> dict[str, str]:
    return _generate.pages()


class TestEveryEntry:
    @pytest.mark.parametrize("kind", REGISTRIES)
    def test_has_a_page_and_a_line_in_the_index(self, kind: str, pages: dict[str, str]) -> None:
        names = [file_of(name) for kind_, name in ENTRIES if kind_ == kind]
        assert sorted(f"{kind}/{name}.md" for name in names) == sorted(
            page for page in pages if page.startswith(f"{kind}/") and not page.endswith("index.md")
        )
        assert [name for name in names if f"]({name}.md)" not in pages[f"{kind}/index.md"]] == []

    def test_of_recipes_and_families_has_one(self, pages: dict[str, str]) -> None:
        assert {f"recipes/{name}.md" for name in recipe_files()} <= set(pages)
        assert {f"models/{name}.md" for name in _model_pages.families()} <= set(pages)

    def test_states_its_formula_and_options(self, pages: dict[str, str]) -> None:
        lacking = list[tuple[str, str]]()
        for kind, name in ENTRIES:
            entry, page = REGISTRIES[kind].get(name), pages[f"{kind}/{file_of(name)}.md"]
            options = [option.name for option in entry.options if f"\n| `{option.name}` | " not in page]
            formula = getattr(entry.facts, "formula", "")
            if options or formula not in page or (kind != "datasets" and not formula):
                lacking.append((name, ", ".join(options) or "formula"))
        assert lacking == []

    def test_says_what_each_option_does(self, pages: dict[str, str]) -> None:
        silent = [
            (name, option.name)
            for kind, name in ENTRIES
            for option in REGISTRIES[kind].get(name).options
            if re.search(rf"^\| `{option.name}` \|.*\|  \|$", pages[f"{kind}/{file_of(name)}.md"], re.MULTILINE)
        ]
        assert silent == []


def test_a_metric_states_one_of_three_directions(pages: dict[str, str]) -> None:
    wanted = {True: "**Higher is better.**", False: "**Lower is better.**", None: "**Not stated: values are not ranked.**"}
    for entry in metrics:
        page = pages[f"metrics/{file_of(entry.name)}.md"]
        assert [line for line in wanted.values() if line in page] == [wanted[entry.facts.higher_is_better]], entry.name


def test_links_lead_to_pages(pages: dict[str, str]) -> None:
    broken = list[str]()
    for path, text in pages.items():
        for target in re.findall(r"\]\((?!https?:|#)([^)#]+)", re.sub(r"```[^`]*```|`[^`\n]*`", "", text)):
            file = (DOCS / "reference" / path).parent.joinpath(target).resolve()
            inside = file.is_relative_to(DOCS / "reference")
            if not (file.relative_to(DOCS / "reference").as_posix() in pages if inside else file.is_file()):
                broken.append(f"{path}: {target}")
    assert broken == []


class TestReferences:
    def test_exist(self) -> None:
        named = {one.test for found in _generate.references().values() for one in found} | {test for *_, test in _generate.ties()}
        assert sorted(test for test in named if not is_test(test)) == []
        assert len(named) > 150

    def test_every_entry_has_one_or_a_reason(self) -> None:
        known = set(_generate.references())
        assert sorted(set(ENTRIES) - known - set(_generate.NO_REFERENCE)) == []
        assert sorted(known - set(ENTRIES)) == []
        assert sorted(known & set(_generate.NO_REFERENCE)) == []
        assert len(_generate.NO_REFERENCE) <= 6

    def test_ties_are_of_explainers_and_on_their_pages(self, pages: dict[str, str]) -> None:
        for names, when, _ in _generate.ties():
            assert set(names) <= set(explainers.names())
            for name in names:
                page = pages[f"explainers/{file_of(name)}.md"]
                assert _docstrings.cell(when) in page
                assert [one for one in names if one != name and f"({file_of(one)}.md)" not in page] == []


def is_test(place: str) -> bool:
    """Whether a test of the form `FILE.py::CLASS::TEST` or `FILE.py::TEST` exists under `tests`."""
    file, *names = place.split("::")
    body = ast.parse((ROOT / "tests" / file).read_text(encoding="utf-8")).body if (ROOT / "tests" / file).is_file() else []
    for name in names:
        found = [node for node in body if isinstance(node, ast.FunctionDef | ast.ClassDef) and node.name == name]
        body = found[0].body if found else []
    return bool(body) and place.rpartition("::")[2].startswith("test_")


class TestWriting:
    def test_leaves_pages_that_have_not_changed(self, tmp_path: Path) -> None:
        first = _generate.write_pages(tmp_path)
        stale = tmp_path / "metrics" / "gone.md"
        stale.write_text("")
        assert len(first) == len(_generate.pages())
        assert _generate.write_pages(tmp_path) == []
        assert not stale.exists()


class TestDocstrings:
    @pytest.mark.parametrize(
        ("annotation", "words"),
        [
            ("PositiveInt | None", "integer > 0 or `None`"),
            ("Literal['a', 'b', 'c']", '`"a"`, `"b"` or `"c"`'),
            ("Literal[1, 3]", "`1` or `3`"),
            ("tuple[float, ...]", "tuple of number"),
            ("Literal['class'] | NonNegativeInt", '`"class"` or integer ≥ 0'),
        ],
    )
    def test_types_are_words(self, annotation: str, words: str) -> None:
        assert _docstrings.type_in_words(annotation) == words

    def test_every_type_of_an_option_has_words(self) -> None:
        found = {option.annotation for registry in REGISTRIES.values() for entry in registry for option in entry.options}
        unknown = re.compile(r"`(?!None|True|False)[A-Z]\w+`")
        assert [one for one in found if unknown.search(_docstrings.type_in_words(one)) and "Literal" not in one] == []

    def test_sections_do_not_stay_in_the_text(self) -> None:
        for kind, name in ENTRIES:
            parts = _docstrings.read_docstring(REGISTRIES[kind].get(name).doc)
            assert not re.search(r"^(Args|Returns|Raises):", parts.text, re.MULTILINE), name
            assert parts.returns or kind == "datasets", name


class TestCheck:
    """The check of a built site finds what it is for."""

    def test_a_link_without_a_page_file_or_anchor(self, tmp_path: Path) -> None:
        (tmp_path / "b.html").write_text('<h1 id="here">b</h1>')
        (tmp_path / "a.html").write_text(
            '<a href="b.html#here"></a><a href="b.html#gone"></a><a href="c.html"></a><img src="d.png"><a href="https://x.y/z"></a>'
        )
        assert list(_check.broken(tmp_path)) == [
            "a.html: b.html#gone: no such anchor",
            "a.html: c.html: no such file",
            "a.html: d.png: no such file",
        ]

    def test_what_a_page_lacks(self, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
        page = tmp_path / "reference" / "metrics" / "ad.html"
        page.parent.mkdir(parents=True)
        page.write_text("Higher is better.")
        monkeypatch.setattr(_check, "entries", lambda: {"metrics": ["ad", "ag"]} | {kind: [] for kind in _check.KINDS if kind != "metrics"})
        assert list(_check.lacking(tmp_path)) == [
            "metrics ad: no direction",
            "metrics ad: no formula",
            "metrics ad: no picture",
            "metrics ag: no page",
        ]
        page.write_text('Lower is better. <math></math><img src="../../_images/ad.png">')
        assert list(_check.lacking(tmp_path)) == ["metrics ag: no page"]

    def test_the_size_without_pickled_documents(self, tmp_path: Path) -> None:
        (tmp_path / ".doctrees").mkdir()
        (tmp_path / ".doctrees" / "a").write_bytes(bytes(5000))
        (tmp_path / "a.html").write_bytes(bytes(2000))
        assert _check.size(tmp_path) == 0.002


class TestPictures:
    def test_maps_stand_beside_their_images(self) -> None:
        white, black = np.ones((8, 8, 3)), np.zeros((8, 8, 3))
        maps = [[np.zeros((8, 8))], [np.zeros((8, 8))]]
        sheet = np.asarray(Image.open(io.BytesIO(_drawing.map_strip([white, black], maps))))
        assert sheet.shape == (180, 4 * 186 - 6, 3)
        assert [sheet[90, 186 * place + 90].max() > 128 for place in range(4)] == [True, True, False, False]

    def test_several_maps_make_a_row_for_each_image(self) -> None:
        sheet = Image.open(io.BytesIO(_drawing.map_strip([np.ones((8, 8, 3))] * 2, [[np.eye(8)] * 2] * 2)))
        assert sheet.size == (3 * 186 - 6, 2 * 186 - 6)


def test_every_formula_is_mathml() -> None:
    for kind, name in ENTRIES:
        if formula := getattr(REGISTRIES[kind].get(name).facts, "formula", ""):
            assert _mathml.to_mathml(formula, display=True).startswith("<math"), name
    with pytest.raises(ValueError, match=r"\\nosuch"):
        _mathml.to_mathml(r"\nosuch")
