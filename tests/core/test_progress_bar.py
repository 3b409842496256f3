"""Progress without a terminal: plain lines, of the start, of every ten seconds and of the end; quiet prints none."""

from __future__ import annotations

import io
import sys
from pathlib import Path

import pytest

from camdbench.cli.console import any_encoding
from camdbench.core import progress_bar
from camdbench.core.progress_bar import Bar

Captured = pytest.CaptureFixture[str]


@pytest.fixture
def clock(monkeypatch: pytest.MonkeyPatch) -> list[float]:
    """The seconds that have passed, which a test sets."""
    seconds = [0.0]
    monkeypatch.setattr(progress_bar, "monotonic", lambda: seconds[0])
    return seconds


def test_lines_are_ten_seconds_apart_and_the_last_job_has_one(clock: list[float], capsys: Captured) -> None:
    with Bar(quiet=False) as bar:
        bar.start(Path("runs/x"), 4, 1)
        bar.advance(1, "gradcam")
        clock[0] = 9.9
        bar.advance(1, "rise")
        clock[0] = 10.0
        bar.working(0.9, "lime")
        bar.working(0.95, "sobol")
        bar.advance(1, "done")
    assert capsys.readouterr().err.splitlines() == ["runs/x: 4 jobs, 1 already done", "3/4 jobs: lime", "4/4 jobs: done"]


def test_jobs_of_an_unfinished_unit_are_not_counted_twice(clock: list[float], capsys: Captured) -> None:
    with Bar(quiet=False) as bar:
        bar.start(Path("runs/x"), 4, 0)
        bar.working(1.5, "gradcam")
        bar.advance(2, "images 0-31")
        assert bar.progress.tasks[0].completed == 2
        bar.working(0.5, "gradcam")
        assert bar.progress.tasks[0].completed == 2.5


def test_quiet_prints_nothing(clock: list[float], capsys: Captured) -> None:
    with Bar(quiet=True) as bar:
        bar.start(Path("runs/x"), 1, 0)
        clock[0] = 99.0
        bar.advance(1, "gradcam")
    assert capsys.readouterr() == ("", "")


def test_names_are_text_on_a_terminal_not_markup_nor_commands(monkeypatch: pytest.MonkeyPatch) -> None:
    screen = io.TextIOWrapper(io.BytesIO(), encoding="ascii", errors="strict")
    monkeypatch.setattr(screen, "isatty", lambda: True, raising=False)
    monkeypatch.setattr(sys, "stderr", screen)
    with any_encoding(), Bar(quiet=False) as bar:
        bar.start(Path("runs/[/bold][red]ñ\x1b[31m"), 1, 0)
    screen.flush()
    assert rb"runs/[/bold][red]\u00f1\x1b[31m" in screen.buffer.getvalue()
