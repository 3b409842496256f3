"""Options: keyword-only arguments, checked strictly against a closed set of annotations."""

from __future__ import annotations

import ast
from typing import Any, Literal

import pytest
from helpers.each import each
from pydantic import NonNegativeFloat, NonNegativeInt, PositiveFloat, PositiveInt

from camdbench.core.errors import UsageError
from camdbench.core.option_types import Connectivity, Masking, PositiveFraction
from camdbench.core.options import Option, check_options, options_of_function, options_of_source

FITS = [
    ("int", 3, -3),
    ("float", 0.5, 1e9),
    ("bool", True, False),
    ("str", "a", ""),
    ("None", None, None),
    ("PositiveInt", 1, 10**9),
    ("TwoOrMore", 2, 50),
    ("NonNegativeInt", 0, 5),
    ("PositiveFloat", 1e-9, 3),
    ("NonNegativeFloat", 0.0, 0),
    ("FiniteFloat", -1.5, 2),
    ("int | None", 3, None),
    ("Literal['a', 'b']", "a", "b"),
    ("Literal[1]", 1, 1),
    ("tuple[int, ...]", (), (1, 2)),
    ("str | tuple[float, ...]", "x", (0.5,)),
]
MISFITS = [
    ("int", 1.5),
    ("int", "3"),
    ("int", True),
    ("float", "0.5"),
    ("bool", 1),
    ("str", 1),
    ("PositiveInt", 0),
    ("TwoOrMore", 1),
    ("PositiveInt", 1.0),
    ("NonNegativeInt", -1),
    ("PositiveFloat", 0.0),
    ("PositiveFloat", float("inf")),
    ("NonNegativeFloat", -0.1),
    ("NonNegativeFloat", float("nan")),
    ("FiniteFloat", float("inf")),
    ("int | None", "none"),
    ("Literal['a', 'b']", "c"),
    ("tuple[int, ...]", (1, "x")),
    ("None", 0),
]


@each(("annotation", "value"), [(row[0], value) for row in FITS for value in row[1:]])
def test_a_value_that_fits_comes_back(annotation: str, value: object) -> None:
    found = check_options("f", (Option("x", annotation, None),), {"x": value})
    assert found == {"x": value}


@each(("annotation", "value"), MISFITS)
def test_a_value_that_does_not_fit_is_named_with_its_owner_and_type(annotation: str, value: object) -> None:
    with pytest.raises(UsageError) as error:
        check_options("opticam", (Option("x", annotation, None),), {"x": value})
    message = str(error.value)
    assert message.startswith(f"opticam(x={value!r}): ")
    assert message.endswith(f"(x: {annotation})")


def test_an_unknown_option_gets_the_nearest_name() -> None:
    with pytest.raises(UsageError, match=r"opticam: no option 'iteration'; did you mean 'iterations'\?"):
        check_options("opticam", (Option("iterations", "int", 1),), {"iteration": 3})


def test_an_owner_without_options_says_so() -> None:
    with pytest.raises(UsageError, match=r"fakecam\(x=3\): fakecam has no options; leave x out"):
        check_options("fakecam", (), {"x": 3})


def every(
    trace: object,
    *,
    a: PositiveInt = 1,
    b: NonNegativeInt | None = None,
    c: PositiveFloat = 0.5,
    d: NonNegativeFloat = 0.0,
    e: Literal["x", "y"] = "x",
    f: bool = False,
    g: str = "s",
    h: tuple[int, ...] = (1, 2),
    i: int = -1,
) -> None:
    """All the annotations that an option may have."""


def test_source_and_live_function_tell_the_same_options() -> None:
    source = ast.parse(_source_of(every)).body[0]
    assert isinstance(source, ast.FunctionDef)
    assert options_of_source(source) == options_of_function(every)
    assert [option.name for option in options_of_function(every)] == list("abcdefghi")


def test_positional_arguments_are_no_options() -> None:
    def f(trace: object, extra: int = 3) -> None: ...

    assert options_of_function(f) == ()


def _no_type(trace: object, *, x=1) -> None: ...


def _no_default(trace: object, *, x: int) -> None: ...


@pytest.mark.parametrize("function", [_no_type, _no_default])
def test_an_option_without_type_or_default_is_refused(function: Any) -> None:
    with pytest.raises(TypeError, match=r"option 'x' of .*: no type or no default"):
        options_of_function(function)
    source = ast.parse(_source_of(function)).body[0]
    assert isinstance(source, ast.FunctionDef)
    with pytest.raises(TypeError, match=r"option 'x' of .*: no type or no default"):
        options_of_source(source)


@each("annotation", ["list[int]", "dict", "os.PathLike", "Callable", "print('x')", "'PositiveInt'", "tuple[int, int]", "Undefined"])
def test_an_annotation_outside_the_closed_set_is_refused_and_never_evaluated(annotation: str) -> None:
    source = ast.parse(f"def f(trace, *, x: {annotation} = None): ...").body[0]
    assert isinstance(source, ast.FunctionDef)
    with pytest.raises(TypeError, match=r"option annotation .*: use int"):
        options_of_source(source)


def _source_of(function: Any) -> str:
    import inspect

    return inspect.getsource(function)


def test_a_share_lies_above_zero_and_up_to_one() -> None:
    option = Option("keep", "PositiveFraction", 1.0)
    assert option.check(0.5, "ad") == 0.5
    for wrong in (0.0, 1.5, -1.0, float("nan")):
        with pytest.raises(UsageError, match=r"ad\(keep="):
            option.check(wrong, "ad")


def test_shared_types_are_shown_with_their_choices() -> None:
    def function(
        *, masking: Masking = "pixels", deltas: tuple[PositiveFraction, ...] = (0.5,), side: Connectivity | None = None
    ) -> None: ...

    shown = {option.name: option.annotation for option in options_of_function(function)}
    assert shown["masking"] == "Literal['pixels', 'normalised']"
    assert shown["deltas"] == "tuple[PositiveFraction, ...]"
    assert shown["side"] == "Literal[4, 8] | None"
    with pytest.raises(UsageError, match=r"m\(masking='grey'\): .*Literal\['pixels', 'normalised'\]"):
        check_options("m", options_of_function(function), {"masking": "grey"})
