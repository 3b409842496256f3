"""Measurements as lines: both processes take turns in every round, and medians meet the limits."""

from __future__ import annotations

import argparse
import json
import subprocess
import sys
from collections.abc import Iterable, Iterator
from pathlib import Path
from statistics import median
from typing import Any

from jobs import ROUNDS, Job
from paces import best_paces, limit
from passes import Passes
from without_network import Timed, default_run_share, imputation, tables

ALLOCATORS = ("default", "reuse")
KINDS = ("wall", "processor")
Seconds = dict[tuple[str, str, str], dict[str, list[float]]]  # allocator, job and contestant -> clock -> rounds


class Child:
    """A process that measures rounds, with one setting of the allocator."""

    def __init__(self, allocator: str, threads: int) -> None:
        words = [sys.executable, str(Path(__file__).with_name("rounds.py")), allocator, str(threads)]
        self.process = subprocess.Popen(words, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True)

    def ask(self, **request: Any) -> Any:
        """Send a request and wait for the answer."""
        write, read = self.process.stdin, self.process.stdout
        assert write is not None
        assert read is not None
        write.write(json.dumps(request) + "\n")
        write.flush()
        if not (line := read.readline()):
            raise SystemExit(f"benchmarks/speed: a process ended with exit code {self.process.wait()}; its messages are above")
        return json.loads(line)

    def close(self) -> None:
        """End the process."""
        self.process.communicate()


def measure(jobs: list[Job], given: argparse.Namespace) -> Iterator[dict[str, Any]]:
    """Measure the jobs, network by network; both processes take turns in every round."""
    children = {allocator: Child(allocator, given.threads) for allocator in ALLOCATORS}
    try:
        for name in dict.fromkeys(job.network for job in jobs):
            print(f"{name} …", file=sys.stderr)
            facts = {allocator: child.ask(words=given.jobs, quick=given.quick, network=name) for allocator, child in children.items()}
            seconds: Seconds = {}
            for number in range(1 + (given.rounds or ROUNDS[name])):
                for allocator, child in children.items():
                    for job, contestant, times in child.ask():
                        if number:  # the first round warms up
                            own = seconds.setdefault((allocator, job, contestant), {kind: [] for kind in KINDS})
                            for kind, took in zip(KINDS, times, strict=True):
                                own[kind].append(took)
            yield from lines_of([job for job in jobs if job.network == name], facts["default"], seconds)
    finally:
        for child in children.values():
            child.close()


def lines_of(jobs: Iterable[Job], facts: dict[str, Any], seconds: Seconds) -> Iterator[dict[str, Any]]:
    """One line per job, contestant and setting of the allocator, and one per peer that does not take part."""
    paces = {(kind, dtype): _pace(seconds, kind, dtype) for kind in KINDS for dtype in ("float32", "float64")}
    for job in jobs:
        about = {"job": job.name, "network": job.network, "size": job.size, "images": job.count, "batch": job.batch, "goal": job.goal}
        about |= {"explainers": job.explainers, "metrics": job.metrics}
        for (allocator, name, contestant), times in seconds.items():
            if name != job.name:
                continue
            own = facts["needed"][name]
            passes, double = Passes(*own["evaluate" if contestant == "evaluate" else "maps and metrics"]), Passes(*own["float64"])
            line = about | {"contestant": contestant, "allocator": allocator, "note": ""} | passes._asdict()
            for kind in KINDS:
                took = median(times[kind]) / job.count
                least = limit(passes, double, paces[kind, "float32"], paces[kind, "float64"])
                line |= {f"{kind}_seconds": took, f"{kind}_limit": least, f"{kind}_ratio": took / least if least else None}
            yield line
        for peer, reason in facts["missing"][job.name].items():
            yield about | {"contestant": peer, "allocator": "default", "note": reason}


def _pace(seconds: Seconds, kind: str, dtype: str) -> Passes:
    """Seconds of one pass per image, the lower ones of both settings of the allocator."""
    fastest = dict[str, float]()
    for (_, label, name), times in seconds.items():
        if label == dtype:
            fastest[name] = min(fastest.get(name, float("inf")), median(times[kind]))
    return best_paces(fastest)


def others(given: argparse.Namespace) -> Iterator[dict[str, Any]]:
    """Lines of the jobs that have no limit by passes, in seconds or as a share."""
    found = [*tables(200 if given.quick else 8000), *imputation(32 if given.quick else 224, 1 if given.quick else 5)]
    if not given.quick:
        found.append(default_run_share(given.threads))
    for timed in found:
        yield _line(timed)


def _line(timed: Timed) -> dict[str, Any]:
    return {
        "job": timed.job,
        "contestant": timed.contestant,
        "allocator": "default",
        "wall_seconds": timed.seconds,
        "goal": timed.goal,
        "note": timed.note,
    }
