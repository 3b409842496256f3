"""Foreign code: whatever it raises is one line, and whatever it is made of has a hash."""

from __future__ import annotations

import operator
import subprocess
import sys
from collections.abc import Callable
from functools import partial
from pathlib import Path
from typing import Any

import pytest
from helpers.each import each

from camdbench.core.errors import CamdbenchError, UsageError
from camdbench.core.foreign_code import calling, place_of, plugin_hash


def _executed(text: str) -> dict[str, Any]:
    """Names of code without a file, as of `python -c`."""
    names: dict[str, Any] = {"__name__": "__main__"}
    exec(compile(text, "<string>", "exec"), names)
    return names


def _defined(text: str) -> Callable[..., Any]:
    return _executed(text)["f"]


@each("error", [SystemExit(3), BaseException("x"), GeneratorExit(), ValueError("x\ny"), RecursionError("x")])
def test_every_exception_is_one_line_that_names_the_code(error: BaseException) -> None:
    with pytest.raises(CamdbenchError, match=r"^explainer mine: [^\n]+$"), calling("explainer mine"):
        raise error


@pytest.mark.parametrize("error", [KeyboardInterrupt(), UsageError("x")])
def test_an_interrupt_and_our_own_errors_pass(error: BaseException) -> None:
    with pytest.raises(type(error)), calling("explainer mine"):
        raise error


def test_code_without_a_file_is_told_apart_by_what_it_does() -> None:
    first, same = (_defined("def f(x):\n    return x.mean(1) + 2") for _ in range(2))
    others = ["def f(x):\n    return x.mean(1) + 3", "def f(x):\n    return x.amax(1) + 2", "f = lambda x: (y := x) + 2"]
    others += ["def f(x):\n    def g():\n        return 1\n    return g()", "def f(x):\n    def g():\n        return 2\n    return g()"]
    others += [
        "def f(x):\n    return x in {1, 2}",
        "class f:\n    def __call__(self, x):\n        return x",
        "import operator\nf = operator.add",
    ]
    hashes = [plugin_hash(first), *(plugin_hash(_defined(text)) for text in others)]
    assert plugin_hash(same) == hashes[0]
    assert len(set(hashes)) == len(hashes)


def test_arguments_of_a_partial_and_the_class_of_an_instance_count() -> None:
    f, kind = _defined("def f(x, k=1):\n    return x * k"), _executed("class f:\n    def __call__(self, x):\n        return x")["f"]
    assert len({plugin_hash(f), plugin_hash(partial(f, k=2)), plugin_hash(partial(f, k=3)), plugin_hash(partial(partial(f, k=2), 1))}) == 4
    assert plugin_hash(kind()) == plugin_hash(kind)
    assert place_of(partial(partial(f))) == ("__main__", "f")
    assert place_of(kind()) == ("__main__", "f")
    assert place_of(operator.add) == ("_operator", "add")


def test_a_file_is_hashed_whole(tmp_path: Path) -> None:
    text = "# coding: latin-1\n# caf\xe9\ndef f(x):\n    return x\n"
    (tmp_path / "own_code.py").write_bytes(text.encode("latin-1"))
    code = f"import sys; sys.path.insert(0, {str(tmp_path)!r})\nfrom own_code import f\n"
    code += "from camdbench.core.foreign_code import plugin_hash\nprint(plugin_hash(f))"
    found = [subprocess.run([sys.executable, "-c", code], check=True, capture_output=True, text=True).stdout]
    (tmp_path / "own_code.py").write_bytes((text + "y = 1\n").encode("latin-1"))
    found.append(subprocess.run([sys.executable, "-c", code], check=True, capture_output=True, text=True).stdout)
    assert len(set(found)) == 2
