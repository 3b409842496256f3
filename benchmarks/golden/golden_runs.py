"""Golden runs of tox.ini: their words, their tables, and what one of them and its check print."""

from __future__ import annotations

import configparser
import contextlib
import io
import os
import re
import shlex
import time
from pathlib import Path
from typing import NamedTuple

ROOT = Path(__file__).parents[2]
LONGEST_FIRST = ("default", "explainers", "metrics")


class Job(NamedTuple):
    """One golden run: the words after `camdbench`, its folder, and the words of its check."""

    name: str
    run: list[str]
    check: list[str]


class Done(NamedTuple):
    """How a run and its check ended."""

    name: str
    code: int
    seconds: float
    text: str


def table_of(name: str) -> Path:
    """The golden table of a run."""
    return ROOT / "results" / ("golden.csv" if name == "default" else f"golden-{name}.csv")


def jobs_of(work: Path, tox: Path = ROOT / "tox.ini", *, update: bool = False) -> list[Job]:
    """The runs of the section `golden`, the longest first."""
    parser = configparser.ConfigParser(interpolation=None)
    parser.read(tox, encoding="utf-8")
    section, found = parser["golden"], list[Job]()
    for line in section["runs"].strip().splitlines():
        filled = re.sub(r"\{\[golden\](\w+)\}", lambda place: section[place[1]], line).replace("{env_tmp_dir}", work.as_posix())
        words = shlex.split(filled)[1:]
        folder = words[words.index("--out") + 1]
        name = Path(folder).name
        check = ["check", folder, "--against", str(table_of(name)), *(["--update"] if update else [])]
        found.append(Job(name, words, check))
    return sorted(found, key=lambda job: LONGEST_FIRST.index(job.name) if job.name in LONGEST_FIRST else len(LONGEST_FIRST))


def carry_out(job: Job) -> Done:
    """Run and check, with what they print."""
    from camdbench.cli.main import run_cli

    printed, before = io.StringIO(), time.process_time()
    with contextlib.redirect_stdout(printed), contextlib.redirect_stderr(printed):
        code = run_cli(job.run) or run_cli(job.check)
    return Done(job.name, code, time.process_time() - before, printed.getvalue())


def processes(jobs: int) -> int:
    """As many as compute at once on the cores that this process may use."""
    cores = len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1
    return max(1, min(jobs, cores // int(os.environ.get("OMP_NUM_THREADS") or 1)))
