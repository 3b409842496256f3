"""Jobs without a limit by passes: `compare`, `summarise`, ROAD's linear system, and the share of the default run that is not passes."""

from __future__ import annotations

import json
import os
import resource
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
from clock import clocked
from jobs import TINY, Job
from paces import BATCHES, Work, best_paces, in_float64, limit, needed, network, passes_of_network, quantities
from passes import Passes

import camdbench
from camdbench.core.registries import explainers
from camdbench.datasets.in_memory import InMemoryDataset, make_batch
from camdbench.functional.imputation import impute
from camdbench.models.classifier import Classifier
from camdbench.models.float64_copy import float64_copy
from camdbench.runner.config import RunConfig

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
    """`compare` and `summarise` on many images, and on a quarter of them, which shows whether they are linear."""
    with tempfile.TemporaryDirectory() as folder:  # imports, and first calls
        run = large_run(Path(folder), 8)
        camdbench.compare(run)
        camdbench.summarise(run)
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


def default_run_share(threads: int) -> Timed:
    """The share of `camdbench run` in a separate process that is not passes, imports included, by processor time.

    The time of the passes is that of bare passes through the embedded network, measured before and after it.
    """
    classifier, specs = network("shortcuts-ce"), list(explainers.parse(RunConfig().explainers))
    work = Work(
        Job("default", "shortcuts-ce", 96, 16, str(RunConfig().explainers), str(RunConfig().metrics)), classifier, *_pictures(16, 96)
    )
    before = _paces(classifier)
    took = _time_of_command(threads)
    paces = {dtype: Passes(*map(min, zip(own, _paces(classifier)[dtype], strict=True))) for dtype, own in before.items()}
    least = 64 * limit(needed(work, specs), in_float64(specs, quantities(work)), paces["float32"], paces["float64"])
    return Timed("default run, share that is not passes", "camdbench run", 1 - least / took, 0.08, f"{took:.1f} s in all, 64 images")


def _pictures(count: int, size: int) -> tuple[torch.Tensor, torch.Tensor]:
    return torch.rand(count, 3, size, size, generator=torch.Generator().manual_seed(0)), torch.zeros(count, dtype=torch.int64)


def _paces(classifier: Classifier) -> dict[str, Passes]:
    """Processor seconds of one pass per image in float32 and float64, the least of three."""
    found = dict[str, Passes]()
    for dtype in ("float32", "float64"):
        copy = float64_copy(classifier) if dtype == "float64" else classifier
        passes = passes_of_network(copy, 96, double=dtype == "float64", batches=BATCHES)
        found[dtype] = best_paces({name: min(clocked(one).processor for _ in range(4)) for name, one in passes.items()})
    return found


def _time_of_command(threads: int) -> float:
    """Processor seconds of `camdbench run` with its defaults."""
    before = resource.getrusage(resource.RUSAGE_CHILDREN)
    with tempfile.TemporaryDirectory() as folder:
        words = [sys.executable, "-m", "camdbench", "run", "--device", "cpu", "--quiet", "--out", f"{folder}/run"]
        subprocess.run(words, check=True, stdout=subprocess.DEVNULL, env=os.environ | {"OMP_NUM_THREADS": str(threads)})
    after = resource.getrusage(resource.RUSAGE_CHILDREN)
    return after.ru_utime + after.ru_stime - before.ru_utime - before.ru_stime
