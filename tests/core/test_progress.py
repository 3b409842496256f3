"""Which display of progress fits this process."""

from __future__ import annotations

import io
import sys
from pathlib import Path
from time import monotonic
from types import ModuleType, SimpleNamespace

import pytest

from camdbench.core import progress_bar
from camdbench.core.errors import UsageError
from camdbench.core.progress import LogProgress, NullProgress, in_notebook, showing
from camdbench.core.progress_bar import Bar, NotebookBar


class Output:
    """The display handle of a notebook's cell; keeps what it shows."""

    def __init__(self) -> None:
        self.shown = list[str]()

    def update(self, page: str) -> None:
        self.shown.append(page)


@pytest.fixture
def notebook(monkeypatch: pytest.MonkeyPatch) -> Output:
    """A module IPython whose shell belongs to a kernel."""
    ipython, display, output = ModuleType("IPython"), ModuleType("IPython.display"), Output()
    ipython.get_ipython = lambda: SimpleNamespace(kernel=object())  # type: ignore[attr-defined]
    display.HTML, display.display = str, lambda _, display_id: output  # type: ignore[attr-defined]
    monkeypatch.setitem(sys.modules, "IPython", ipython)
    monkeypatch.setitem(sys.modules, "IPython.display", display)
    return output


def test_a_notebook_has_one_line_that_is_updated(notebook: Output, monkeypatch: pytest.MonkeyPatch) -> None:
    with showing() as bar:
        assert isinstance(bar, NotebookBar)
        bar.start(Path("runs/<b>"), 4, 1)
        bar.working(1 / 3, "too soon after the start")
        monkeypatch.setattr(progress_bar, "monotonic", lambda: monotonic() + 1)
        bar.working(4 / 3, "net, images 0-31, rise")
        bar.advance(3, "net, images 0-31")
    assert notebook.shown == [
        '<progress value="1" max="4"></progress> 1/4 jobs: runs/&lt;b&gt;',
        '<progress value="2.33" max="4"></progress> 2/4 jobs: net, images 0-31, rise',
        '<progress value="4" max="4"></progress> 4/4 jobs: net, images 0-31',
    ]


def test_without_terminal_only_the_logger_has_it_unless_asked_for(capsys: pytest.CaptureFixture[str]) -> None:
    assert not in_notebook()
    with showing() as log, showing(False) as off:
        assert isinstance(log, LogProgress)
        assert isinstance(off, NullProgress)
    with showing(True) as bar:
        bar.start(Path("runs/x"), 1, 0)
    assert capsys.readouterr().err == "runs/x: 1 jobs, 0 already done\n"


def test_a_terminal_has_a_bar(monkeypatch: pytest.MonkeyPatch) -> None:
    screen = io.StringIO()
    monkeypatch.setattr(screen, "isatty", lambda: True)
    monkeypatch.setattr(sys, "stderr", screen)
    with showing() as bar:
        assert isinstance(bar, Bar)


def test_callbacks_of_the_caller_are_used_as_they_are() -> None:
    given = NullProgress()
    with showing(given) as bar:
        assert bar is given


def test_callbacks_without_a_method_are_refused() -> None:
    with pytest.raises(UsageError, match="with the methods start, working and advance"), showing(print):  # type: ignore[arg-type]
        pass
