"""Text and numbers in LaTeX."""

from __future__ import annotations

import re

from camdbench.core.signs import SUPERSCRIPTS
from camdbench.tables.table import DAGGER

_WORD_JOINER = "\u2060"  # between two hyphens, which LaTeX would join to a dash
_DOUBLE_HYPHEN = re.compile("-(?=-)")
_ESCAPED = str.maketrans(
    {character: f"\\{character}" for character in "&%$#_{}"}
    | {"~": r"\textasciitilde{}", "^": r"\textasciicircum{}", "\\": r"\textbackslash{}", '"': r"\textquotedbl{}"}
    | {"<": r"\textless{}", ">": r"\textgreater{}", "|": r"\textbar{}", "—": "---", "–": "--", "·": r"$\cdot$"}
    | {"±": r"$\pm$", "×": r"$\times$", "−": "$-$", "≤": r"$\leq$", "≥": r"$\geq$", "↑": r"$\uparrow$", "↓": r"$\downarrow$"}
    | {"→": r"$\rightarrow$", "∞": r"$\infty$", "∩": r"$\cap$", "∪": r"$\cup$", DAGGER: r"$^\dagger$"}
    | {_WORD_JOINER: "{}"}
    | {raised: f"\\textsuperscript{{{letter}}}" for raised, letter in SUPERSCRIPTS.items()}
)
_HYPHEN = re.compile(r"(?<!\w)-(?=\d)")


def escape(text: str) -> str:
    r"""Escape all special characters of LaTeX.

    >>> print(escape("shortcuts_ce 95 %"))
    shortcuts\_ce 95 \%
    >>> print(escape("give --data-root"))
    give -{}-data-root
    """
    return _DOUBLE_HYPHEN.sub(f"-{_WORD_JOINER}", text).translate(_ESCAPED)


def number(text: str) -> str:
    r"""Format numbers with minus signs in place of hyphens.

    >>> print(number("-0.5"), number("[-1.0, 2.0]"), number("1-2"))
    $-$0.5 [$-$1.0, 2.0] 1-2
    """
    return escape(_HYPHEN.sub("−", text))


def superscript(letters: str) -> str:
    """Return a tie label as superscript letters.

    >>> superscript("ab")
    'ᵃᵇ'
    """
    return letters.translate(str.maketrans({letter: raised for raised, letter in SUPERSCRIPTS.items()}))
