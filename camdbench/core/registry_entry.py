"""An entry of a registry: one function's facts, options and place, and how they are read from its decorator."""

from __future__ import annotations

import ast
import inspect
import re
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Generic, Protocol, TypeVar

from camdbench.core import metric_families
from camdbench.core.cost import Cost, Repeat, check_cost
from camdbench.core.difference import Difference
from camdbench.core.errors import UsageError
from camdbench.core.options import Option, check_options
from camdbench.core.protocols import SWITCHES
from camdbench.core.protocols import Protocol as MetricProtocol
from camdbench.core.spec import Spec


class Facts(Protocol):
    """What a decorator must state: a dataclass with the paper (or origin) among its fields."""

    @property
    def paper(self) -> str:
        """Where it is defined."""
        ...


F = TypeVar("F", bound=Facts)


@dataclass(frozen=True)
class Entry(Generic[F]):
    """One registered function: its facts, its options and where it lives."""

    name: str
    facts: F
    options: tuple[Option, ...]
    doc: str
    module: str
    attribute: str
    wraps: int = 0  # specs that it takes before its options

    def __post_init__(self) -> None:
        """Check what the facts say of the options."""
        cost = getattr(self.facts, "cost", None)
        if cost is not None:
            check_cost(self.name, cost, [option.name for option in self.options], wraps=self.wraps > 0)

    @property
    def summary(self) -> str:
        """The first paragraph of the docstring, on one line."""
        return " ".join(self.doc.partition("\n\n")[0].split())

    def spec(self, spec: Spec) -> Spec:
        """Check the options of `spec`; options equal to their default are dropped, so equal work has one name.

        Raises:
            UsageError: an unknown option or a value of the wrong type.
        """
        if len(spec.wrapped) != self.wraps:
            wanted = f"{self.wraps} explainer" if self.wraps == 1 else f"{self.wraps or 'no'} explainers"
            raise UsageError(f"{spec}: {self.name} takes {wanted} in its brackets, not {len(spec.wrapped)}")
        checked = check_options(self.name, self.options, spec.arguments)
        defaults = self.defaults(checked.get("protocol"))
        return Spec.of(self.name, {name: value for name, value in checked.items() if value != defaults[name]}, spec.wrapped)

    @property
    def protocols(self) -> tuple[MetricProtocol, ...]:
        """The conventions that a metric knows, its default first; empty for anything else."""
        return getattr(self.facts, "protocols", ())

    def defaults(self, protocol: object = None) -> dict[str, Any]:
        """The values of all options where nothing else is asked for: the signature's, or those that a protocol sets."""
        values = {option.name: option.default for option in self.options}
        for known in self.protocols:
            if known.name == (protocol or self.protocols[0].name):
                values |= {name: value for name, value in known.switches.items() if name in values} | dict(known.options)
        return values

    def protocol(self, spec: Spec) -> MetricProtocol:
        """The protocol that a metric's spec stands for, its options included."""
        values = self.defaults(spec.arguments.get("protocol")) | spec.arguments
        name = values.pop("protocol")
        return next(known for known in self.protocols if known.name == name).with_options(values)

    def arguments(self, spec: Spec) -> dict[str, Any]:
        """What the function is called with: options as given, as the protocol sets them, or as the signature does."""
        values = self.defaults(spec.arguments.get("protocol")) | spec.arguments
        return {name: value for name, value in values.items() if name != "protocol" or not self.protocols}


_DECLARATIONS: dict[str, Any] = {"Protocol": MetricProtocol, "Difference": Difference, "Cost": Cost, "Repeat": Repeat}


def read_literal(node: ast.expr, constants: Mapping[str, ast.expr]) -> Any:
    """The value of a decorator's argument: a literal, in which protocols and names may stand.

    A name is looked up in the module's constants first, then in `camdbench.core.metric_families`.
    """

    def read(part: ast.expr) -> Any:
        return read_literal(part, constants)

    match node:
        case ast.Name(id=name) if name in constants or hasattr(metric_families, name):
            return read(constants[name]) if name in constants else getattr(metric_families, name)
        case ast.Call(func=ast.Name(id=kind), args=args, keywords=keywords) if kind in _DECLARATIONS:
            return _DECLARATIONS[kind](*map(read, args), **read_keywords(keywords, constants))
        case ast.Call(func=ast.Attribute(value=base, attr="variant"), args=args, keywords=keywords):
            return read(base).variant(*map(read, args), **read_keywords(keywords, constants))
        case ast.Tuple(elts=elements):
            return tuple(map(read, elements))
        case ast.Dict(keys=keys, values=values):
            return {read(key): read(value) for key, value in zip(keys, values, strict=True) if key is not None}
        case _:
            return ast.literal_eval(node)


def read_keywords(keywords: list[ast.keyword], constants: Mapping[str, ast.expr]) -> dict[str, Any]:
    """The keyword arguments of a call; `**NAME` stands for the facts that several functions of a module share."""
    found = dict[str, Any]()
    for keyword in keywords:
        value = read_literal(keyword.value, constants)
        found |= value if keyword.arg is None else {keyword.arg: value}
    return found


def with_protocol(owner: str, options: tuple[Option, ...], facts: Facts) -> tuple[Option, ...]:
    """The function's options and, where there are protocols, the choice between them."""
    protocols: tuple[MetricProtocol, ...] = getattr(facts, "protocols", ())
    if not protocols:
        return options
    known = {option.name for option in options}
    for protocol in protocols:
        if strangers := set(protocol.options) - known | set(protocol.options) & set(SWITCHES):
            raise TypeError(
                f"{owner!r}, protocol {protocol.name!r} sets {', '.join(sorted(strangers))}, which is no option to be set there"
            )
    names = tuple(protocol.name for protocol in protocols)
    return (*options, Option("protocol", f"Literal[{', '.join(map(repr, names))}]", names[0]))


def checked_doc(doc: str | None, name: str) -> str:
    """The docstring without its indentation.

    Raises:
        TypeError: there is none.
    """
    if not doc or not doc.strip():
        raise TypeError(f"{name!r} needs a docstring: its first sentence is what `camdbench list` shows")
    return inspect.cleandoc(doc)


def formula_of(doc: str) -> str:
    r"""The first formula of a docstring, LaTeX on one line; empty if there is none.

    >>> formula_of("Average Drop.\n\n.. math:: 100 \\max(0, p - o) / p\n\nLower is better.")
    '100 \\max(0, p - o) / p'
    """
    found = re.search(r"^\.\. math::((?:.|\n(?!\n))+)", doc, re.MULTILINE)
    return " ".join(found[1].split()) if found else ""
