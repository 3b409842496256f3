"""The passes that explainers and metrics need, read from docs/design/passes.md, whose cells are formulas of options and quantities."""

from __future__ import annotations

import ast
import math
import operator
import re
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from functools import cache, reduce
from pathlib import Path
from typing import Any, NamedTuple

from camdbench.core.registries import explainers, metrics
from camdbench.core.spec import Spec

PAGE = Path(__file__).parents[2] / "docs" / "design" / "passes.md"
KINDS = ("forward", "backward", "tail forward", "tail backward")
OF_METRICS = ("forward", "explained", "forward, further", "explained, further")
_OPERATORS: dict[type[ast.AST], Callable[..., Any]] = {
    ast.Add: operator.add,
    ast.Sub: operator.sub,
    ast.Mult: operator.mul,
    ast.Div: operator.truediv,
    ast.Eq: operator.eq,
    ast.Gt: operator.gt,
    ast.GtE: operator.ge,
    ast.USub: operator.neg,
}
_FUNCTIONS: dict[str, Callable[..., Any]] = {
    "ceil": math.ceil,
    "count": lambda value: len(value) if isinstance(value, tuple) else 1,
    "max": max,
    "min": min,
}


class Passes(NamedTuple):
    """Image passes through the whole network and through its tail, fractions where a batch shares them."""

    forward: float = 0
    backward: float = 0
    tail_forward: float = 0
    tail_backward: float = 0

    def plus(self, other: Passes, times: float = 1) -> Passes:
        """Sum with another number of passes, `times` over."""
        return Passes(*(mine + times * theirs for mine, theirs in zip(self, other, strict=True)))

    @property
    def shared(self) -> Passes:
        """The part that explainers of one image and layer share: its forward pass and its tail backward pass."""
        return Passes(min(self.forward, 1), tail_backward=min(self.tail_backward, 1))


@dataclass(frozen=True)
class Row:
    """One line of a table.

    Attributes:
        names: explainers or metrics that it is about.
        needed: column -> formula of the passes that the algorithm needs.
        reason: why.
        made: column -> formula of the passes that camdbench makes, where they are others.
    """

    names: tuple[str, ...]
    needed: Mapping[str, str]
    reason: str
    made: Mapping[str, str]

    def values(self, known: Mapping[str, Any], *, made: bool = False) -> dict[str, float]:
        """Each column's number: what the algorithm needs, or what camdbench makes."""
        formulas = {**self.needed, **(self.made if made else {})}
        return {column: evaluate(formula, known) for column, formula in formulas.items()}


class Page(NamedTuple):
    """Rows by name, and the quantities that formulas may use beside options."""

    explainers: dict[str, Row]
    metrics: dict[str, Row]
    quantities: tuple[str, ...]


@cache
def read_page(page: Path = PAGE) -> Page:
    """Read the three tables of the page.

    Raises:
        ValueError: a name has two rows, or a cell is not a formula.
    """
    tables = {table[0][0]: table for table in _tables(page.read_text(encoding="utf-8"))}
    quantities = tuple(_code(line[0])[0] for line in tables["quantity"][2:])
    return Page(_rows(tables["explainer"], (*KINDS, "wrapped")), _rows(tables["metric"], OF_METRICS), quantities)


def evaluate(formula: str, known: Mapping[str, Any]) -> float:
    """Value of a formula: numbers, text, names, + - * /, one comparison, conditions and a few functions.

    >>> evaluate("1 + samples * (2 if best else 1)", {"samples": 10, "best": True})
    21.0

    Raises:
        ValueError: it has anything else, or a name that is not known.
    """
    try:
        return float(_value(ast.parse(formula or "0", mode="eval").body, known))
    except (KeyError, SyntaxError, TypeError) as error:
        raise ValueError(f"formula {formula!r}: {error}; known are {', '.join(sorted(known))}") from error


def names_in(formula: str) -> set[str]:
    """Options and quantities of a formula."""
    return {node.id for node in ast.walk(ast.parse(formula or "0", mode="eval")) if isinstance(node, ast.Name)} - set(_FUNCTIONS)


def of_explainer(spec: Spec, quantities: Mapping[str, Any], *, made: bool = False) -> Passes:
    """Passes of one explainer alone, per image."""
    found = read_page().explainers[spec.name].values(_known(explainers.get(spec.name).arguments(spec), quantities), made=made)
    own = Passes(*(found[kind] for kind in KINDS))
    inner = (of_explainer(wrapped, quantities, made=made) for wrapped in spec.wrapped)
    return reduce(lambda total, passes: total.plus(passes, found["wrapped"]), inner, own)


def of_maps(specs: Sequence[Spec], quantities: Mapping[str, Any], *, made: bool = False) -> Passes:
    """Passes of the maps of several explainers, which share those of the image, per image."""
    return _together([of_explainer(spec, quantities, made=made) for spec in specs], shared=1, alone=0)


def of_metric(metric: Spec, specs: Sequence[Spec], quantities: Mapping[str, Any], *, made: bool = False) -> Passes:
    """Passes of one metric on the maps of several explainers, per image, those of the maps themselves not included."""
    found = read_page().metrics[metric.name].values(_known(metrics.get(metric.name).arguments(metric), quantities), made=made)
    scored = found["forward"] + (len(specs) - 1) * found["forward, further"]
    alone = found["explained, further"]
    explained = _together([of_explainer(spec, quantities, made=made) for spec in specs], shared=found["explained"] - alone, alone=alone)
    return Passes(scored, found.get("backward", 0)).plus(explained)


def _together(each: Sequence[Passes], *, shared: float, alone: float) -> Passes:
    """Passes of explainers on `shared` images, whose own passes they share, and on `alone` images that are others for each explainer."""
    total = Passes()
    for passes in each:
        total = total.plus(passes.plus(passes.shared, -1), shared).plus(passes, alone)
    union = Passes(*(max(kind) for kind in zip(*(passes.shared for passes in each), strict=True))) if each else Passes()
    return total.plus(union, shared)


def _known(options: Mapping[str, Any], quantities: Mapping[str, Any]) -> dict[str, Any]:
    return {**quantities, **options}


def _tables(text: str) -> Iterator[list[list[str]]]:
    """Each Markdown table as lines of cells."""
    for block in re.findall(r"(?:^\|.*\|\n)+", text, re.MULTILINE):
        yield [[cell.strip() for cell in line.strip().strip("|").split("|")] for line in block.splitlines()]


def _rows(table: list[list[str]], columns: tuple[str, ...]) -> dict[str, Row]:
    head, _, *lines = table
    found = dict[str, Row]()
    for line in lines:
        cells = dict(zip(head, line, strict=True))
        beside = _named(cells["forward"].partition("`,")[2])
        needed = {column: " ".join(_code(cells[column])[:1]) for column in columns} | beside
        made = _named(cells["made here"])
        if unknown := {*made, *beside} - {*columns, *KINDS}:
            raise ValueError(f"{line[0]}: made here: no column {', '.join(unknown)}")
        row = Row(tuple(_code(line[0])), needed, cells["reason"], made)
        if twice := set(row.names) & set(found):
            raise ValueError(f"{', '.join(twice)}: more than one row")
        found |= dict.fromkeys(row.names, row)
    return found


def _named(cell: str) -> dict[str, str]:
    """The code spans of a cell by the names before them: backward `steps`."""
    return {name.strip(" ,"): formula for name, formula in re.findall(r"([a-z ,]+)`([^`]+)`", cell)}


def _code(cell: str) -> list[str]:
    """The code spans of a cell."""
    return re.findall(r"`([^`]+)`", cell)


def _value(node: ast.AST, known: Mapping[str, Any]) -> Any:
    match node:
        case ast.Constant(value=int() | float() | str() as found):
            pass
        case ast.Name(id=name):
            found = known[name]
        case ast.UnaryOp(op=op, operand=operand):
            found = _OPERATORS[type(op)](_value(operand, known))
        case ast.BinOp(left=left, op=op, right=right) | ast.Compare(left=left, ops=[op], comparators=[right]):
            found = _OPERATORS[type(op)](_value(left, known), _value(right, known))
        case ast.BoolOp(op=op, values=[first, *others]):
            found = _value(first, known)
            for other in others:
                found = _value(other, known) if isinstance(op, ast.Or) != bool(found) else found
        case ast.IfExp(test=test, body=body, orelse=orelse):
            found = _value(body if _value(test, known) else orelse, known)
        case ast.Call(func=ast.Name(id=name), args=arguments, keywords=[]):
            found = _FUNCTIONS[name](*(_value(argument, known) for argument in arguments))
        case _:
            raise TypeError(f"{type(node).__name__} is not allowed")
    return found
