"""One process of the benchmark: it measures rounds of all jobs of a network, with or without settings of the allocator.

`python benchmarks/speed` starts two of these, because settings of the allocator cannot be taken back, and asks them in turn.
"""

from __future__ import annotations

import json
import os
import sys
import warnings
from collections.abc import Iterable, Iterator
from typing import Any

import contestants
import torch
from clock import Measured, clocked
from jobs import Job, chosen
from paces import BATCHES, Contestant, Work, in_float64, needed, network, passes_of_network, quantities, work_of

from camdbench.core.allocator import reuse_freed_memory
from camdbench.core.errors import CamdbenchWarning
from camdbench.models.float64_copy import float64_copy


class Group:
    """All jobs of one network in this process: bare passes, contestants and the passes that the jobs need."""

    def __init__(self, jobs: list[Job], *, quick: bool, with_peers: bool) -> None:
        self.works = [work_of(job) for job in jobs]
        self.contestants = dict[tuple[str, str], Contestant]()
        self.missing = dict[str, dict[str, str]]()
        batches = {"forward": (1, 2), "both": (1, 2)} if quick else BATCHES
        classifier, size = self.works[0].classifier, jobs[0].size
        for label, double in (("float32", False), ("float64", True)):
            if double and not any(any(self._double(work)) for work in self.works):
                continue
            copy = float64_copy(classifier) if double else classifier
            for name, one_pass in passes_of_network(copy, size, double=double, batches=batches).items():
                self.contestants[label, name] = one_pass
        for work in self.works:
            found, self.missing[work.job.name] = contestants.others(work) if with_peers else ({}, {})
            for name, contestant in (contestants.doors(work) | found).items():
                self.contestants[work.job.name, name] = contestant

    def facts(self) -> dict[str, Any]:
        """What each job needs per image, and the peers that do not take part."""
        return {
            "needed": {
                work.job.name: {
                    "evaluate": needed(work, contestants.specs_of(work.job), given_maps=True),
                    "maps and metrics": needed(work, contestants.specs_of(work.job)),
                    "float64": self._double(work),
                }
                for work in self.works
            },
            "missing": self.missing,
        }

    def round(self) -> list[tuple[str, str, Measured]]:
        """Each contestant once, those of a job after each other."""
        return [(job, name, clocked(contestant)) for (job, name), contestant in self.contestants.items()]

    @staticmethod
    def _double(work: Work) -> Any:
        return in_float64(contestants.specs_of(work.job), quantities(work))


def answers(lines: Iterable[str], *, with_peers: bool) -> Iterator[object]:
    """Answers to requests of the other process: one with words opens the jobs of a network, any other measures them."""
    group: Group | None = None
    for line in lines:
        asked = json.loads(line)
        if "words" in asked:
            network.cache_clear()
            jobs = [job for job in chosen(asked["words"], quick=asked["quick"]) if job.network == asked["network"]]
            group = Group(jobs, quick=asked["quick"], with_peers=with_peers)
            yield group.facts()
        else:
            assert group is not None
            yield group.round()


def main() -> None:
    """Answer requests from standard input on standard output; whatever the contestants print goes to standard error."""
    allocator, threads = sys.argv[1:]
    torch.set_num_threads(int(threads))
    if allocator == "reuse":
        reuse_freed_memory()
    warnings.simplefilter("ignore", CamdbenchWarning)  # of curves with few points
    channel = os.fdopen(os.dup(1), "w")
    os.dup2(2, 1)
    for answer in answers(sys.stdin, with_peers=allocator == "default"):
        channel.write(json.dumps(answer) + "\n")
        channel.flush()


if __name__ == "__main__":
    main()
