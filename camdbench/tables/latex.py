"""A summary as LaTeX tables that can be pasted into a paper."""

from __future__ import annotations

import pandas as pd

from camdbench.tables.layout import DAGGER, Block, Cell, Column, blocks

_ESCAPED = str.maketrans(
    {character: f"\\{character}" for character in "&%$#_{}"}
    | {"~": r"\textasciitilde{}", "^": r"\textasciicircum{}", "\\": r"\textbackslash{}", '"': r"\textquotedbl{}"}
    | {"<": r"\textless{}", ">": r"\textgreater{}", "|": r"\textbar{}", "—": "---", "–": "--", "·": r"$\cdot$"}
)


def to_latex(summary: pd.DataFrame, *, intervals: bool = False) -> str:
    r"""The summary as LaTeX tables: the best method bold, the second underlined, controls below a rule.

    A dagger marks what is not significantly different from the best, where the summary has the column `against_best`.
    The preamble needs `\usepackage{booktabs}` and `\usepackage[T1]{fontenc}`.

    Args:
        summary: as `summarise` returns it.
        intervals: whether each mean is followed by its interval, in small type.
    """
    return "\n".join(_table(block, intervals=intervals) for block in blocks(summary))


def escape(text: str) -> str:
    r"""Text with every character that LaTeX would read as its own.

    >>> print(escape("shortcuts_ce 95 %"))
    shortcuts\_ce 95 \%
    """
    return text.translate(_ESCAPED)


def _table(block: Block, *, intervals: bool) -> str:
    headings = [_heading(column) for column in block.columns]
    lines = [
        r"% needs \usepackage{booktabs} and \usepackage[T1]{fontenc}",
        r"\begin{table}",
        r"  \centering",
        f"  \\caption{{{_caption(block)}}}",
        f"  \\begin{{tabular}}{{l{'r' * len(headings)}}}",
        r"    \toprule",
        f"    {' & '.join([block.heads.capitalize(), *headings])} \\\\",
    ]
    for control in (False, True):
        if names := block.explainers(control=control):
            lines.append(r"    \midrule")
            lines += [_line(block, name, intervals=intervals) for name in names]
    return "\n".join([*lines, r"    \bottomrule", r"  \end{tabular}", r"\end{table}", ""])


def _heading(column: Column) -> str:
    arrow = r"$\uparrow$" if column.higher_is_better else r"$\downarrow$"
    unit = f" ({escape(column.unit)})" if column.unit else ""
    return f"{escape(column.metric)} {arrow}{unit}"


def _line(block: Block, name: str, *, intervals: bool) -> str:
    letter = block.tied[name]
    texts = [escape(name) + (f"\\textsuperscript{{{letter}}}" if letter else "")]
    for column in block.columns:
        cell = block.cells.get((name, column))
        texts.append("---" if cell is None else _cell(cell, block.places(column).get(name, 0), intervals=intervals))
    return f"    {' & '.join(texts)} \\\\"


def _cell(cell: Cell, place: int, *, intervals: bool) -> str:
    text = escape(cell.value)
    if place:
        text = f"\\{'textbf' if place == 1 else 'underline'}{{{text}}}"
    if cell.alike:
        text += r"$^\dagger$"
    return f"{text} {{\\scriptsize {cell.interval}}}" if intervals and cell.interval else text


def _caption(block: Block) -> str:
    """Model, data set, how many images, which explainers are tied, and what daggers mean."""
    counts = block.lines["n"]
    images = f"{counts.min()}" if counts.min() == counts.max() else f"{counts.min()}--{counts.max()}"
    failed = int(block.lines["n_failed"].max())
    without = f" (up to {failed} failed)" if failed else ""
    groups = dict[str, list[str]]()
    for name, letter in block.tied.items():
        if letter:
            groups.setdefault(letter, []).append(escape(name))
    ties = "".join(f" \\textsuperscript{{{letter}}}{' = '.join(names)} on every image." for letter, names in groups.items())
    tests = "".join(" " + escape(note).replace(DAGGER, r"$^\dagger$") for note in block.tests)
    return f"{escape(block.title)}; over {images} images{without}.{ties}{tests}"
