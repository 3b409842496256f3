"""Runs of test files in forked processes, over copies of the checkout."""

from __future__ import annotations

import compileall
import contextlib
import importlib
import os
import shutil
import signal
import subprocess
import sys
import time
import traceback
from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import NamedTuple

from mutants import Mutant

_HEAVY = ("torch", "torchvision", "scipy.stats", "scipy.ndimage", "pandas", "pyarrow.parquet", "skimage", "sklearn", "hypothesis", "pytest")


class Job(NamedTuple):
    """Arguments of the pytest runs, on a mutant or, without one, on the package as it is; the first run that fails is the last."""

    name: str
    tests: list[list[str]]
    limit: float
    mutant: Mutant | None = None


class Outcome(NamedTuple):
    """Result of a job: `survived` (all tests passed), `killed` or `timeout`, with its duration and the end of the output."""

    job: Job
    result: str
    seconds: float
    output: str


class _Slot(NamedTuple):
    job: Job
    copy: Path
    pid: int
    start: float


def run_jobs(checkout: Path, work: Path, jobs: Iterable[Job], workers: int) -> Iterator[Outcome]:
    """Yield outcomes as they come.

    Every worker owns a copy of the tracked files. A process with the libraries imported is forked per job, imports the copy's
    package and runs pytest. The checkout is never written.
    """
    for name in _HEAVY:
        importlib.import_module(name)
    free, busy = [_copy(checkout, work / f"copy-{index}") for index in range(workers)], list[_Slot]()
    waiting = iter(jobs)
    while True:
        while free and (job := next(waiting, None)) is not None:
            busy.append(_start(job, free.pop()))
        if not busy:
            return
        for slot in list(busy):
            if (outcome := _ended(slot)) is not None:
                busy.remove(slot)
                free.append(slot.copy)
                yield outcome
        time.sleep(0.05)


def _copy(checkout: Path, target: Path) -> Path:
    """Copy the tracked and the new files of the checkout, with their times, which compiled modules record."""
    words = ["git", "ls-files", "--cached", "--others", "--exclude-standard"]
    for name in subprocess.run(words, cwd=checkout, capture_output=True, text=True, check=True).stdout.splitlines():
        if (checkout / name).is_file():
            (target / name).parent.mkdir(parents=True, exist_ok=True)
            shutil.copy2(checkout / name, target / name)
    compileall.compile_dir(target / "camdbench", quiet=1)
    return target


def _start(job: Job, copy: Path) -> _Slot:
    if job.mutant is not None:
        file = copy / "camdbench" / job.mutant.module
        shutil.copy2(file, copy / "original.py")
        file.write_text(job.mutant.source, encoding="utf-8")
    sys.stdout.flush()
    if pid := os.fork():
        return _Slot(job, copy, pid, time.monotonic())
    code = 3  # as pytest's internal errors
    try:
        code = _test(job, copy)
    except BaseException:
        traceback.print_exc()
    finally:
        sys.stderr.flush()
        os._exit(code)


def _test(job: Job, copy: Path) -> int:
    """Run pytest in forked processes until one fails; return its exit status."""
    import pytest

    os.setsid()
    os.chdir(copy)
    output = os.open(copy / "output.txt", os.O_WRONLY | os.O_CREAT | os.O_TRUNC)
    for stream in (1, 2):
        os.dup2(output, stream)
    path = [str(copy), str(copy / "tests")]
    sys.path[:] = [*path, *(entry for entry in sys.path if entry != str(Path(__file__).parent))]
    os.environ |= {
        "PYTHONPATH": os.pathsep.join(path),
        "OMP_NUM_THREADS": "1",
        "MPLBACKEND": "Agg",
        "COLUMNS": "120",
        "HF_HUB_OFFLINE": "1",
    }
    if job.mutant is not None:  # without one, pytest stores the compiled test files for the mutants that follow
        sys.dont_write_bytecode = True
        os.environ["PYTHONDONTWRITEBYTECODE"] = "1"
    options = ["-x", "-q", "-p", "no:cacheprovider", f"--basetemp={copy / 'temporary'}", "--timeout=0"]
    quiet = ["-W", "ignore::pytest.PytestAssertRewriteWarning"]  # hypothesis is imported before pytest starts
    for arguments in job.tests:
        if not (pid := os.fork()):
            os._exit(int(pytest.main([*options, *quiet, *arguments])))
        code = os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1])
        if code not in {0, pytest.ExitCode.NO_TESTS_COLLECTED}:
            return code if code > 0 else 1  # a crash of the interpreter is a failure too
    return 0


def _ended(slot: _Slot) -> Outcome | None:
    """Return the outcome if the process has ended or is over its time; the copy is then as it was."""
    pid, status = os.waitpid(slot.pid, os.WNOHANG)
    seconds = time.monotonic() - slot.start
    late = not pid and seconds > slot.job.limit
    if not pid and not late:
        return None
    with contextlib.suppress(ProcessLookupError):
        os.killpg(slot.pid, signal.SIGKILL)  # with the processes that tests started
    if late:
        os.waitpid(slot.pid, 0)
    if slot.job.mutant is not None:
        (slot.copy / "original.py").replace(slot.copy / "camdbench" / slot.job.mutant.module)
    file = slot.copy / "output.txt"
    output = file.read_text(encoding="utf-8", errors="replace")[-6000:] if file.is_file() else ""
    return Outcome(slot.job, "timeout" if late else _result(status, output), seconds, output)


def _result(status: int, output: str) -> str:
    """Read the status of a process: an error of the run itself must not count as a noticed mutant.

    Raises:
        RuntimeError: pytest could not run the tests.
    """
    code = os.waitstatus_to_exitcode(status)
    if code == 0:
        return "survived"
    if code in {1, 2} or code < 0 or "while loading conftest" in output:  # failed, not importable, stopped
        return "killed"
    raise RuntimeError(f"pytest ended with {code}:\n{output}")
