"""Mutation run: change one operator or number of the package at a time and see whether the module's tests fail.

    python benchmarks/mutation --work FOLDER --count 400

The package is changed in copies inside FOLDER. FOLDER/outcomes.jsonl holds every outcome, FOLDER/survivors.md the mutants that no test
noticed. A second run judges only mutants that FOLDER lacks; `--again` judges survivors a second time, after tests have been added.
"""

from __future__ import annotations

import json
import os
import sys
from collections import Counter
from pathlib import Path

import click
from judge import Job, Outcome, run_jobs
from mapping import tests_of
from mutants import Mutant, sample

CHECKOUT = Path(__file__).resolve().parents[2]


@click.command(context_settings={"help_option_names": ["-h", "--help"]})
@click.option("--work", type=click.Path(path_type=Path, file_okay=False), required=True, help="Folder of copies and outcomes.")
@click.option("--count", default=400, show_default=True, help="Number of mutants, from the beginning of the seeded order.")
@click.option("--seed", default=0, show_default=True, help="Seed of the order.")
@click.option("--only", default="", help="Judge those of the sample in modules that begin so, such as tables/.")
@click.option("--workers", default=os.cpu_count() or 1, show_default="one per core", help="Number of processes.")
@click.option("--limit", default=180.0, show_default=True, help="Seconds per mutant; beyond, it counts as noticed.")
@click.option("--again", is_flag=True, help="Judge survivors of earlier runs again.")
@click.option("--no-baseline", is_flag=True, help="Do not run the tests on the package as it is first.")
def main(work: Path, count: int, seed: int, only: str, workers: int, limit: float, again: bool, no_baseline: bool) -> None:
    """Judge a seeded sample of mutants and list the survivors."""
    work.mkdir(parents=True, exist_ok=True)
    mutants, record = list(sample(CHECKOUT / "camdbench", count, seed, only)), work / "outcomes.jsonl"
    known = _outcomes(record)
    waiting = [one for one in mutants if one.key not in known or (again and known[one.key]["result"] == "survived")]
    tests = {module: tests_of(CHECKOUT, module) for module in sorted({one.module for one in waiting})}
    if not no_baseline:
        _require_green(work, tests, workers, limit)
    jobs = [Job(one.key, tests[one.module], limit, one) for one in waiting]
    with record.open("a", encoding="utf-8") as file:
        for place, outcome in enumerate(run_jobs(CHECKOUT, work, jobs, workers), 1):
            file.write(json.dumps(_facts(outcome)) + "\n")
            file.flush()
            print(f"{place}/{len(jobs)} {outcome.result} {outcome.seconds:.0f} s {outcome.job.name}", flush=True)
    _report(work, mutants, _outcomes(record))


def _require_green(work: Path, tests: dict[str, list[list[str]]], workers: int, limit: float) -> None:
    """Run the tests of every module on the package as it is; stop if one fails."""
    arguments = {" ".join(one): one for runs in tests.values() for one in runs}
    jobs = [Job(name, [one], 10 * limit) for name, one in arguments.items()]
    failed = [one for one in run_jobs(CHECKOUT, work, jobs, workers) if one.result != "survived"]
    for one in failed:
        print(f"{one.job.name}: {one.result}\n{one.output}")
    if failed:
        sys.exit("the tests fail without a mutation; nothing is judged")


def _facts(outcome: Outcome) -> dict[str, object]:
    mutant = outcome.job.mutant
    failed = [line for line in outcome.output.splitlines() if line.startswith(("FAILED", "ERROR"))]
    facts = {"key": outcome.job.name, "result": outcome.result, "seconds": round(outcome.seconds, 1), "by": failed[:1]}
    return facts | ({"module": mutant.module, "before": mutant.before, "after": mutant.after} if mutant else {})


def _outcomes(record: Path) -> dict[str, dict[str, str]]:
    """Return the last outcome of each mutant."""
    lines = record.read_text(encoding="utf-8").splitlines() if record.is_file() else []
    return {one["key"]: one for one in map(json.loads, lines)}


def _report(work: Path, mutants: list[Mutant], outcomes: dict[str, dict[str, str]]) -> None:
    survivors = [one for one in mutants if outcomes[one.key]["result"] == "survived"]
    lines = ["| module | line | before | after |", "| --- | ---: | --- | --- |"]
    for one in sorted(survivors, key=lambda one: (one.module, one.line)):
        before, after = (text.replace("|", "\\|") for text in (one.before, one.after))
        lines.append(f"| `{one.module}` | {one.line} | `{before}` | `{after}` |")
    (work / "survivors.md").write_text("\n".join(lines) + "\n", encoding="utf-8")
    counts = Counter(outcomes[one.key]["result"] for one in mutants)
    share = 1 - len(survivors) / max(1, len(mutants))
    print(f"{len(mutants)} mutants, {share:.1%} noticed; {dict(counts)}; survivors: {work / 'survivors.md'}")


if __name__ == "__main__":
    main()
