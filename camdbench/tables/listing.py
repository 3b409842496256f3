"""Listing: a table whose cells are texts, in every format that people paste."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import pandas as pd

from camdbench.tables.latex import escape, number, tabular

_PAGE = 32  # lines of a table that fits a page together with a caption of several lines


@dataclass(frozen=True)
class Listing:
    """A table, ready to be printed.

    Attributes:
        title: what stands above it.
        lines: texts under their headings.
        words: headings of the columns that hold words, which stand at the left; numbers stand at the right.
        bold: True where a cell of `lines` is bold, in some of its columns.
        aside: headings of the columns that a narrow terminal leaves out.
        notes: what stands below it.
    """

    title: str
    lines: pd.DataFrame
    words: tuple[str, ...]
    bold: pd.DataFrame | None = None
    aside: tuple[str, ...] = ()
    notes: tuple[str, ...] = ()


def to_markdown(listings: Sequence[Listing]) -> str:
    """The tables as Markdown, each under its title."""
    parts = list[str]()
    for listing in listings:
        rule = [":--" if name in listing.words else "--:" for name in listing.lines.columns]
        rows = [list(listing.lines.columns), rule, *listing.lines.to_numpy().tolist()]
        parts.append(f"### {listing.title}\n\n" + "\n".join(_pipes(row) for row in rows))
        parts += ["  \n".join(listing.notes)] if listing.notes else []
    return "\n\n".join(parts) + "\n"


def to_latex(listings: Sequence[Listing]) -> str:
    r"""The tables as LaTeX, in several where one would not fit a page; the preamble is that of `tables.latex.to_latex`."""
    return "\n".join(_latex(listing, start) for listing in listings for start in range(0, max(1, len(listing.lines)), _PAGE))


def _latex(listing: Listing, start: int) -> str:
    columns = "".join("l" if name in listing.words else "r" for name in listing.lines.columns)
    part = listing.lines.iloc[start : start + _PAGE]
    bold = (pd.DataFrame() if listing.bold is None else listing.bold).reindex(index=part.index, columns=part.columns, fill_value=False)
    plain = part.apply(lambda own: own.map(escape if own.name in listing.words else number))
    cells = plain.where(~bold, "\\textbf{" + plain + "}").to_numpy().tolist()
    caption = escape(" ".join([f"{listing.title}{', continued' if start else ''}.", *listing.notes]))
    heading = " & ".join(escape(str(name)) for name in part.columns)
    return tabular(caption, columns, [[heading], [" & ".join(line) for line in cells]])


def _pipes(texts: Sequence[str]) -> str:
    return "| " + " | ".join(text.replace("|", "\\|") for text in texts) + " |"
