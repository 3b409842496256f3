"""Time and memory of the tables of a large run: 15 explainers x 20 metrics x N images, synthesised.

    python benchmarks/scale --images 5000 --work FOLDER          # 1.5 M rows; a minute
    python benchmarks/scale --images 50000 --work FOLDER         # 15 M rows; ten minutes, 0.5 GB of disk

Each line is measured in a fresh process with one thread. A run that FOLDER holds is used again. Exit code 1 if a line is over its
budget. `docs/scale.md` has the results.
"""

from __future__ import annotations

import argparse
import json
import os
import subprocess
import sys
from pathlib import Path
from typing import Any, NamedTuple

HERE = Path(__file__).parent
_ALONE = dict.fromkeys(("OMP_NUM_THREADS", "OPENBLAS_NUM_THREADS", "MKL_NUM_THREADS"), "1")


class Step(NamedTuple):
    """One line of the table.

    Attributes:
        name: argument of timed.py.
        text: what is done.
    """

    name: str
    text: str


STEPS = (
    Step("cells", "load_cells"),
    Step("means", "summarise without intervals"),
    Step("summary", "summarise: 10,000 resamples"),
    Step("tests", "compare: intervals and tests of all pairs"),
    Step("all", "read once, summarise and compare"),
    Step("categories", "load_rows(categories=True)"),
    Step("rows", "load_rows"),
)
BUDGETS = {  # images, step -> seconds of processor time, GB
    (5_000, "summary"): (20.0, 0.6),
    (50_000, "all"): (60.0, 1.0),
}


def synthesise(folder: Path, images: int, chunk: int, *, packed: bool) -> None:
    """Write a run unless it is there."""
    if not (folder / "done").is_file():
        _python("synthetic_run.py", folder, images, chunk, *(["--packed"] if packed else []))
        (folder / "done").touch()


def measure(folder: Path, step: str) -> dict[str, Any]:
    """Return rows, seconds of processor time, and peak memory in GB, of one step in a fresh process."""
    return json.loads(_python("timed.py", folder, step))


def _python(script: str, *words: object) -> str:
    command = [sys.executable, str(HERE / script), *map(str, words)]
    return subprocess.run(command, env=os.environ | _ALONE, check=True, capture_output=True, text=True).stdout


def files_of(folder: Path) -> tuple[int, float]:
    """Return the number of files with rows, and their size in MB."""
    sizes = [path.stat().st_size for path in (folder / "rows").rglob("*.parquet")]
    return len(sizes), sum(sizes) / 1e6


def main() -> int:
    """Synthesise, measure, and print a table."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--work", type=Path, required=True, help="folder of the synthesised runs")
    parser.add_argument("--images", type=int, default=5_000)
    parser.add_argument("--chunk", type=int, default=32, help="images in one part file")
    parser.add_argument("--steps", default=",".join(step.name for step in STEPS), help="lines to measure, comma-separated")
    parser.add_argument("--forms", default="parts,packs", help="parts, packs or both")
    options = parser.parse_args()
    over = list[str]()
    for form in options.forms.split(","):
        folder = options.work / f"{options.images}-{options.chunk}-{form}"
        synthesise(folder, options.images, options.chunk, packed=form == "packs")
        count, size = files_of(folder)
        print(f"\n{form}: {count:,} files, {size:.0f} MB\n\n| step | rows | processor time, s | peak memory, GB |\n| --- | --- | --- | --- |")
        for step in STEPS:
            if step.name in options.steps.split(","):
                found = measure(folder, step.name)
                print(f"| {step.text} | {found['rows']:,} | {found['seconds']:.1f} | {found['peak_gb']:.2f} |", flush=True)
                seconds, memory = BUDGETS.get((options.images, step.name), (float("inf"), float("inf")))
                if found["seconds"] > seconds or found["peak_gb"] > memory:
                    over.append(f"{form}: {step.text}: over its budget of {seconds:g} s and {memory:g} GB")
    print(*over, sep="\n", file=sys.stderr)
    return 1 if over else 0


if __name__ == "__main__":
    raise SystemExit(main())
