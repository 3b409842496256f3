"""Rows of a finished run: a data frame that knows its run directory and shows the summary in a notebook."""

from __future__ import annotations

from html import escape
from pathlib import Path

import pandas as pd

from camdbench.tables.html_text import to_html
from camdbench.tables.summary import summarise
from camdbench.tables.summary_tables import summary_tables


class Rows(pd.DataFrame):
    """Rows as returned by `camdbench.run`; every selection of them is a plain data frame."""

    @property
    def _constructor(self) -> type[pd.DataFrame]:
        return pd.DataFrame

    @property
    def directory(self) -> Path:
        """The run directory."""
        return Path(self.attrs["run"])

    def summary(self) -> pd.DataFrame:
        """Means, 95 % bootstrap intervals, passes and seconds of the explainers in these rows, as returned by `camdbench.summarise`."""
        whole = summarise(self.directory)
        return whole[whole["explainer"].isin(set(self["explainer"]))].reset_index(drop=True)

    def _repr_html_(self) -> str:
        """The table that the command line prints, as HTML; of a shard its last line."""
        if line := self.attrs.get("shard"):
            return f"<p>{escape(line)}</p>"
        summary = self.summary()
        return to_html(summary_tables(summary))
