"""One test for many cases: like `pytest.mark.parametrize`, but in one case of the suite. Each failure is a subtest under its own name."""

from __future__ import annotations

import inspect
from collections.abc import Callable, Generator, Iterable, Sequence
from contextlib import contextmanager
from itertools import product
from typing import Any

import pytest
from _pytest.mark import ParameterSet

Test = Callable[..., None]


@contextmanager
def subcase(subtests: pytest.Subtests, name: str, **values: Any) -> Generator[None]:
    """A part of a test that fails or is skipped by its own name, while the other parts go on; one that passes costs no report."""
    try:
        yield
    except (Exception, pytest.fail.Exception, pytest.skip.Exception):
        with subtests.test(name, **values):
            raise


def each(names: str | Sequence[str], values: Iterable[Any], *, ids: Sequence[str] | None = None) -> Callable[[Test], Test]:
    """Run a test once for each value in one case of the suite; several of them over a test make every combination.

    For cases that are cheap. Each has an empty `tmp_path`, a `monkeypatch` that is undone after it, and a `capsys` that has read
    nothing. All other fixtures are made once.

    Args:
        names: the arguments that the values are given as, as for `pytest.mark.parametrize`.
        values: one value, a tuple of them or a `pytest.param` for each case.
        ids: names of the cases in reports; default: the values.
    """
    keys = [name.strip() for name in names.split(",")] if isinstance(names, str) else list(names)
    cases = [_case(keys, value, None if ids is None else ids[index]) for index, value in enumerate(values)]
    assert cases, f"no case of {names}"

    def fold(test: Test) -> Test:
        base, axes = getattr(test, "each", (test, []))
        axes = [cases, *axes]

        def folded(*args: Any, subtests: pytest.Subtests, **fixtures: Any) -> None:
            for index, combination in enumerate(product(*axes)):
                given = {key: value for _, arguments in combination for key, value in arguments.items()}
                with subcase(subtests, "-".join(name for name, _ in combination)), _fresh(fixtures, index) as own:
                    base(*args, **given, **own)

        folded.each = base, axes
        known = {key for axis in axes for key in axis[0][1]}
        kept = [parameter for parameter in inspect.signature(base).parameters.values() if parameter.name not in known]
        own = inspect.Parameter("subtests", inspect.Parameter.KEYWORD_ONLY)
        for name in ("__name__", "__qualname__", "__doc__", "__module__"):
            setattr(folded, name, getattr(base, name))
        folded.pytestmark = list(getattr(base, "pytestmark", []))
        folded.__signature__ = inspect.Signature([*kept, own])
        return folded

    return fold


@contextmanager
def _fresh(fixtures: dict[str, Any], index: int) -> Generator[dict[str, Any]]:
    """The fixtures of one case: as if it were a test of its own."""
    own = dict(fixtures)
    with pytest.MonkeyPatch.context() as patches:
        if "monkeypatch" in own:
            own["monkeypatch"] = patches
        if "tmp_path" in own:
            own["tmp_path"] = fixtures["tmp_path"] / f"case-{index}"
            own["tmp_path"].mkdir()
        if "capsys" in own:
            own["capsys"].readouterr()
        yield own


def _case(keys: list[str], value: Any, name: str | None) -> tuple[str, dict[str, Any]]:
    if isinstance(value, ParameterSet):
        assert not value.marks, "marks are of tests: use pytest.mark.parametrize"
        name, held = name or (str(value.id) if value.id else None), value.values
    else:
        held = (value,) if len(keys) == 1 else tuple(value)
    arguments = dict(zip(keys, held, strict=True))
    return name or "-".join(_short(one) for one in held), arguments


def _short(value: Any) -> str:
    text = getattr(value, "__name__", None) or (value if isinstance(value, str) else repr(value))
    return text if len(text) <= 60 else f"{text[:57]}..."
