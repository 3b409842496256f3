"""Signals: a command that is stopped saves what is finished, says so in one line, and exits with the signal's code."""

from __future__ import annotations

import multiprocessing
import os
import signal
import time
from contextlib import suppress
from pathlib import Path

import click
import pytest
from helpers.processes import forkserver

from camdbench.cli.exit_codes import report
from camdbench.cli.main import main
from camdbench.cli.stops import Stopped, catch_stops, stop_of
from camdbench.tables.load import load_rows, load_run

pytestmark = pytest.mark.timeout(300)  # processes start slowly on a busy machine
LINE = "interrupted: finished work is kept; run the same command again to resume"
EXPLAINER = """import pathlib, time
from camdbench import explainer
@explainer("slow", paper="x")
def slow(trace):
    "Waits for a minute on the second batch, in steps as an optimisation has."
    if pathlib.Path("first").exists() and not pathlib.Path("go").exists():
        pathlib.Path("waiting").touch()
        try:
            for _ in range(6000):
                time.sleep(0.01)
        finally:
            time.sleep(60 if pathlib.Path("stubborn").exists() else 0)
    pathlib.Path("first").touch()
    return trace.images.mean(1)
"""
WORDS = [
    "run",
    "-q",
    "--plugin",
    "slow.py",
    "-e",
    "fakecam,slow",
    "-m",
    "ad",
    "--dataset",
    "shortcuts(size=32)",
    "--limit",
    "4",
    "--batch-size",
    "2",
    "--out",
    "mine",
]
WORDS += ["--device", "cpu", "--workers", "2"]


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """A folder with the slow explainer."""
    (tmp_path / "slow.py").write_text(EXPLAINER)
    return tmp_path


def test_a_signal_behind_an_error_of_the_output_counts() -> None:
    closed = OSError(5, "Input/output error")
    closed.__context__ = Stopped(signal.SIGHUP)
    assert stop_of(closed) == signal.SIGHUP
    assert stop_of(OSError(28, "No space left on device")) is None
    assert stop_of(KeyboardInterrupt()) == stop_of(click.exceptions.Abort()) == signal.SIGINT
    error = ValueError()
    error.__context__ = Stopped(signal.SIGHUP)
    assert stop_of(error) is None  # an error after the interrupt says more


def start(words: list[str], folder: Path) -> None:
    """Run a command in a process of its own session, whose output is a file."""
    os.setsid()
    for number in (signal.SIGINT, signal.SIGTERM, signal.SIGHUP):  # a shell or nohup may have made the tests ignore them
        signal.signal(number, signal.default_int_handler if number == signal.SIGINT else signal.SIG_DFL)
    os.chdir(folder)
    multiprocessing.set_start_method("fork", force=True)
    output = os.open("output", os.O_WRONLY | os.O_CREAT | os.O_APPEND)
    for stream in (1, 2):
        os.dup2(output, stream)
    main(words)


def ended(folder: Path, *signals: int, to_group: bool = False) -> tuple[int | None, float]:
    """Exit code of a run that gets signals while its explainer waits, and the seconds from the last signal to its end."""
    (folder / "waiting").unlink(missing_ok=True)
    process = forkserver("camdbench.cli.main").Process(target=start, args=(WORDS, folder))
    process.start()
    deadline = time.monotonic() + 120
    while not (folder / "waiting").exists():
        assert process.is_alive(), (folder / "output").read_text()
        assert time.monotonic() < deadline
        time.sleep(0.02)
    began = time.monotonic()
    for number in signals:
        time.sleep(0.5)
        began = time.monotonic()
        (os.killpg if to_group else os.kill)(process.pid or 0, number)
    process.join(60)
    seconds = time.monotonic() - began
    while left := of_session(process.pid or 0):
        assert time.monotonic() < began + 20, left  # torch's readers of images look for their parent every five seconds
        time.sleep(0.1)
    return process.exitcode, seconds


def of_session(number: int) -> list[str]:
    """Processes of a session that are alive."""
    found = list[str]()
    for file in Path("/proc").glob("[0-9]*/stat"):
        with suppress(OSError):
            state, _, _, session = file.read_text().rpartition(")")[2].split()[:4]
            found += [file.parent.name] if int(session) == number and state != "Z" else []
    return found


def test_a_stopped_run_is_saved_and_resumed(folder: Path) -> None:
    for number, code in ((signal.SIGTERM, 143), (signal.SIGHUP, 129)):
        found, seconds = ended(folder, number, to_group=number == signal.SIGHUP)
        assert (found, (folder / "output").read_text().splitlines()[-1]) == (code, LINE)
        assert seconds < 20  # the explainer would take a minute
    assert "Traceback" not in (folder / "output").read_text()
    assert len(list(folder.glob("mine/partial/*/*/*.pt"))) == 1  # of the first session: the later ones found nothing new
    (folder / "go").touch()
    process = forkserver("camdbench.cli.main").Process(target=start, args=(WORDS, folder))
    process.start()
    process.join()
    assert process.exitcode == 0
    assert (load_rows(folder / "mine")["status"] == "ok").all()
    assert [one["end"] is not None for one in load_run(folder / "mine")["sessions"]] == 3 * [True]


def test_a_second_signal_ends_a_command_at_once(folder: Path) -> None:
    (folder / "stubborn").touch()
    found, seconds = ended(folder, signal.SIGTERM, signal.SIGTERM)
    assert found == -signal.SIGTERM
    assert seconds < 20


def test_signals_that_are_ignored_stay_ignored_and_the_api_installs_none() -> None:
    before = {number: signal.getsignal(number) for number in (signal.SIGINT, signal.SIGTERM, signal.SIGHUP, signal.SIGCHLD)}
    assert not any(getattr(handler, "__module__", "").startswith("camdbench") for handler in before.values())
    try:
        signal.signal(signal.SIGINT, signal.default_int_handler)
        signal.signal(signal.SIGTERM, signal.SIG_DFL)
        signal.signal(signal.SIGHUP, signal.SIG_IGN)  # as nohup does
        catch_stops()
        assert signal.getsignal(signal.SIGHUP) is signal.SIG_IGN
        assert signal.getsignal(signal.SIGTERM) is signal.getsignal(signal.SIGINT)
        with pytest.raises(Stopped) as stopped:
            os.kill(os.getpid(), signal.SIGINT)
        assert (stopped.value.number, report(stopped.value, verbose=False)) == (signal.SIGINT, 130)
        assert signal.getsignal(signal.SIGTERM) is signal.SIG_DFL
        assert signal.getsignal(signal.SIGHUP) is signal.SIG_IGN
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)
