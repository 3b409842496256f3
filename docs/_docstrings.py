"""Docstrings of registered functions as Markdown: summary, formula, text, options, returned values, errors."""

from __future__ import annotations

import ast
import re
from dataclasses import dataclass

_SECTION = re.compile(r"^(Args|Returns|Raises):\n((?:[ ]{4}.*\n?|\n(?=[ ]{4}))+)", re.MULTILINE)
_MATH = re.compile(r"^\.\. math::((?:.|\n(?!\n))+)", re.MULTILINE)
_ITEM = re.compile(r"^(\w+): ?((?:.|\n(?=[ ]{4}))+)", re.MULTILINE)
_CODE = re.compile(r"(`[^`]+`)")


@dataclass(frozen=True)
class Docstring:
    """Parts of a Google docstring.

    Attributes:
        summary: the first paragraph.
        text: what follows up to the first section, without the first formula; Markdown.
        arguments: text by argument.
        returns: shape, unit and range of the returned values.
        raises: reason by error.
    """

    summary: str
    text: str
    arguments: dict[str, str]
    returns: str
    raises: dict[str, str]


def read_docstring(doc: str) -> Docstring:
    r"""Split a docstring without indentation into its parts.

    >>> doc = "Area: a b.\n\n.. math:: a b\n\nMore.\n\nArgs:\n    a: side\n        of it.\n\nReturns:\n    (B,) pixels."
    >>> parts = read_docstring(doc)
    >>> parts.summary, parts.text, parts.arguments, parts.returns
    ('Area: a b.', 'More.', {'a': 'side of it.'}, '(B,) pixels.')
    """
    sections = {name: re.sub(r"^ {4}", "", text, flags=re.MULTILINE).strip() for name, text in _SECTION.findall(doc + "\n")}
    summary, _, rest = _SECTION.sub("", doc + "\n").strip().partition("\n\n")
    text = _MATH.sub("", rest, count=1).strip()
    text = _MATH.sub(lambda found: f"```{{math}}\n{one_line(found[1])}\n```", text)
    return Docstring(
        summary=prose(one_line(summary)),
        text=prose(re.sub(r"\n{3,}", "\n\n", text)),
        arguments={name: one_line(own) for name, own in _ITEM.findall(sections.get("Args", ""))},
        returns=prose(one_line(sections.get("Returns", ""))),
        raises={name: one_line(own) for name, own in _ITEM.findall(sections.get("Raises", ""))},
    )


def one_line(text: str) -> str:
    """Text without line breaks and repeated blanks."""
    return " ".join(text.split())


def prose(text: str) -> str:
    r"""Text whose stars, brackets of links and dollars are not read as Markdown; code and formulas stay as they are.

    >>> prose("G * m at `a * b` costs $1")
    'G \\* m at `a * b` costs \\$1'
    """
    parts = re.split(r"(```\{math\}\n.*\n```|`[^`\n]+`)", text)
    return "".join(part if at % 2 else re.sub(r"(?<!^)([*$])|(?<=\])(\()", r"\\\1\2", part) for at, part in enumerate(parts))


def cell(text: object) -> str:
    r"""Text of a table's cell.

    >>> cell("|a| and `b | c`")
    '\\|a\\| and `b \\| c`'
    """
    return prose(one_line(str(text))).replace("|", "\\|")


def table(head: tuple[str, ...], rows: list[tuple[str, ...]]) -> list[str]:
    """Lines of a Markdown table; cells are Markdown."""
    return [f"| {' | '.join(head)} |", f"|{' --- |' * len(head)}", *(f"| {' | '.join(row)} |" for row in rows), ""]


_WORDS = {
    "int": "integer",
    "float": "number",
    "bool": "`True` or `False`",
    "str": "text",
    "PositiveInt": "integer > 0",
    "NonNegativeInt": "integer ≥ 0",
    "PositiveFloat": "number > 0",
    "NonNegativeFloat": "number ≥ 0",
    "FiniteFloat": "number",
    "PositiveFraction": "number in (0, 1]",
    "TwoOrMore": "integer ≥ 2",
    "Preprocess": "preprocessing: `resize256_crop224`, `resize224_distort`, `short448`, `keep`, `model` or `fit(…)`",
}


def type_in_words(annotation: str) -> str:
    """Type of an option in words.

    >>> type_in_words("Literal['max', 'sum'] | None"), type_in_words("tuple[PositiveInt, ...]")
    ('`"max"`, `"sum"` or `None`', 'tuple of integer > 0')
    """
    return _in_words(ast.parse(annotation, mode="eval").body)


def _in_words(node: ast.expr) -> str:
    match node:
        case ast.Name(id=name):
            return _WORDS.get(name, f"`{name}`")
        case ast.BinOp(left=left, right=right, op=ast.BitOr()):
            first, second = _in_words(left), _in_words(right)
            return f"{first.replace(' or ', ', ') if second == '`None`' else first} or {second}"
        case ast.Subscript(value=ast.Name(id="Literal"), slice=choices):
            found = ast.literal_eval(choices)
            words = [literal(value) for value in (found if isinstance(found, tuple) else (found,))]
            return words[0] if len(words) == 1 else f"{', '.join(words[:-1])} or {words[-1]}"
        case ast.Subscript(value=ast.Name(id="tuple"), slice=ast.Tuple(elts=[item, *_])):
            return f"tuple of {_in_words(item)}"
        case _:
            return f"`{ast.unparse(node)}`"


def literal(value: object) -> str:
    """A Python value as code."""
    return f'`"{value}"`' if isinstance(value, str) else f"`{value!r}`"
