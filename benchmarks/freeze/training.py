"""Training: every recipe of benchmarks/shortcuts for one epoch on few images, and the probe."""

from __future__ import annotations

import subprocess
import sys
import time
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

import yaml
from neutral import store_training, write_text
from recorder import Recorder
from spelling import data_key

IMAGES, HELD_OUT, BATCH = 64, 32, 16


def trainings(recorder: Recorder) -> None:
    """Train by every recipe, in a process of its own; weights' hashes, provenance and log are stored."""
    recipes = [*_recipes(recorder), *_study(recorder)]
    train(recorder, recipes)
    probe = _read(recorder, "probe.yaml")
    write_text(yaml.safe_dump(small(probe)), recorder.work / "probe.yaml")
    recorder.call("probe", "--recipe", "probe.yaml", "--out", "trained", "--epochs", "1", "--device", "cpu", "--quiet")
    for recipe in (*recipes, probe):
        store_training(recorder.work / "trained", recipe["name"], recorder.out)


def train(recorder: Recorder, recipes: Sequence[dict[str, Any]]) -> None:
    """Train by recipes for one epoch each, with `camdbench.train`."""
    paths = list[str]()
    for recipe in recipes:
        path = recorder.work / f"{recipe['name']}.yaml"
        write_text(yaml.safe_dump(small(recipe) | {"batch_size": BATCH}), path)
        paths.append(str(path))
    subprocess.run([sys.executable, __file__, *paths], cwd=recorder.work, check=True)


def _train(paths: Sequence[str]) -> None:
    import torch

    import camdbench

    torch.set_num_threads(1)
    for path in paths:
        began = time.monotonic()
        camdbench.train(path, out="trained", epochs=1, device="cpu")
        print(f"{time.monotonic() - began:6.1f} s  camdbench.train({Path(path).name})", file=sys.stderr, flush=True)


def small(recipe: dict[str, Any]) -> dict[str, Any]:
    """Return the recipe on few images."""
    counts = {data_key(recipe, "limit"): IMAGES, data_key(recipe, "evaluation_limit"): HELD_OUT}
    return recipe | {"data": recipe["data"] | counts | {data_key(recipe, "evaluation"): ["val"]}}


def _recipes(recorder: Recorder) -> Iterator[dict[str, Any]]:
    for path in sorted((recorder.root / "benchmarks" / "shortcuts").glob("*.yaml")):
        if path.name not in ("probe.yaml", "guided.yaml"):
            yield _read(recorder, path.name)


def _study(recorder: Recorder) -> Iterator[dict[str, Any]]:
    """The losses of guided.yaml that no recipe of its own uses."""
    study = _read(recorder, "guided.yaml")
    for name in ("so", "ce-arch", "ria", "energy", "corm", "rrr"):
        yield study["base"] | study["models"][name] | {"name": f"guided-{name}"}


def _read(recorder: Recorder, name: str) -> dict[str, Any]:
    return yaml.safe_load((recorder.root / "benchmarks" / "shortcuts" / name).read_text(encoding="utf-8"))


if __name__ == "__main__":
    _train(sys.argv[1:])
