"""Jobs without a limit by passes: `compare`, `summarise`, ROAD's linear system, and the share of the default run that is not passes."""

from __future__ import annotations

import json
import subprocess
import sys
import tempfile
from collections.abc import Iterator
from pathlib import Path
from time import perf_counter
from typing import Any, NamedTuple

import numpy as np
import pandas as pd
import torch
from jobs import TINY
from paces import network

import camdbench
from camdbench.datasets.in_memory import InMemoryDataset, make_batch

EXPLAINERS, METRICS = "gradcam,gradcampp,eigencam,random", "complexity,entropy,sparseness,effective_complexity"


class Timed(NamedTuple):
    """Wall seconds of a job that has no limit by passes, with the goal in the same unit."""

    job: str
    contestant: str
    seconds: float
    goal: float
    note: str


def large_run(folder: Path, images: int) -> Path:
    """A run directory of four explainers and metrics over many images: a small run whose rows are repeated with other values."""
    pictures = torch.rand(4, 3, 32, 32, generator=torch.Generator().manual_seed(0))
    data, run = InMemoryDataset(make_batch(pictures, labels=torch.zeros(4, dtype=torch.int64))), folder / "run"
    camdbench.run(EXPLAINERS, METRICS, models=network(TINY), dataset=data, device="cpu", out=run, progress=False)
    ids, random = [f"{number:06d}" for number in range(images)], np.random.default_rng(0)
    for part in (run / "rows").rglob("*.parquet"):
        table = pd.read_parquet(part)
        own = table[table["image"] == table["image"].iloc[0]]
        rows = pd.concat([own] * images, ignore_index=True).assign(image=np.repeat(ids, len(own)))
        rows["value"] = random.uniform(0, 1, len(rows))
        rows.astype(table.dtypes.to_dict()).to_parquet(part)
    record = json.loads((run / "run.json").read_text(encoding="utf-8"))
    (run / "run.json").write_text(json.dumps(record | {"ids": ids}), encoding="utf-8")
    return run


def tables(images: int) -> Iterator[Timed]:
    """`compare` and `summarise` on many images, and on a quarter of them."""
    for count in (images // 4, images):
        with tempfile.TemporaryDirectory() as folder:
            run = large_run(Path(folder), count)
            for name, function in (("compare", camdbench.compare), ("summarise", camdbench.summarise)):
                start = perf_counter()
                function(run)
                goal = 2.0 * count / 8000
                yield Timed(f"{name}, {count:,} images", "camdbench", perf_counter() - start, goal, "4 explainers x 4 metrics")


def imputation(size: int, rounds: int) -> Iterator[Timed]:
    """ROAD's linear system, seconds per image and percentage, beside grad-cam's sparse solver; with the largest difference."""
    from camdbench.functional.imputation import impute

    generator = torch.Generator().manual_seed(0)
    coarse = torch.rand(1, 3, 8, 8, generator=generator)
    image = torch.nn.functional.interpolate(coarse, (size, size), mode="bicubic", align_corners=False).clamp(0, 1)[0]
    order = torch.rand(size * size, generator=generator).argsort().argsort().reshape(size, size)
    known = order >= size * size // 2
    solvers: dict[str, Any] = {"camdbench": lambda: impute(image[None], known[None])[0]}
    try:
        from pytorch_grad_cam.metrics.road import NoisyLinearImputer

        solvers["grad-cam"] = lambda: NoisyLinearImputer(noise=0)(image, known.float())
    except ImportError:
        pass
    seconds, results = {name: list[float]() for name in solvers}, dict[str, torch.Tensor]()
    for _ in range(rounds + 1):
        for name, solve in solvers.items():
            start = perf_counter()
            results[name] = solve()
            seconds[name].append(perf_counter() - start)
    ours = results["camdbench"]
    for name, took in seconds.items():
        note = f"largest difference {float((results[name] - ours).abs().max()):.0e}" if name != "camdbench" else "half of the pixels"
        yield Timed(f"ROAD's linear system, {size} px", name, sorted(took[1:])[rounds // 2], 0.1, note)


class DefaultRun(NamedTuple):
    """Processor seconds of `camdbench run` in a process of its own, imports included, and of its maps and metrics alone."""

    whole: float
    images: int


def default_run(limit: int, threads: int) -> DefaultRun:
    """Time `camdbench run --limit N` with all its other defaults."""
    import resource

    before = resource.getrusage(resource.RUSAGE_CHILDREN)
    with tempfile.TemporaryDirectory() as folder:
        words = [sys.executable, "-m", "camdbench", "run", "--device", "cpu", "--quiet", "--limit", str(limit), "--out", f"{folder}/run"]
        environment = {**__import__("os").environ, "OMP_NUM_THREADS": str(threads)}
        subprocess.run(words, check=True, stdout=subprocess.DEVNULL, env=environment)
    after = resource.getrusage(resource.RUSAGE_CHILDREN)
    return DefaultRun(after.ru_utime + after.ru_stime - before.ru_utime - before.ru_stime, limit)
