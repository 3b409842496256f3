"""The golden runs of tox.ini and their checks, as many at a time as there are cores.

    python benchmarks/golden --work FOLDER                       # checks every run against its table in results/
    python benchmarks/golden --work FOLDER --only default,focus
    python benchmarks/golden --work FOLDER --update              # writes the tables anew

A process takes one run after the other, so that it imports torch once. Each run computes with the threads of OMP_NUM_THREADS, so numbers do
not depend on how many runs share the cores.
"""

from __future__ import annotations

import argparse
import multiprocessing
import sys
from collections.abc import Sequence
from concurrent.futures import ProcessPoolExecutor, as_completed
from pathlib import Path

from golden_runs import carry_out, jobs_of, processes


def main(arguments: Sequence[str] | None = None) -> int:
    """Run, check and print; the exit code is the largest of all commands."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--work", type=Path, required=True, help="folder of the run directories")
    parser.add_argument("--only", help="names of runs, separated by commas; default: all")
    parser.add_argument("--update", action="store_true", help="write the tables instead of comparing with them")
    given = parser.parse_args(arguments)
    jobs = jobs_of(given.work.resolve(), update=given.update)
    if given.only is not None:
        unknown = set(given.only.split(",")) - {job.name for job in jobs}
        if unknown:
            parser.error(f"--only = {given.only}: no run {', '.join(sorted(unknown))}; choose from {', '.join(job.name for job in jobs)}")
        jobs = [job for job in jobs if job.name in given.only.split(",")]
    worst = 0
    with ProcessPoolExecutor(processes(len(jobs)), multiprocessing.get_context("spawn")) as pool:
        for ended in as_completed([pool.submit(carry_out, job) for job in jobs]):
            done = ended.result()
            lines = done.text.rstrip().splitlines()
            print("\n".join(lines if done.code else lines[-1:]))
            print(f"{done.name}: exit code {done.code}, {done.seconds:.0f} s of processor time", flush=True)
            worst = max(worst, done.code)
    return worst


if __name__ == "__main__":
    sys.exit(main())
