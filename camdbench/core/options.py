"""Options of a registered function: its keyword-only arguments, validated against their annotations."""

from __future__ import annotations

import ast
import inspect
from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace
from functools import cache, partial
from types import NoneType
from typing import TYPE_CHECKING, Annotated, Any, Literal, get_args

from camdbench.core import option_types
from camdbench.core.errors import UsageError, unknown

if TYPE_CHECKING:
    from pydantic import TypeAdapter


@dataclass(frozen=True)
class Option:
    """A keyword-only argument: name, annotation as source text, and default (a literal)."""

    name: str
    annotation: str
    default: Any

    def check(self, value: object, owner: str) -> object:
        """Validate `value` strictly against the annotated type.

        Raises:
            UsageError: wrong type or out of bounds; the message names owner, option, value and type.
        """
        from pydantic import ValidationError

        try:
            return _adapter(self.annotation).validate_python(value, strict=True)
        except ValidationError as error:
            reason = error.errors()[0]["msg"].lower()
            raise UsageError(f"{owner}({self.name}={value!r}): {reason} ({self.name}: {self.annotation})") from None


@cache
def _adapter(annotation: str) -> TypeAdapter[Any]:
    from pydantic import TypeAdapter

    return TypeAdapter(_resolve(ast.parse(annotation, mode="eval").body))


def check_options(owner: str, options: tuple[Option, ...], given: dict[str, object]) -> dict[str, object]:
    """Validate all given values; an unknown name raises a UsageError with suggestions.

    >>> check_options("opticam", (Option("iterations", "PositiveInt", 100),), {"iterations": 50})
    {'iterations': 50}
    """
    by_name = {option.name: option for option in options}
    for name, value in given.items():
        if name not in by_name:
            if not by_name:
                raise UsageError(f"{owner}({name}={value!r}): {owner} has no options; leave {name} out")
            raise unknown("option", name, by_name, of=owner)
    return {name: by_name[name].check(value, owner) for name, value in given.items()}


def check_arguments(function: Callable[..., Any], given: Mapping[str, object], what: str) -> None:
    """Check values for the arguments of a function or class: their names, and their types where the annotation is that of an option.

    >>> check_arguments(lambda width: width, {"width": 8}, "model small")

    Args:
        function: a function that makes a network, data set or loss.
        given: values by name; all others have their defaults.
        what: name of the function, for messages.

    Raises:
        UsageError: a name is unknown, a value has another type, or a value is missing.
    """
    try:
        parameters = inspect.signature(function).parameters
    except (TypeError, ValueError):  # code in C
        return
    named = {name: own for name, own in parameters.items() if own.kind in (own.POSITIONAL_OR_KEYWORD, own.KEYWORD_ONLY)}
    takes_all = any(own.kind is own.VAR_KEYWORD for own in parameters.values())
    for name, value in given.items():
        if name in named:
            _check_argument(named[name], value, what)
        elif not takes_all:
            check_options(what, tuple(Option(known, "", None) for known in named), {name: value})
    lacking = [
        name for name, own in parameters.items() if own.default is own.empty and own.kind not in (own.VAR_KEYWORD, own.VAR_POSITIONAL)
    ]
    if missing := [name for name in lacking if name not in given]:
        raise UsageError(f"{what}: {missing[0]} has no default; give it, as in FILE.py:NAME({missing[0]}=…)")


def _check_argument(parameter: inspect.Parameter, value: object, what: str) -> None:
    kind = parameter.annotation
    if kind is parameter.empty:
        return
    try:
        option = _option(parameter.name, kind if isinstance(kind, str) else inspect.formatannotation(kind), None, what)
    except (TypeError, SyntaxError):  # a type that no option has
        return
    option.check(value, what)


def bind_options(options: tuple[Option, ...], values: Mapping[str, object]) -> tuple[Option, ...]:
    """Options whose defaults are the given values."""
    return tuple(replace(option, default=values.get(option.name, option.default)) for option in options)


def options_of_function(function: Callable[..., Any]) -> tuple[Option, ...]:
    """Options of a function object, from its signature."""
    bound = function.keywords if isinstance(function, partial) else {}
    found = list[Option]()
    for parameter in inspect.signature(function).parameters.values():
        if parameter.kind is not inspect.Parameter.KEYWORD_ONLY:
            continue
        annotation = parameter.annotation
        if annotation is inspect.Parameter.empty and parameter.name in bound:
            continue  # an argument that a `partial` gives
        if annotation is inspect.Parameter.empty:
            annotation = ""
        text = annotation if isinstance(annotation, str) else inspect.formatannotation(annotation)
        found.append(_option(parameter.name, text, parameter.default, getattr(function, "__qualname__", repr(function))))
    return tuple(found)


def options_of_source(node: ast.FunctionDef) -> tuple[Option, ...]:
    """Options of a parsed function that is not imported."""
    found = list[Option]()
    for argument, default in zip(node.args.kwonlyargs, node.args.kw_defaults, strict=True):
        annotation = ast.unparse(argument.annotation) if argument.annotation else ""
        value = inspect.Parameter.empty if default is None else ast.literal_eval(default)
        found.append(_option(argument.arg, annotation, value, node.name))
    return tuple(found)


_WRAPPED = {"Wrapped", "WrappedData"}  # annotations of an argument that is another explainer or data set


def wraps_of_function(function: Callable[..., Any]) -> int:
    """Number of explainers or data sets that a function object wraps."""
    annotations = (parameter.annotation for parameter in inspect.signature(function).parameters.values())
    return sum(not _WRAPPED.isdisjoint({str(annotation), getattr(annotation, "__name__", None)}) for annotation in annotations)


def wraps_of_source(node: ast.FunctionDef) -> int:
    """Number of explainers or data sets that a parsed function wraps."""
    return sum(argument.annotation is not None and ast.unparse(argument.annotation) in _WRAPPED for argument in node.args.args)


def _option(name: str, annotation: str, default: object, owner: str) -> Option:
    if default is inspect.Parameter.empty or not annotation:
        raise TypeError(f"option {name!r} of {owner}: no type or no default; add both")
    text = ast.unparse(_ExpandNames().visit(ast.parse(annotation, mode="eval")))  # the same text from source and from signature
    _resolve(ast.parse(text, mode="eval").body, lambda kind, _: kind)  # a check; a listing needs no pydantic
    return Option(name, text, default)


class _ExpandNames(ast.NodeTransformer):
    """Replaces names of `core.option_types` by the Literal they stand for."""

    def visit_Name(self, node: ast.Name) -> ast.expr:
        choices = get_args(getattr(option_types, node.id, None))
        if node.id in _BOUNDED or not choices:
            return node
        return ast.parse(f"Literal[{', '.join(map(repr, choices))}]", mode="eval").body


_PLAIN: dict[str, Any] = {"int": int, "float": float, "bool": bool, "str": str, "None": NoneType}
_BOUNDED: dict[str, tuple[type, dict[str, Any]]] = {  # names as in pydantic, for type checkers
    "PositiveInt": (int, {"gt": 0}),
    "NonNegativeInt": (int, {"ge": 0}),
    "PositiveFloat": (float, {"gt": 0, "allow_inf_nan": False}),
    "NonNegativeFloat": (float, {"ge": 0, "allow_inf_nan": False}),
    "FiniteFloat": (float, {"allow_inf_nan": False}),
    "PositiveFraction": (float, {"gt": 0, "le": 1}),  # core.option_types
    "TwoOrMore": (int, {"ge": 2}),  # core.option_types
    "Preprocess": (str, {"pattern": r"^(resize256_crop224|resize224_distort|short448|keep|model|fit\(.*\))$"}),
}


def _with_bounds(kind: type, bounds: dict[str, Any]) -> Any:
    """A type that pydantic holds to its bounds."""
    from pydantic import Field

    return Annotated[kind, Field(**bounds)]


def _resolve(node: ast.expr, bound: Callable[[type, dict[str, Any]], Any] = _with_bounds) -> Any:
    """Type of an annotation from a closed set; nothing is evaluated."""
    match node:
        case ast.Name(id=name) if name in _PLAIN:
            return _PLAIN[name]
        case ast.Name(id=name) if name in _BOUNDED:
            return bound(*_BOUNDED[name])
        case ast.Constant(value=None):
            return NoneType
        case ast.BinOp(left=left, op=ast.BitOr(), right=right):
            return _resolve(left, bound) | _resolve(right, bound)
        case ast.Subscript(value=ast.Name(id="Literal"), slice=choices):
            return Literal[ast.literal_eval(choices)]
        case ast.Subscript(value=ast.Name(id="tuple"), slice=ast.Tuple(elts=[item, ast.Constant(value=mark)])) if mark is ...:
            return tuple[_resolve(item, bound), ...]
        case _:
            raise TypeError(f"option annotation {ast.unparse(node)!r}: use int, float, bool, str, None, Literal or PositiveInt …")
