"""How the project writes: no retired words, and registered functions that state a shape and a paper."""

from __future__ import annotations

import ast
import inspect
import re
from collections import Counter
from collections.abc import Iterator
from pathlib import Path

import pytest
from helpers.each import each

import camdbench
from camdbench.core.registries import explainers, losses, metrics
from camdbench.core.registry import Registry

ROOT = Path(__file__).parents[1]
PACKAGE = Path(camdbench.__file__).parent
GENERATED = ROOT / "docs" / "reference"  # written by docs/conf.py from docstrings
PAGES = [
    ROOT / "README.md",
    ROOT / "CONTRIBUTING.md",
    *sorted(page for page in (ROOT / "docs").rglob("*.md") if GENERATED not in page.parents),
]

RETIRED = re.compile(
    r"\b(nobody|somebody|tells?|told|mend(?:s|ed|ing)?|judg(?:e[sd]?|ing|e?ments?)|verdicts?|desks?|ledgers?|shel(?:f|ves)|exhibits?"
    r"|witness(?:e[sd])?|evidences?|likewise|of (?:one's|its|their|his|her|my|your|our) own)\b",
    re.IGNORECASE,
)
# Not written anew yet: folders of the package, its modules outside folders, and pages. The list only gets shorter.
PENDING = frozenset[str]()

_SIDE = r"(?:\d+|[A-Za-z]\d?(?: ?[/*+-] ?\w+)?|…)"
SHAPE = re.compile(rf"\({_SIDE}(?:,|(?:, {_SIDE})+)\)")  # (B,), (B, h, w), (B, 3, H, W)
PLACE = re.compile(
    r"\b(?:eq|sec|section|definitions?|theorem|algorithm|alg|table|figure|fig|appendix|app|chapter|ch|pp?)\b\.? ?[\dA-Z]|§|\w\.py\b",
    re.IGNORECASE,
)  # `\w.py`: a file of the authors' release
NO_PAPER = re.compile(r"^(?:control\b|cross-entropy$|binary cross-entropy$)")  # nothing that a paper defines
KINDS: dict[str, Registry] = {"explainer": explainers, "metric": metrics, "loss": losses}


def prose_of(source: str) -> Iterator[tuple[int, str]]:
    """Line and text of docstrings and of messages: string literals of more than one word, f-strings with `{}` for their values."""
    inner = set[int]()
    for node in ast.walk(ast.parse(source)):
        text = ""
        if isinstance(node, ast.JoinedStr):
            inner |= {id(value) for value in node.values}
            text = "".join(str(value.value) if isinstance(value, ast.Constant) else "{}" for value in node.values)
        elif isinstance(node, ast.Constant) and isinstance(node.value, str) and id(node) not in inner:
            text = node.value
        if len(text.split()) > 1:
            yield node.lineno, text


def retired_in(text: str, first: int = 1) -> list[str]:
    """`line: word` of every retired word."""
    found = list[str]()
    for hit in RETIRED.finditer(text):
        line = first + text.count("\n", 0, hit.start())
        found.append(f"{line}: {hit[0].lower()}")
    return found


def area_of(file: Path) -> str:
    """What of `PENDING` a file belongs to: a page, a folder of the package, or a module outside folders."""
    if file.suffix == ".md":
        return file.relative_to(ROOT).as_posix()
    return file.relative_to(PACKAGE).parts[0]


def found_words() -> dict[str, list[str]]:
    """Area -> its retired words, with their places."""
    found = dict[str, list[str]]()
    for page in PAGES:
        found.setdefault(area_of(page), []).extend(retired_in(page.read_text(encoding="utf-8")))
    for module in sorted(PACKAGE.rglob("*.py")):
        for line, text in prose_of(module.read_text(encoding="utf-8")):
            found.setdefault(area_of(module), []).extend(f"{module.relative_to(PACKAGE)}:{hit}" for hit in retired_in(text, line))
    return {area: hits for area, hits in found.items() if hits}


def returns_of(doc: str) -> str:
    """The section `Returns` of a Google docstring."""
    section = re.search(r"^Returns:\n((?:[ \t]+.*\n?|\n)+)", inspect.cleandoc(doc), re.MULTILINE)
    return section[1] if section else ""


def without_shape(kind: str) -> list[str]:
    """The registered functions whose docstring states no shape in `Returns`."""
    return [entry.name for entry in KINDS[kind] if not SHAPE.search(returns_of(KINDS[kind].load(entry.name).__doc__ or ""))]


def without_place(kind: str) -> list[str]:
    """The registered functions whose paper is named without equation, section or the like."""
    return [entry.name for entry in KINDS[kind] if not NO_PAPER.search(entry.facts.paper) and not PLACE.search(entry.facts.paper)]


class TestRetiredWords:
    def test_none_stands_in_docstrings_messages_or_pages(self) -> None:
        found = found_words()
        assert {area: hits for area, hits in found.items() if area not in PENDING} == {}

    def test_areas_without_them_are_not_pending(self) -> None:
        assert sorted(PENDING - set(found_words())) == [], "take these out of PENDING"


@pytest.mark.parametrize("kind", KINDS)
class TestRegisteredFunctions:
    def test_state_a_shape_in_returns(self, kind: str) -> None:
        assert without_shape(kind) == []

    def test_have_a_first_line_that_fits_a_listing(self, kind: str) -> None:
        long = [entry.name for entry in KINDS[kind] if len(entry.summary) > 100]
        assert kind == "loss" or long == []

    def test_name_a_paper_with_equation_or_section(self, kind: str) -> None:
        assert without_place(kind) == []


class TestTheChecks:
    """The checks above find what they are for."""

    SOURCE = '''
"""Who is told."""

def judge(evidence, verdict="verdict"):
    """Return x."""
    raise ValueError(f"told {verdict}: nobody knows; a desk\\nof its own")
'''

    def test_words_of_docstrings_and_messages_but_not_of_names(self) -> None:
        found = Counter(hit.partition(": ")[2] for line, text in prose_of(self.SOURCE) for hit in retired_in(text, line))
        assert found == Counter(["told", "told", "nobody", "desk", "of its own"])

    @each("word", ["Nobody", "somebody", "tells", "mends", "judged", "verdicts", "shelves", "witnesses", "Likewise"])
    def test_in_every_form(self, word: str) -> None:
        assert retired_in(f"a\n{word} b") == [f"2: {word.lower()}"]

    @each("text", ["we recommend it", "a desktop", "an amendment", "evident", "its own folder"])
    def test_other_words_pass(self, text: str) -> None:
        assert retired_in(text) == []

    @pytest.mark.parametrize(
        ("doc", "stated"),
        [
            ("A.\n\n    (B,)\n    ", False),
            ("A.\n\n    Returns:\n        (B,) float64 in [0, 100].\n    ", True),
            ("A.\n\n    Returns:\n        Raw maps (B, h, w).\n\n    Raises:\n        X: y.\n    ", True),
            (
                "A.\n\n    Returns:\n        A value (Zhang et al. 2024, eq. 13), per cent.\n\n    Raises:\n        X: on (B, 3).\n    ",
                False,
            ),
        ],
    )
    def test_shapes(self, doc: str, stated: bool) -> None:
        assert bool(SHAPE.search(returns_of(doc))) is stated

    @each(
        ("paper", "stated"),
        [
            ("Zhang et al. 2024, arXiv:2301.07002, eq. 13-15", True),
            ("Samek et al. 2017, arXiv:1509.06321, section III", True),
            ("Opti-CAM, Figure A4", True),
            ("Montavon et al. 2018, section on explanation continuity", True),
            ("pytorch-grad-cam (Gildenblat et al. 2021), eigen_grad_cam.py", True),
            ("Cai 2025, arXiv:2501.06261", False),
            ("Jiang et al. 2021, IEEE TIP 30", False),
        ],
    )
    def test_papers(self, paper: str, stated: bool) -> None:
        assert bool(PLACE.search(paper)) is stated
