"""Every function, class and constant of the package is used by the package, by the site, or by a library that calls it."""

from __future__ import annotations

import ast
import re
from collections import Counter
from collections.abc import Iterator
from pathlib import Path

import camdbench

ROOT = Path(__file__).parents[1]
PACKAGE = Path(camdbench.__file__).parent
WORD = re.compile(r"[A-Za-z_]\w*")

# Names that click, pandas or IPython call, and those of the Python API that only users call.
CALLED_BY_OTHERS = frozenset(
    {
        *("format_commands", "list_commands", "format_completion"),  # click
        "_constructor",  # pandas
        "visit_Name",  # ast
        "measure_cell_truth",  # tests alone, of what `camdbench audit` measures in parts
        "target_logits",  # explainers of users
    }
)


def definitions(tree: ast.AST) -> Iterator[str]:
    """Names of functions and classes without decorators that call them, and of constants; dunder names are left out."""
    for node in ast.walk(tree):
        if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef | ast.ClassDef):
            marks = [mark.func if isinstance(mark, ast.Call) else mark for mark in node.decorator_list]
            named = {mark.attr if isinstance(mark, ast.Attribute) else getattr(mark, "id", "") for mark in marks}
            if named <= {"property", "cached_property", "staticmethod", "classmethod", "contextmanager", "dataclass", "cache", "lru_cache"}:
                yield node.name
        elif isinstance(node, ast.Module):
            targets = [target for own in node.body if isinstance(own, ast.Assign) for target in own.targets]
            targets += [own.target for own in node.body if isinstance(own, ast.AnnAssign)]
            yield from (target.id for target in targets if isinstance(target, ast.Name))


def unused(sources: list[str], others: list[str]) -> list[str]:
    """Names that the sources define once, and that occur nowhere else in them nor in other texts."""
    words = Counter(word for text in (*sources, *others) for word in WORD.findall(text))
    defined = Counter(name for text in sources for name in definitions(ast.parse(text)))
    return sorted(name for name, count in defined.items() if words[name] == count and not name.startswith(("__", "_repr_")))


def test_nothing_is_unused() -> None:
    sources = [path.read_text(encoding="utf-8") for path in sorted(PACKAGE.rglob("*.py"))]
    pages = [path for folder in ("docs", "benchmarks") for kind in ("*.md", "*.py") for path in (ROOT / folder).rglob(kind)]
    others = [path.read_text(encoding="utf-8") for path in (*pages, ROOT / "README.md", ROOT / "CONTRIBUTING.md")]
    found = set(unused(sources, others))
    assert sorted(found - CALLED_BY_OTHERS) == []
    assert sorted(CALLED_BY_OTHERS - found) == [], "take these out of CALLED_BY_OTHERS"


def test_the_check_finds_what_it_is_for() -> None:
    source = """
LIMIT = 3
USED: int = 2
def helper():
    return USED
@metric("ad")
def average_drop():
    return 1
class Kept:
    @property
    def of(self):
        return 1
"""
    assert unused([source], []) == ["Kept", "LIMIT", "helper", "of"]
    assert unused([source], ["helper()", "Kept().of", "LIMIT"]) == []
