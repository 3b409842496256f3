"""Do one step of benchmarks/scale and print its rows, processor time and peak memory as JSON.

python benchmarks/scale/timed.py FOLDER STEP
"""

from __future__ import annotations

import json
import resource
import sys
import time
from collections.abc import Callable
from pathlib import Path

import pandas as pd

from camdbench import compare, load_cells, load_rows, summarise
from camdbench.tables.pool import load_pooled


def everything(run: str) -> pd.DataFrame:
    """Summary and tests from one reading."""
    pooled = load_pooled([run])
    return pd.concat([summarise(pooled), compare(pooled)])


STEPS: dict[str, Callable[[str], object]] = {
    "cells": load_cells,
    "means": lambda run: summarise(run, interval=None),
    "summary": summarise,
    "tests": compare,
    "all": everything,
    "categories": lambda run: load_rows(run, categories=True),
    "rows": load_rows,
}


def peak_gb() -> float:
    """Peak resident memory of this process; `ru_maxrss` alone may be that of the process that started it."""
    status = Path("/proc/self/status")
    if status.is_file():
        return next(int(line.split()[1]) for line in status.read_text().splitlines() if line.startswith("VmHWM")) * 1024 / 1e9
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * (1 if sys.platform == "darwin" else 1024) / 1e9


def main() -> None:
    """Do the step."""
    run, step = sys.argv[1:3]
    start = time.process_time()
    found = STEPS[step](run)
    seconds = time.process_time() - start
    rows = len(found) if isinstance(found, pd.DataFrame) else found.values.size
    print(json.dumps({"rows": rows, "seconds": seconds, "peak_gb": peak_gb()}))


if __name__ == "__main__":
    main()
