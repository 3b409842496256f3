"""Tables as HTML: everything is there, and nothing is markup."""

from __future__ import annotations

from camdbench.core.signs import BREAK
from camdbench.tables.html_text import to_html
from camdbench.tables.table import Cell, Column, Section, Table


def test_best_marker_interval_controls_and_notes_are_there() -> None:
    columns = (Column("explainer", "explainer", "name"), Column("ad", "ad", "number", "↓ %"))
    rows = ((Cell("gradcam"), Cell("1.5", "[1, 2]", "best", "†")),)
    control = Section(((Cell("random"), Cell("9.0")),), dim=True)
    page = to_html([Table("net · data", columns, (Section(rows), control), ("Over 4 images.",))])
    assert '<th style="text-align: right">ad ↓ %</th>' in page
    assert "<b>1.5</b>† [1, 2]</td>" in page
    assert '<tr style="color: grey"><td style="text-align: left">random</td>' in page
    assert page.endswith("<div>Over 4 images.</div>")


def test_names_are_escaped() -> None:
    hostile = f"<script>{BREAK}&amp;"
    page = to_html([Table(hostile, (Column("a", hostile, "text"),), (Section(((Cell(hostile),),)),), (hostile,))])
    assert "<script>" not in page
    assert page.count("&lt;script&gt; &amp;amp;") == 4
