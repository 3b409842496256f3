"""`record`: the fixed set of runs, trainings, tables and registries."""

from __future__ import annotations

import sys
import time
from collections.abc import Sequence
from pathlib import Path
from shutil import rmtree

from neutral import write_json
from process import preload
from recorder import Recorder

_FOLDERS = {
    "registry": ("registry",),
    "runs": ("rows", "curves", "usage", "maps", "record", "files", "evaluate"),
    "training": ("weights", "training-record", "logs"),
    "tables": ("text", "reproduce", "explained"),
}


def record_parts(out: Path, parts: Sequence[str], *, names: Sequence[str], full: bool, golden: Path | None, keep_work: bool) -> None:
    """Record the parts in their order; the folders of a part are written anew, unless only some runs are named."""
    import torch
    from registry import dump_registries
    from tables import printed_tables
    from training import trainings

    from runs import golden_runs, other_runs

    preload()
    torch.set_num_threads(1)
    work = out.resolve() / f"work-{'-'.join((*parts, *names))}"
    rmtree(work, ignore_errors=True)
    work.mkdir(parents=True)
    recorder = Recorder(out.resolve(), work, full=full, golden=golden, names=names)
    print(f"recording {recorder.root}", file=sys.stderr)
    steps = {
        "registry": (dump_registries,),
        "runs": (golden_runs, other_runs),
        "training": (trainings,),
        "tables": (printed_tables,),
    }
    began = time.monotonic()
    for part in parts:
        for folder in () if names else _FOLDERS[part]:
            rmtree(recorder.out / folder, ignore_errors=True)
        for step in steps[part]:
            step(recorder)
        print(f"{time.monotonic() - began:6.1f} s  {part} recorded", file=sys.stderr, flush=True)
    write_json({"format": 1, "full": full}, recorder.out / "about.json")
    if not keep_work:
        rmtree(work)
