"""Rows of a run in a notebook."""

from __future__ import annotations

from pathlib import Path

import pandas as pd

import camdbench
from camdbench.tables.result_rows import Rows


def test_rows_know_their_directory_and_show_their_summary(tmp_path: Path) -> None:
    rows = camdbench.run("gradcam,fakecam", "ad", limit=4, out=tmp_path / "r", progress=False)
    assert isinstance(rows, Rows)
    assert rows.directory == tmp_path / "r"
    pd.testing.assert_frame_equal(rows.summary(), camdbench.summarise(tmp_path / "r"))
    page = rows._repr_html_()
    assert "shortcuts-ce" in page
    assert "gradcam" in page
    assert f"{rows.summary()['mean'][0]:.1f} [" in page
    one = camdbench.run("gradcam", "ad", limit=4, out=tmp_path / "r", progress=False)
    assert list(one.summary()["explainer"]) == ["gradcam"]


def test_a_selection_is_a_plain_data_frame(tmp_path: Path) -> None:
    rows = camdbench.run("fakecam", "ad", limit=2, out=tmp_path / "r")
    assert type(rows[rows["value"] > 0]) is pd.DataFrame
