"""A summary as LaTeX tables that can be pasted into a paper."""

from __future__ import annotations

import re
from collections.abc import Sequence

import pandas as pd

from camdbench.tables.layout import DAGGER, Block, Cell, Column, blocks, span

_APART = "\u2060"  # Unicode's word joiner, between two hyphens, which would become a dash
_LIGATURE = re.compile("-(?=-)")
_ESCAPED = str.maketrans(
    {character: f"\\{character}" for character in "&%$#_{}"}
    | {"~": r"\textasciitilde{}", "^": r"\textasciicircum{}", "\\": r"\textbackslash{}", '"': r"\textquotedbl{}"}
    | {"<": r"\textless{}", ">": r"\textgreater{}", "|": r"\textbar{}", "—": "---", "–": "--", "·": r"$\cdot$"}
    | {"±": r"$\pm$", "×": r"$\times$", "−": "$-$", "≤": r"$\leq$", "≥": r"$\geq$", "↑": r"$\uparrow$", "↓": r"$\downarrow$"}
    | {"→": r"$\rightarrow$", "∞": r"$\infty$", "∩": r"$\cap$", "∪": r"$\cup$", DAGGER: r"$^\dagger$"}
    | {_APART: "{}"}
)
PREAMBLE = r"% needs \usepackage{booktabs}, \usepackage{graphicx} and \usepackage[T1]{fontenc}"
_SIDE_BY_SIDE = 5  # metrics whose headings take one line each
_HYPHEN = re.compile(r"(?<!\w)-(?=\d)")
_FIT = r"\resizebox{\ifdim\width>\linewidth\linewidth\else\width\fi}{!}{%"  # as wide as it is, or as the page


def to_latex(summary: pd.DataFrame, *, intervals: bool = False) -> str:
    r"""The summary as LaTeX tables: the best method bold, the second underlined, controls below a rule.

    A dagger marks what is not significantly different from the best, where the summary has the column `against_best`.
    The preamble needs `\usepackage{booktabs}`, `\usepackage{graphicx}` and `\usepackage[T1]{fontenc}`. A table wider than the
    page is made smaller.

    Args:
        summary: as `summarise` returns it.
        intervals: whether each mean is followed by its interval, in small type.
    """
    return "\n".join(_table(block, intervals=intervals) for block in blocks(summary))


def escape(text: str) -> str:
    r"""Text with every character that LaTeX would read as its own.

    >>> print(escape("shortcuts_ce 95 %"))
    shortcuts\_ce 95 \%
    >>> print(escape("give --data-root"))
    give -{}-data-root
    """
    return _LIGATURE.sub(f"-{_APART}", text).translate(_ESCAPED)


def number(text: str) -> str:
    r"""A number, or several, with minus signs instead of hyphens; a dagger hangs beside the column, so that digits stay in line.

    >>> print(number("-0.5"), number("[-1.0, 2.0]"), number("1-2"), number("3.0†"))
    $-$0.5 [$-$1.0, 2.0] 1-2 3.0\rlap{$^\dagger$}
    """
    hanging = f"\\rlap{{{escape(DAGGER)}}}" if text.endswith(DAGGER) else ""
    return escape(_HYPHEN.sub("−", text.removesuffix(DAGGER))) + hanging


def tabular(caption: str, columns: str, sections: Sequence[Sequence[str]]) -> str:
    r"""A table of lines that are LaTeX already, a rule between its sections, the first of which is the heading.

    Args:
        caption: what stands above it.
        columns: `l` or `r` for each column.
        sections: lines without their ends.
    """
    rules = ["    \\toprule", *["    \\midrule"] * (len(sections) - 1)]
    lines = [text for rule, section in zip(rules, sections, strict=True) for text in (rule, *(f"    {line} \\\\" for line in section))]
    start = [
        PREAMBLE,
        r"\begin{table}",
        r"  \centering",
        f"  \\caption{{{caption}}}",
        r"  \medskip",
        f"  {_FIT}",
        f"  \\begin{{tabular}}{{{columns}}}",
    ]
    return "\n".join([*start, *lines, r"    \bottomrule", r"  \end{tabular}}", r"\end{table}", ""])


def _table(block: Block, *, intervals: bool) -> str:
    headings = [block.heads.capitalize(), *(_heading(column, stacked=len(block.columns) > _SIDE_BY_SIDE) for column in block.columns)]
    parts = [[_line(block, name, intervals=intervals) for name in block.explainers(control=control)] for control in (False, True)]
    return tabular(_caption(block), f"l{'r' * len(block.columns)}", [[" & ".join(headings)], *filter(None, parts)])


def _heading(column: Column, *, stacked: bool) -> str:
    arrow = r"$\uparrow$" if column.higher_is_better else r"$\downarrow$"
    unit = f" ({escape(column.unit)})" if column.unit else ""
    name = escape(column.metric)
    return f"\\shortstack[r]{{{name}\\\\{arrow}{unit}}}" if stacked else f"{name} {arrow}{unit}"


def _line(block: Block, name: str, *, intervals: bool) -> str:
    letter = block.tied[name]
    texts = [escape(name) + (f"\\textsuperscript{{{letter}}}" if letter else "")]
    for column in block.columns:
        cell = block.cells.get((name, column))
        texts.append("---" if cell is None else _cell(cell, block.places(column).get(name, 0), intervals=intervals))
    return " & ".join(texts)


def _cell(cell: Cell, place: int, *, intervals: bool) -> str:
    text = number(cell.value)
    if place:
        text = f"\\{'textbf' if place == 1 else 'underline'}{{{text}}}"
    follows = f" {{\\scriptsize {number(cell.interval)}}}" if intervals and cell.interval else ""
    dagger = (escape if follows else number)(DAGGER) if cell.alike else ""
    return text + dagger + follows


def _caption(block: Block) -> str:
    """Model, data set, how many images, which explainers are tied, and what daggers mean."""
    failed = int(block.lines["n_failed"].max())
    without = f" (up to {failed} failed)" if failed else ""
    groups = dict[str, list[str]]()
    for name, letter in block.tied.items():
        if letter:
            groups.setdefault(letter, []).append(escape(name))
    ties = "".join(f" \\textsuperscript{{{letter}}}{' = '.join(names)} on every image." for letter, names in groups.items())
    tests = "".join(f" {escape(note)}" for note in block.tests)
    return f"{escape(block.title)}; over {escape(span(block.lines['n']))} images{without}.{ties}{tests}"
