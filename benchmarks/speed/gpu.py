"""Seconds and peak memory of jobs on a GPU beside their limit and other libraries, and whether the GPU agrees with the CPU.

    python benchmarks/speed/gpu.py --out gpu                       # at most 8 minutes
    python benchmarks/speed/gpu.py --out gpu --jobs Opti-CAM --networks resnet50 --modes fp32,tf32
    python benchmarks/speed/gpu.py --out gpu --small --device cpu  # seconds: a tiny network shows that everything runs

Every line is written to OUT/gpu.jsonl when it is measured, so that an interrupted measurement keeps what it has; OUT/gpu.csv and
OUT/machine.json follow. Parts are measured in the order of the modes: fp32 (TF32 off), tf32, bf16 (forward passes without gradients under
autocast). Each part may take the time that is left, divided by the parts that are left, twice over; then it has one round, not warmed up,
and what no time is left for is named. The limit of a job is that of `python benchmarks/speed`, with passes measured in the same mode;
bare passes are also measured as CUDA graphs and compiled. `goal` and `paper` are seconds per batch,
`largest_pass` is the number of images that camdbench passes at a time.
"""

from __future__ import annotations

import argparse
import json
import os
import sys
import threading
import time
import warnings
from collections.abc import Callable, Iterator
from pathlib import Path
from statistics import median
from typing import Any

import contestants
import pandas as pd
import torch
from agreement import agreement
from bare_passes import as_graph, compiled
from gpu_jobs import GOALS, MODES, NETWORKS, PAPER, PEERS, Part, plan
from jobs import TINY, Job
from machine import versions
from paces import Contestant, Work, best_paces, in_float64, limit, needed, network, passes_of_network, quantities
from passes import Passes

from camdbench.core.errors import CamdbenchWarning
from camdbench.models.classifier import Classifier
from camdbench.models.devices import machine, pick_device
from camdbench.models.float64_copy import float64_copy
from camdbench.models.zoo import load_classifier

COMPILED = (("resnet50", "tf32"), ("resnet50", "bf16"))  # network and mode; compiling takes most of a minute
BATCHES = {"forward": (1, 8, 32, 128), "both": (1, 8, 32)}
ROUNDS = 5


class Bench:
    """Measures parts within a budget of seconds and writes every line at once."""

    def __init__(self, given: argparse.Namespace) -> None:
        self.device, self.small = pick_device(given.device), given.small
        self.out, self.end = given.out, time.monotonic() + given.budget
        self.out.mkdir(parents=True, exist_ok=True)
        self.lines = list[dict[str, Any]]()
        self.paces = dict[tuple[str, str, str], Passes]()  # network, mode and dtype

    def write(self, **line: Any) -> None:
        """One line, on disk when this returns."""
        self.lines.append(line)
        with (self.out / "gpu.jsonl").open("a", encoding="utf-8") as file:
            file.write(json.dumps(line) + "\n")
        print(" ".join(f"{value:.4g}" if isinstance(value, float) else str(value) for value in line.values()), file=sys.stderr)

    def agree(self) -> None:
        """Differences between the device and the CPU."""
        for found in agreement(str(self.device), *(("gradcam,saliency", "ad,road", 1) if self.small else ())):
            facts = {"difference": found.difference, "tolerance": found.tolerance, "note": "" if found.holds else "DIFFERS"}
            self.write(part="agreement with the CPU", contestant=found.name, **facts)

    def measure(self, part: Part, seconds: float) -> None:
        """All lines of a part; what fails is named."""
        stop = min(self.end, time.monotonic() + seconds)
        _set_mode(part.mode)
        classifier = self.classifier(part)
        try:
            if part.job is None:
                self.bare(part, classifier, stop)
            else:
                self.race(part, classifier, part.job, stop)
        finally:
            _set_mode("fp32")

    def classifier(self, part: Part) -> Classifier:
        """The network of a part on the device, with random weights."""
        precision = "bf16" if part.mode == "bf16" else "fp32"
        if self.small:
            tiny = network(TINY)
            return Classifier(tiny.network.to(self.device), "4", mean=0.5, std=0.25, name=TINY, input_size=32, precision=precision)
        torch.manual_seed(0)
        return load_classifier(f"{part.network}@random", device=str(self.device), precision=precision)

    def bare(self, part: Part, classifier: Classifier, stop: float) -> None:
        """Passes of the network, which make the limits; then as CUDA graphs and compiled."""
        size, batches = (32, {"forward": (1, 2), "both": (1, 2)}) if self.small else (224, BATCHES)
        automatic = part.mode == "bf16"
        for dtype in ("float32", "float64") if part.mode == "fp32" else ("float32",):
            copy = float64_copy(classifier) if dtype == "float64" else classifier
            passes = passes_of_network(copy, size, double=dtype == "float64", batches=batches)
            timed = {name: self.time(_autocast(one, self.device) if automatic else one, stop) for name, one in passes.items()}
            for name, (seconds, facts) in timed.items():
                self.write(**_about(part), contestant=f"{name}, {dtype}", seconds=seconds / int(name.split()[-1]), **facts, note="")
            self.paces[part.network, part.mode, dtype] = best_paces({name: seconds for name, (seconds, _) in timed.items()})
        images = torch.rand(batches["both"][-1], 3, size, size, device=self.device)
        if self.device.type == "cuda":
            self.contest_all(part, "CUDA graph", lambda: as_graph(classifier.network, images, autocast=automatic), len(images), stop)
        if (part.network, part.mode) in COMPILED:
            self.contest_all(part, "compiled", lambda: compiled(classifier.network, images, autocast=automatic), len(images), stop)

    def contest_all(self, part: Part, how: str, make: Callable[[], dict[str, Contestant]], count: int, stop: float) -> None:
        """Lines of passes that are prepared first, which may fail."""
        try:
            passes = make()
        except Exception as error:
            self.write(**_about(part), contestant=how, note=_said(error))
            return
        for kind, one in passes.items():
            self.contest(part, f"{kind} {count}, {how}", one, count, stop)

    def race(self, part: Part, classifier: Classifier, job: Job, stop: float) -> None:
        """A job by camdbench, beside its limit, and by other libraries in fp32."""
        generator = torch.Generator().manual_seed(0)
        images = torch.rand(job.count, 3, job.size, job.size, generator=generator).to(self.device)
        work = Work(job, classifier, images, torch.zeros(job.count, dtype=torch.int64, device=self.device))
        door, contestant = next(iter(contestants.doors(work).items()))
        try:
            more = self.limits(part, work) | {"largest_pass": largest_pass(classifier, contestant)}
        except Exception as error:
            self.write(**_about(part), contestant=f"camdbench.{door}", note=_said(error))
        else:
            self.contest(part, f"camdbench.{door}", contestant, job.count, stop, **more)
        others, missing = contestants.others(work) if part.mode == "fp32" and time.monotonic() < stop else ({}, {})
        for name, contestant in others.items():
            self.contest(part, name, contestant, job.count, stop)
        for name, reason in missing.items():
            self.write(**_about(part), contestant=name, note=reason)

    def contest(self, part: Part, name: str, contestant: Contestant, count: int, stop: float, **more: Any) -> None:
        """One line of a contestant."""
        try:
            seconds, facts = self.time(contestant, stop)
        except Exception as error:
            self.write(**_about(part), contestant=name, note=_said(error))
            return
        if "limit" in more:
            facts["ratio"] = seconds / count / more["limit"]
        self.write(**_about(part), contestant=name, seconds=seconds / count, **facts, **more, note="")

    def limits(self, part: Part, work: Work) -> dict[str, float]:
        """Limit in seconds per image, goal and paper in seconds per batch."""
        known = {name: found[work.job.name] for name, found in (("goal", GOALS), ("paper", PAPER)) if work.job.name in found}
        single = self.paces.get((part.network, part.mode, "float32"))
        double = self.paces.get((part.network, "fp32", "float64"))
        if single is None or double is None:
            return known
        specs = contestants.specs_of(work.job)
        given = "evaluate" in contestants.doors(work)
        of_double = Passes() if given else in_float64(specs, quantities(work))
        return {"limit": limit(needed(work, specs, given_maps=given), of_double, single, double)} | known

    def time(self, contestant: Contestant, stop: float) -> tuple[float, dict[str, Any]]:
        """Median seconds of rounds after one that warms up, until the time to stop; with their number and the peak memory."""
        cuda = self.device.type == "cuda"
        if cuda:
            torch.cuda.synchronize()
            torch.cuda.reset_peak_memory_stats()
        found = list[float]()
        while len(found) <= (1 if self.small else ROUNDS) and not (found and time.monotonic() + found[-1] > stop):
            start = time.perf_counter()
            contestant()
            if cuda:
                torch.cuda.synchronize()
            found.append(time.perf_counter() - start)
        memory = {"peak_mib": torch.cuda.max_memory_allocated() / 2**20} if cuda else {}
        return median(found[1:] or found), {"rounds": len(found) - 1} | memory


def largest_pass(classifier: Classifier, contestant: Contestant) -> int:
    """Most images that a contestant passes at a time."""
    sizes = list[int]()
    handle = classifier.network.register_forward_pre_hook(lambda _, given: sizes.append(len(given[0])))
    try:
        contestant()
    finally:
        handle.remove()
    return max(sizes)


def _said(error: Exception) -> str:
    return f"{type(error).__name__}: {str(error).partition(chr(10))[0]}"


def _about(part: Part) -> dict[str, str | int]:
    batch = {"batch": part.job.batch, "size": part.job.size} if part.job else {}
    return {"part": part.name, "network": part.network, "mode": part.mode} | batch


def _set_mode(mode: str) -> None:
    """TF32 in matrix products and convolutions, or not."""
    torch.set_float32_matmul_precision("high" if mode == "tf32" else "highest")
    torch.backends.cudnn.allow_tf32 = mode == "tf32"


def _autocast(contestant: Contestant, device: torch.device) -> Contestant:
    def inside() -> object:
        with torch.autocast(device.type, torch.bfloat16):
            return contestant()

    return inside


def steps(bench: Bench, parts: list[Part]) -> Iterator[tuple[str, Callable[[float], None]]]:
    """What is done, in order, by its name; each is given its seconds."""
    yield "agreement with the CPU", lambda _: bench.agree()
    for part in parts:
        yield f"{part.name}, {part.network}, {part.mode}", lambda seconds, part=part: bench.measure(part, seconds)


def main() -> None:
    """Measure and write."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--out", type=Path, required=True, help="folder of the results")
    parser.add_argument("--device", default="cuda")
    parser.add_argument("--budget", type=float, default=440.0, help="seconds in all; half a minute later the process ends in any case")
    parser.add_argument("--jobs", default="", help="words, comma-separated: jobs whose name has one; default: all")
    parser.add_argument("--networks", default=",".join(NETWORKS), help="names in torchvision")
    parser.add_argument("--modes", default=",".join(MODES))
    parser.add_argument("--small", action="store_true", help="a tiny network and short jobs, also on a CPU")
    given = parser.parse_args()
    watch = threading.Timer(given.budget + 30, os._exit, [3])
    watch.daemon = True
    watch.start()
    warnings.simplefilter("ignore", CamdbenchWarning)  # of curves with few points
    try:
        bench = Bench(given)
        _measure_all(bench, list(steps(bench, plan(given))))
    finally:
        watch.cancel()


def _measure_all(bench: Bench, listed: list[tuple[str, Callable[[float], None]]]) -> None:
    about = machine(bench.device) | {"torch": torch.__version__, "cuda": torch.version.cuda} | versions(PEERS)
    (bench.out / "machine.json").write_text(json.dumps(about, indent=1), encoding="utf-8")
    for number, (name, step) in enumerate(listed):
        left = bench.end - time.monotonic()
        try:
            if left > 0:
                step(2 * left / (len(listed) - number))
            else:
                bench.write(part=name, note="no time was left")
        except Exception as error:
            bench.write(part=name, note=_said(error))
        pd.DataFrame(bench.lines).to_csv(bench.out / "gpu.csv", index=False, float_format="%.6g")


if __name__ == "__main__":
    main()
