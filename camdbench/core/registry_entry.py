"""Entry of a registry: facts, options and location of one function, parsed from its decorator."""

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
from camdbench.core.facts import DatasetFacts
from camdbench.core.map_sum import Completeness
from camdbench.core.options import Option, check_options
from camdbench.core.protocols import SWITCHES
from camdbench.core.protocols import Protocol as MetricProtocol
from camdbench.core.spec import Spec


class Facts(Protocol):
    """Facts of a decorator: a dataclass with the field `paper`."""

    @property
    def paper(self) -> str:
        """Definition or origin."""
        ...


F = TypeVar("F", bound=Facts)


@dataclass(frozen=True)
class Entry(Generic[F]):
    """A registered function: its facts, options and location."""

    name: str
    facts: F
    options: tuple[Option, ...]
    doc: str
    module: str
    attribute: str
    wraps: int = 0  # number of wrapped explainers or data sets

    def __post_init__(self) -> None:
        """Check the stated cost, and the options of `explains` and `references`, against the options."""
        cost, options = getattr(self.facts, "cost", None), [option.name for option in self.options]
        if cost is not None:
            check_cost(self.name, cost, options, wraps=self.wraps > 0)
        for fact in ("explains", "references"):
            stated = getattr(self.facts, fact, 0)
            if isinstance(stated, str) and stated not in options:
                raise TypeError(f"{self.name!r}: {fact} = {stated!r}: not an option; give a number or one of {', '.join(options)}")

    @property
    def summary(self) -> str:
        """The first paragraph of the docstring, on one line."""
        return " ".join(self.doc.partition("\n\n")[0].split())

    def spec(self, spec: Spec) -> Spec:
        """Check the options of `spec` and drop those equal to their default, which makes equal specs identical.

        Raises:
            UsageError: unknown option or value of the wrong type.
        """
        if len(spec.wrapped) != self.wraps:
            kind = "data set" if isinstance(self.facts, DatasetFacts) else "explainer"
            expected = f"{self.wraps} {kind}" if self.wraps == 1 else f"{self.wraps or 'no'} {kind}s"
            raise UsageError(f"{spec}: {self.name} takes {expected} in its brackets, not {len(spec.wrapped)}")
        checked = check_options(self.name, self.options, spec.arguments)
        defaults = self.defaults(checked.get("protocol"))
        return Spec.of(self.name, {name: value for name, value in checked.items() if value != defaults[name]}, spec.wrapped)

    @property
    def protocols(self) -> tuple[MetricProtocol, ...]:
        """Protocols of a metric, the default first; empty for other kinds."""
        return getattr(self.facts, "protocols", ())

    def defaults(self, protocol: object = None) -> dict[str, Any]:
        """Default option values: those of the protocol, else those of the signature."""
        values = {option.name: option.default for option in self.options}
        for known in self.protocols:
            if known.name == (protocol or self.protocols[0].name):
                values |= {name: value for name, value in known.switches.items() if name in values} | dict(known.options)
        return values

    def protocol(self, spec: Spec) -> MetricProtocol:
        """Protocol of a metric spec, options included."""
        values = self.defaults(spec.arguments.get("protocol")) | spec.arguments
        name = values.pop("protocol")
        return next(known for known in self.protocols if known.name == name).with_options(values)

    def arguments(self, spec: Spec) -> dict[str, Any]:
        """Arguments of the function: given options, else the protocol's, else the defaults."""
        values = self.defaults(spec.arguments.get("protocol")) | spec.arguments
        return {name: value for name, value in values.items() if name != "protocol" or not self.protocols}


_DECLARATIONS: dict[str, Any] = {
    "Protocol": MetricProtocol,
    "Difference": Difference,
    "Cost": Cost,
    "Repeat": Repeat,
    "Completeness": Completeness,
}


def read_literal(node: ast.expr, constants: Mapping[str, ast.expr]) -> Any:
    """Value of a decorator's argument: a literal, a protocol or a name.

    Names are looked up in the module's constants first, then in `camdbench.core.metric_families`.
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
    """Keyword arguments of a call; `**NAME` expands facts shared by functions of a module."""
    found = dict[str, Any]()
    for keyword in keywords:
        value = read_literal(keyword.value, constants)
        found |= value if keyword.arg is None else {keyword.arg: value}
    return found


def with_protocol(owner: str, options: tuple[Option, ...], facts: Facts) -> tuple[Option, ...]:
    """The options, with `protocol` appended if there are protocols."""
    protocols: tuple[MetricProtocol, ...] = getattr(facts, "protocols", ())
    if not protocols:
        return options
    known = {option.name for option in options}
    for protocol in protocols:
        if invalid := set(protocol.options) - known | set(protocol.options) & set(SWITCHES):
            raise TypeError(f"{owner!r}, protocol {protocol.name!r} sets {', '.join(sorted(invalid))}; name an option, not a switch")
    names = tuple(protocol.name for protocol in protocols)
    return (*options, Option("protocol", f"Literal[{', '.join(map(repr, names))}]", names[0]))


def checked_doc(doc: str | None, name: str) -> str:
    """The docstring without indentation.

    Raises:
        TypeError: it is empty.
    """
    if not doc or not doc.strip():
        raise TypeError(f"{name!r}: no docstring; add one, `camdbench list` shows its first sentence")
    return inspect.cleandoc(doc)


def formula_of(doc: str) -> str:
    r"""First formula of a docstring, LaTeX on one line; empty if there is none.

    >>> formula_of("Average Drop.\n\n.. math:: 100 \\max(0, p - o) / p\n\nLower is better.")
    '100 \\max(0, p - o) / p'
    """
    found = re.search(r"^\.\. math::((?:.|\n(?!\n))+)", doc, re.MULTILINE)
    return " ".join(found[1].split()) if found else ""
