"""The recorder: calls commands of camdbench in a working folder and stores what they print."""

from __future__ import annotations

import importlib.util
import sys
import time
from collections.abc import Sequence
from pathlib import Path

from neutral import fix_clock, neutral_text, store_run, write_text
from process import camdbench
from spelling import words


class Recorder:
    """Calls commands and stores their output.

    Attributes:
        root: checkout of the camdbench in use, with its tox.ini and benchmarks/.
        work: folder in which commands run; paths given to them are relative to it.
        out: folder of the recorded state.
        full: whether the golden runs use their own limits.
        golden: tox.ini with the golden runs.
        names: names of the runs to record; all if empty.
    """

    def __init__(self, out: Path, work: Path, *, full: bool = False, golden: Path | None = None, names: Sequence[str] = ()) -> None:
        self.root = Path(str(importlib.util.find_spec("camdbench").origin)).resolve().parents[1]
        self.golden = golden or self.root / "tox.ini"
        self.out, self.work, self.full, self.names = out, work, full, tuple(names)

    def wants(self, name: str) -> bool:
        """Return whether a run is to be recorded."""
        return not self.names or name in self.names

    def call(self, *arguments: str, name: str = "", form: str = "txt", folder: str = "text") -> None:
        """Run `camdbench ARGUMENTS`.

        Args:
            arguments: words of the command line.
            name: name of the stored output; nothing is stored if empty.
            form: `txt`, or `csv` or `json` for output that is compared as a table.
            folder: folder of the recorded state that the output goes to.
        """
        began = time.monotonic()
        done = camdbench(arguments, self.work)
        print(f"{time.monotonic() - began:6.1f} s  camdbench {' '.join(arguments)[:110]}", file=sys.stderr, flush=True)
        printed, errors = (neutral_text(text.replace(str(self.root), "ROOT"), self.work) for text in (done.stdout, done.stderr))
        if done.returncode == 1 or done.returncode < 0 or "unexpected" in errors or (done.returncode and not name):
            raise SystemExit(f"camdbench {' '.join(arguments)}\nexit code {done.returncode}\n{done.stdout}{done.stderr}")
        if name:
            ending = f"exit code {done.returncode}\n{errors}"
            target = self.out / folder / name
            write_text(printed if form != "txt" else printed + ending, target.with_name(f"{name}.{form}"))
            if form != "txt":
                write_text(ending, target.with_name(f"{name}.errors.txt"))

    def run(self, name: str, *arguments: str, store: bool = True) -> None:
        """Run `camdbench run ARGUMENTS --out NAME` and store the run directory; a run that is complete is not repeated."""
        maps = [] if "--save-maps" in arguments else words("no_maps")  # as before maps were stored by default
        self.call("run", "--device", "cpu", "--quiet", *arguments, *maps, "--out", name)
        self.finish(name, store=store)

    def finish(self, name: str, *, store: bool = True) -> None:
        """Fix the clock of a run directory and store it."""
        fix_clock(self.work / name)
        if store:
            store_run(self.work / name, self.out, name)
