"""Spec syntax: `opticam(iterations=50, objective="diff"),gradcam`, parsed with `ast`, never evaluated."""

from __future__ import annotations

import ast
import json
import re
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from functools import lru_cache

from camdbench.core.errors import UsageError, file_in

_NAME = re.compile(r"[A-Za-z0-9_][\w./@:+-]*")
_STRUCTURE = re.compile(r"""[,()[\]{}'"]""")
_OPENING, _CLOSING, _QUOTES = "([{", ")]}", "'\""


@dataclass(frozen=True)
class Spec:
    """A registered name, its options in canonical order, and the specs it wraps.

    >>> str(Spec.of("opticam", {"objective": "diff", "iterations": 50}))
    'opticam(iterations=50, objective="diff")'
    >>> str(Spec.of("power", {"alpha": 2.0}, (Spec("gradcam"),)))
    'power(gradcam, alpha=2.0)'
    """

    name: str
    options: tuple[tuple[str, object], ...] = ()
    wrapped: tuple[Spec, ...] = ()

    @classmethod
    def of(cls, name: str, options: Mapping[str, object] | None = None, inner: Sequence[Spec] = ()) -> Spec:
        """A spec from name and options, in any order."""
        return cls(name, tuple(sorted((options or {}).items())), tuple(inner))

    @property
    def arguments(self) -> dict[str, object]:
        """Options as keyword arguments."""
        return dict(self.options)

    def walk(self) -> Iterator[Spec]:
        """This spec and all wrapped specs, the outermost first."""
        yield self
        for spec in self.wrapped:
            yield from spec.walk()

    def __str__(self) -> str:
        inside = ", ".join([*map(str, self.wrapped), *(f"{name}={_literal(value)}" for name, value in self.options)])
        return f"{self.name}({inside})" if inside else self.name


def parse_specs(text: str) -> tuple[Spec, ...]:
    """Parse a comma-separated list of specs.

    >>> [spec.name for spec in parse_specs("opticam(iterations=50, lr=0.1), gradcam")]
    ['opticam', 'gradcam']

    Raises:
        UsageError: empty item, unbalanced brackets, positional arguments, or a value that is not a literal.
    """
    return tuple(parse_spec(item) for item in split_specs(text))


@lru_cache(maxsize=1024)
def parse_spec(text: str) -> Spec:
    """Parse one spec, `name(option=literal, …)`; a wrapper takes specs before its options.

    >>> str(parse_spec("inside_box( power(opticam(iterations=5),alpha=2) )"))
    'inside_box(power(opticam(iterations=5), alpha=2))'
    >>> str(parse_spec("insertion(protocol=rise)"))
    'insertion(protocol="rise")'

    Raises:
        UsageError: the text is not a spec.
    """
    item = text.strip()
    name = _NAME.match(item)
    if name is None:
        if file := file_in(item):
            raise UsageError(f"{item}: a file; name a function or object of it, {file}:NAME")
        raise UsageError(f"cannot read {text!r}: expected a name such as gradcam or opticam(iterations=50)")
    rest = item[name.end() :].strip()
    return _read_call(name[0], rest, item) if rest else Spec(name[0])


def _read_call(name: str, rest: str, item: str) -> Spec:
    try:
        call = ast.parse(f"spec{rest}", mode="eval").body
    except (SyntaxError, ValueError, RecursionError, MemoryError):
        call = None
    if not isinstance(call, ast.Call) or not isinstance(call.func, ast.Name):
        raise UsageError(f"cannot read {item!r}: expected name(option=value, …)")
    wrapped = [argument for argument in call.args if isinstance(argument, ast.Name | ast.Call)]
    if len(wrapped) < len(call.args) or any(keyword.arg is None for keyword in call.keywords):
        raise UsageError(f"cannot read {item!r}: every option needs a name, as in opticam(iterations=50)")
    arguments = dict[str, object]()
    for keyword in call.keywords:
        if keyword.arg in arguments:
            raise UsageError(f"{item!r}: {keyword.arg} is given twice; remove one")
        arguments[str(keyword.arg)] = _read_value(keyword, item)
    return Spec.of(name, arguments, [parse_spec(ast.unparse(argument)) for argument in wrapped])


def _read_value(keyword: ast.keyword, item: str) -> object:
    """Value of a literal; a single word is text, as in `insertion(protocol=rise)`."""
    if isinstance(keyword.value, ast.Name):
        return keyword.value.id
    try:
        return ast.literal_eval(keyword.value)
    except ValueError:
        value = ast.unparse(keyword.value)
        raise UsageError(f"{item!r}: {keyword.arg}={value} is not a literal; quote text, as in {keyword.arg}={value!r}") from None


def split_specs(text: str) -> list[str]:
    """Split at commas outside brackets and quotes.

    Raises:
        UsageError: an item is empty, or a bracket or a quote is not closed.
    """
    if text.strip() and not _STRUCTURE.search(text):
        return [text]
    items, depth, quote, escaped = [""], 0, "", False
    for character in text:
        if escaped:
            escaped = False
        elif quote:
            quote = "" if character == quote else quote
            escaped = character == "\\"
        elif character in _QUOTES:
            quote = character
        elif character in _OPENING + _CLOSING:
            depth += 1 if character in _OPENING else -1
        if character == "," and depth == 0 and not quote:
            items.append("")
        else:
            items[-1] += character
    if depth != 0 or quote:
        raise UsageError(f"cannot read {text!r}: {'a quote' if quote else 'a bracket'} is not closed")
    if not all(item.strip() for item in items):
        raise UsageError(f"cannot read {text!r}: there is an empty name before or after a comma")
    return items


def _literal(value: object) -> str:
    # JSON gives double quotes with escapes that Python reads
    return json.dumps(value, ensure_ascii=False) if isinstance(value, str) else repr(value)


def squash(name: str) -> str:
    """Lower-case name without hyphens and underscores.

    >>> squash("Score-CAM")
    'scorecam'
    """
    return name.lower().replace("-", "").replace("_", "")
