"""Seconds per image of jobs beside their limit and beside other libraries, written to results/speed.csv and docs/speed.md.

    python benchmarks/speed                                  # all jobs, about twenty minutes on one core
    python benchmarks/speed --jobs Score-CAM,ROAD --json speed.json
    python benchmarks/speed --quick                          # a smoke run on a tiny network
    python benchmarks/speed --page                           # only write the table of docs/speed.md from results/speed.csv

The limit of a job is the number of passes that its algorithm needs (docs/design/passes.md) times the time of one pass at the best
batch size, measured in the same rounds. Peers: pip install grad-cam torchcam captum quantus lime. docs/speed.md explains the columns.
Files are written by full measurements only.
"""

from __future__ import annotations

import argparse
import json
from itertools import chain
from pathlib import Path
from typing import Any

import pandas as pd
from jobs import CAPTUM, GRAD_CAM, JOBS, LIME, QUANTUS, TORCHCAM, chosen
from machine import machine, versions
from measuring import measure, others
from page import ratio_table, seconds_table, write_page

RESULT = Path(__file__).parents[2] / "results" / "speed.csv"


def main() -> None:
    """Measure, print, write."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--jobs", default="", help="words, comma-separated: jobs of networks whose name has one; default: all")
    parser.add_argument("--rounds", type=int, default=0, help="measured rounds after one that warms up; default: 2 or 3, by network")
    parser.add_argument("--threads", type=int, default=1, help="threads of torch")
    parser.add_argument("--quick", action="store_true", help="a tiny network, two small images, one round: shows that everything runs")
    parser.add_argument("--json", type=Path, help="also write all lines here as they are measured, with the machine")
    parser.add_argument("--page", action="store_true", help="only write the page from the file")
    given = parser.parse_args()
    if given.page:
        write_page(pd.read_csv(RESULT))
        return
    if not (jobs := list(chosen(given.jobs, quick=given.quick))):
        parser.error(f"--jobs {given.jobs}: no job has such a word in its name; jobs are {', '.join(job.name for job in JOBS)}")
    about = machine(given.threads) | {"peers": ", ".join(map(" ".join, versions((GRAD_CAM, TORCHCAM, CAPTUM, QUANTUS, LIME)).items()))}
    lines = list[dict[str, Any]]()
    for line in chain(measure(jobs, given), () if given.jobs else others(given)):
        lines.append(line | about)
        if given.json:  # what is measured is kept if a later job fails or is interrupted
            given.json.write_text(json.dumps({"machine": about, "lines": lines}, indent=1), encoding="utf-8")
    found = pd.DataFrame(lines)
    print(ratio_table(found))
    print(seconds_table(found))
    if not (given.quick or given.jobs):
        found.to_csv(RESULT, index=False, float_format="%.6g")
        write_page(pd.read_csv(RESULT))


if __name__ == "__main__":
    main()
