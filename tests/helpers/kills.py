"""Commands killed (-9) at random moments and resumed: the end is that of an undisturbed one.

`python tests/helpers/kills.py 100` kills each of run, score, train, reproduce and audit 20 times; a second number is the seed.
"""

from __future__ import annotations

import json
import os
import random
import shutil
import signal
import sys
import tempfile
import time
from collections import Counter
from collections.abc import Callable
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import click
import pandas as pd
from safetensors.torch import load_file

from camdbench.cli.main import run_cli
from camdbench.runner import partial_results
from camdbench.tables.load import load_curves, load_rows
from camdbench.tables.predictions import load_predictions
from helpers.processes import forkserver

_DATA = "shortcuts(size=32)"
_RECIPE = f"""name: tiny
data: {{dataset: '{_DATA}', limit: 48, evaluation: [val], evaluation_limit: 8}}
loss: so(kernel=3, views=1)
epochs: 5
batch_size: 8
augment: {{flip: 0.5}}
"""
_TABLE = f"""table: T
summary: s
datasets:
  d:
    dataset: {_DATA}
    split: val
    training: {{data: {{dataset: {_DATA}, limit: 32, evaluation: [val], evaluation_limit: 8}}}}
models:
  m: {{training: {{network: shortcuts, epochs: 3, batch_size: 8}}}}
methods:
  e: {{explainer: gradcam}}
  f: {{explainer: opticam(iterations=2)}}
metrics:
  Acc: {{metric: accuracy}}
  AD: {{metric: ad}}
seeds: [0, 1]
"""
_VALUES = """table,dataset,model,method,metric,value,std,higher_is_better
T,d,m,e,Acc,50,,true
T,d,m,e,AD,7,,false
T,d,m,f,AD,7,,false
"""
_RUN = ("run", "-q", "--dataset", _DATA, "--limit", "72", "--save-maps", "raw", "--device", "cpu")
_VOLATILE = ("date", "versions", "git", "threads")  # of a checkpoint's JSON


@dataclass(frozen=True)
class Case:
    """A command whose output folder is `out` in the current folder, and what it must end with."""

    name: str
    words: tuple[str, ...]
    result: Callable[[Path], dict[str, Any]]


@dataclass
class Count:
    """What happened to one command."""

    kills: Counter[str]
    resumed: int = 0
    different: int = 0
    half_files: int = 0


def result_of_run(out: Path) -> dict[str, Any]:
    """Rows, curves, maps and predicted classes of a run, as bytes."""
    rows, curves = load_rows(out), load_curves(out)
    found: dict[str, Any] = {"rows": rows.drop(columns="run").to_csv(index=False), "curves": _sorted(curves)}
    found["predicted"] = load_predictions(out).drop(columns="probability").to_csv(index=False)
    found |= {f"maps {path.relative_to(out)}": _bytes(path) for path in sorted(out.glob("maps/**/[!.]*.safetensors"))}
    return found


def result_of_training(out: Path) -> dict[str, Any]:
    """Weights, facts, log and previews of a training, as bytes and text."""
    facts = json.loads((out / "tiny.json").read_text(encoding="utf-8"))
    previews = {path.name: path.read_bytes() for path in sorted(out.glob("tiny-maps/[!.]*"))}
    stable = {name: own for name, own in facts.items() if name not in _VOLATILE}
    names = sorted(path.name for path in out.glob("[!.]*"))
    return {"weights": _bytes(out / "tiny.safetensors"), "facts": stable, "log": (out / "tiny.csv").read_text(), "files": names, **previews}


def result_of_reproduction(out: Path) -> dict[str, Any]:
    """The table, the weights of its networks, and the rows of its runs."""
    found: dict[str, Any] = {"table": (out / "reproduction.csv").read_text()}
    found |= {path.name: _bytes(path) for path in sorted(out.glob("checkpoints/[!.]*.safetensors"))}
    return found | {path.name: load_rows(path).to_csv(index=False) for path in sorted(out.glob("runs/*"))}


def result_of_audit(out: Path) -> dict[str, Any]:
    """All files of an audit, as bytes, and its record without the revision, which may change between sessions."""
    files = {str(path.relative_to(out)): path.read_bytes() for path in sorted(out.rglob("[!.]*")) if path.is_file()}
    record = json.loads(files.pop("audit.json"))
    return {**files, "record": {name: own for name, own in record.items() if name != "revision"}}


CASES = (
    Case(
        "run",
        (*_RUN, "-e", "gradcam,opticam(iterations=2)", "-m", "ad,ag,insertion(step=256)", "--batch-size", "8", "--out", "out"),
        result_of_run,
    ),
    Case("score", ("score", "maps", "-q", "-m", "ai,deletion(step=256)", "--batch-size", "8", "--out", "out"), result_of_run),
    Case("train", ("train", "-q", "--recipe", "tiny.yaml", "--device", "cpu", "--preview-images", "1", "--out", "out"), result_of_training),
    Case(
        "reproduce",
        ("reproduce", "mine.yaml", "--train", "-q", "--limit", "8", "--device", "cpu", "--out", "out"),
        result_of_reproduction,
    ),
    Case("audit", ("audit", "maps", "-q", "--draws", "8", "--resamples", "20", "--device", "cpu", "--out", "out"), result_of_audit),
)


def write_recipes(folder: Path) -> None:
    """Write a recipe of training, `tiny.yaml`, and one of a paper's table, `mine.yaml`."""
    for name, text in (("tiny.yaml", _RECIPE), ("mine.yaml", _TABLE), ("mine.csv", _VALUES)):
        (folder / name).write_text(text, encoding="utf-8")


def make_inputs(folder: Path) -> None:
    """Write what the commands read: recipes, and a run with maps."""
    write_recipes(folder)
    assert _finish([*_RUN, "-e", "gradcam,hirescam", "-m", "ad", "--out", "maps"], folder) == 0


def kill_case(case: Case, inputs: Path, folder: Path, kills: int, draw: random.Random) -> Count:
    """Kill a command `kills` times, in trials of one to three kills and a last undisturbed session; compare each end."""
    whole, began = _copy(inputs, folder / case.name / "whole"), time.monotonic()
    assert _finish(case.words, whole) in (0, 3)
    seconds, expected = time.monotonic() - began, case.result(whole / "out")
    count, trial = Count(Counter()), 0
    while count.kills.total() < kills and trial < 10 * kills:
        place, trial = _copy(inputs, folder / case.name / str(trial)), trial + 1
        for _ in range(min(draw.randint(1, 3), kills - count.kills.total())):
            if moment := _kill(case, place, draw.uniform(0, seconds)):
                count.kills[moment] += 1
        count.half_files += len(list(place.glob("out/**/.*.tmp")))
        code = _finish(case.words, place)
        count.resumed += 1
        found = case.result(place / "out") if code in (0, 3) else {}
        if found != expected:
            count.different += 1
            differing = sorted(key for key in {*found, *expected} if found.get(key) != expected.get(key))
            click.echo(f"{case.name}, trial {trial}: exit code {code}, differs in {', '.join(differing)}")
        else:
            shutil.rmtree(place)
    return count


def _kill(case: Case, folder: Path, seconds: float) -> str:
    """Start the command and kill it after a time; return how far it was, empty if it was at its end."""
    process = _process(case.words, folder)
    process.start()
    process.join(seconds)
    ended = process.exitcode is not None
    with suppress(ProcessLookupError):
        os.killpg(process.pid or 0, signal.SIGKILL)
        os.kill(process.pid or 0, signal.SIGKILL)
    process.join()
    if ended:
        return ""
    files = [path for path in folder.glob("out/**/*") if path.is_file()]
    return "before the first file" if not files else "with results" if any(_is_result(path) for path in files) else "before a result"


def _is_result(path: Path) -> bool:
    return path.suffix in (".safetensors", ".resume") or "rows" in path.parts or "partial" in path.parts


def _finish(words: Any, folder: Path) -> int | None:
    process = _process(words, folder)
    process.start()
    process.join()
    return process.exitcode


def _process(words: Any, folder: Path) -> Any:
    return forkserver("helpers.kills").Process(target=_session, args=(list(words), folder))


def _session(words: list[str], folder: Path) -> None:
    """A command in a process group of its own; what is computed is written at once."""
    os.setsid()
    os.chdir(folder)
    output = os.open("output", os.O_WRONLY | os.O_CREAT | os.O_APPEND)
    for stream in (1, 2):
        os.dup2(output, stream)
    partial_results.SAVE_EVERY = 0.05
    sys.exit(run_cli(words))


def _copy(inputs: Path, folder: Path) -> Path:
    return Path(shutil.copytree(inputs, folder))


def _sorted(curves: pd.DataFrame) -> str:
    return curves.sort_values(list(curves.columns)).to_csv(index=False)


def _bytes(path: Path) -> dict[str, bytes]:
    return {name: tensor.numpy().tobytes() for name, tensor in load_file(path).items()}


def main(kills: int = 100, seed: int = 0, only: str = "") -> int:
    """Kill every command equally often and print the counts; return 1 if an end differs."""
    draw, bad = random.Random(seed), 0
    with tempfile.TemporaryDirectory() as name:
        inputs = Path(name) / "inputs"
        inputs.mkdir()
        make_inputs(inputs)
        chosen = [case for case in CASES if case.name in (only or case.name)]
        for case in chosen:
            count = kill_case(case, inputs, Path(name), kills // len(chosen), draw)
            where = ", ".join(f"{number} {moment}" for moment, number in sorted(count.kills.items()))
            click.echo(
                f"{case.name}: {count.kills.total()} kills ({where}; {count.half_files} unfinished files left), "
                f"{count.resumed} resumed to the end, {count.different} differ",
            )
            bad += count.different
    return min(bad, 1)


if __name__ == "__main__":
    sys.exit(main(*map(int, sys.argv[1:3]), *sys.argv[3:]))
