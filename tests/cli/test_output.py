"""What a run prints at its end: one line for each reason of a failure, and an exit code that counts errors only."""

from __future__ import annotations

import pandas as pd
import pytest

from camdbench.cli.output import show_failures

COLUMNS = ["model", "explainer", "metric", "image", "status", "reason"]
Captured = pytest.CaptureFixture[str]


def rows(*lines: tuple[str, ...]) -> pd.DataFrame:
    return pd.DataFrame([dict(zip(COLUMNS, line, strict=True)) for line in lines], columns=COLUMNS)


def test_values_print_nothing(capsys: Captured) -> None:
    assert show_failures(rows(("net", "gradcam", "ad", "a", "ok", ""), ("net", "gradcam", "ad", "b", "undefined", "no box"))) == 0
    assert capsys.readouterr().err == ""


def test_a_reason_is_one_line_that_counts_each_image_once(capsys: Captured) -> None:
    found = show_failures(
        rows(
            *(("net", "gradcam", metric, image, "error", "cannot be decoded") for metric in ("ad", "ag") for image in ("a", "b")),
            ("net", "rise", "ad", "a", "error", "cannot be decoded"),
        )
    )
    assert found == 5
    assert capsys.readouterr().err.splitlines() == [
        "error: net, gradcam: cannot be decoded (2 images)",
        "error: net, rise: cannot be decoded (1 image)",
    ]


def test_what_is_not_applicable_is_printed_but_has_not_failed(capsys: Captured) -> None:
    assert show_failures(rows(("net", "cam", "ad", "a", "not_applicable", "no linear head"))) == 0
    assert capsys.readouterr().err == "not_applicable: net, cam: no linear head (1 image)\n"
