"""Resident memory of a run while it goes on, and processor time and memory of the start of a run of many images.

    python benchmarks/memory.py                                   # 5,000 images from files and 5,000 generated ones
    python benchmarks/memory.py --explainers gradcam --metrics ad --images 2000
    python benchmarks/memory.py --start 50000                     # lists, checks, fingerprints and plans instead of running

Each case has a process of its own, with the settings of the commands and the network shortcuts-ce. Resident memory is read after a unit,
behind a garbage collection; where the last column is larger, that was garbage. The growth compares the last line with that of 500
images; the exit code is 1 if it is beyond 5 %.

A start is that of `camdbench run` up to the first batch, from files whose hashes are kept, with the largest resident memory of the process.
"""

from __future__ import annotations

import argparse
import gc
import json
import os
import subprocess
import sys
import tempfile
import time
from pathlib import Path
from typing import Any

LIMIT = 0.05  # growth from 500 images to the end
EVERY = 500  # images between two lines
SIZE = 32  # side of the images in pixels
CASES = ("folder", "generated")
STARTS = ("folder", "imagenet", "table", "coco")

Line = tuple[int, float, float, float]  # images; resident memory before and after a collection; the latter without pages of files


def resident(name: str = "VmRSS") -> float:
    """Resident memory of this process in MB (10^6 bytes); `RssAnon`: without pages of files, which the system may take back."""
    lines = Path("/proc/self/status").read_text(encoding="ascii").splitlines()
    return next(int(line.split()[1]) * 1024 / 1e6 for line in lines if line.startswith(f"{name}:"))


def write_pictures(root: Path, count: int, classes: list[str]) -> list[str]:
    """Write a folder per class with links to one picture each, and return the paths of the pictures, which go from class to class."""
    from PIL import Image

    from camdbench.datasets.shortcuts.dataset import shortcuts

    data, first, found = shortcuts(size=SIZE), dict[str, Path](), list[str]()
    for index in range(count):
        name = classes[index % len(classes)]
        file = root / name / f"{index:07d}.png"
        if name not in first:
            file.parent.mkdir(parents=True, exist_ok=True)
            pixels = data[index % len(data.ids)].image.permute(1, 2, 0)
            Image.fromarray((pixels * 255).byte().numpy()).save(file)
            first[name] = file
        else:
            try:
                os.link(first[name], file)
            except OSError:  # a file system has a limit of links to one file
                file.write_bytes(first[name].read_bytes())
                first[name] = file
        found.append(file.relative_to(root).as_posix())
    return found


class Watch:
    """Progress callbacks that read the memory."""

    def __init__(self) -> None:
        self.images, self.lines = 0, list[Line]()

    def start(self, root: Path, total: int, done: int) -> None:
        """Do nothing."""

    def advance(self, jobs: int, what: str) -> None:  # noqa: ARG002 - a callback of runs
        """Read the memory each time when `EVERY` images more are done; `what` ends in their places."""
        before, self.images = self.images, int(what.rpartition("-")[2]) + 1
        if self.images // EVERY > before // EVERY:
            size = resident()
            gc.collect()
            self.lines.append((self.images, size, resident(), resident("RssAnon")))


def watch_run(case: str, work: Path, images: int, explainers: str, metrics: str) -> list[Line]:
    """Run one case and read the memory."""
    import torch

    import camdbench

    camdbench.reuse_freed_memory()
    torch.set_num_threads(1)
    watch, options = Watch(), dict[str, Any](explainers=explainers, metrics=metrics, limit=images, device="cpu", out=work / "run")
    if case == "folder":
        write_pictures(work / "pictures", images, [f"class-{number}" for number in range(8)])
        options |= {"dataset": f"folder(preprocess='keep', size={SIZE})", "data_root": work / "pictures"}
    else:
        options |= {"dataset": f"shortcuts(size={SIZE}, count={images})"}
    camdbench.run(**options, progress=watch)
    return watch.lines


def start_run(case: str, work: Path, images: int) -> list[tuple[str, float, float]]:
    """Prepare a run of one case twice, the second time with kept hashes: steps, their processor time, and resident memory behind them."""
    import torch

    from camdbench.core.imagenet_classes import imagenet_classes
    from camdbench.runner import run as runs
    from camdbench.runner.prepare import prepare

    torch.set_num_threads(1)
    options = _start_options(case, work, images, [item.wnid for item in imagenet_classes()])
    lines = list[tuple[str, float, float]]()
    for name in ("first start", "next start"):
        start = time.process_time()
        with runs._opened(None, options | {"out": work / "run"}, None) as (request, objects):  # pyright: ignore[reportPrivateUsage]
            prepared = prepare(request, objects)
            lines.append((f"{name}: record", time.process_time() - start, resident()))
            prepared.missing()
            lines.append((f"{name}: units", time.process_time() - start, resident()))
        time.sleep(3 if name == "first start" else 0)  # hashes of files that have just been written are not kept
    start = time.process_time()
    runs.plan(None, **options)
    lines.append(("dry run", time.process_time() - start, resident()))
    return lines


def _start_options(case: str, work: Path, images: int, wnids: list[str]) -> dict[str, Any]:
    """Write the files of a case; options of its run."""
    base: dict[str, Any] = {"explainers": "gradcam", "metrics": "ad", "device": "cpu", "target": "predicted"}
    if case == "imagenet":
        write_pictures(work / "val", images, wnids)
        return base | {"dataset": f"imagenet(preprocess='keep', size={SIZE})", "data_root": work}
    names = write_pictures(work / "images", images, [f"class-{number}" for number in range(8)])
    if case == "folder":
        rows = [f"{name},4,4,20,20" for name in names]
        (work / "boxes.csv").write_text("\n".join(["image,x0,y0,x1,y1", *rows]), encoding="utf-8")
        return base | {"dataset": f"folder(preprocess='keep', size={SIZE})", "data_root": work}
    own = {"images": str(work / "images"), "preprocess": "keep", "classes": "positions"}
    if case == "table":
        rows = [f"{name},{name.partition('/')[0]},4,4,20,20" for name in names]
        (work / "table.csv").write_text("\n".join(["image,label,x0,y0,x1,y1", *rows]), encoding="utf-8")
        return base | own | {"dataset": str(work / "table.csv")}
    corners = [4, 4, 20, 4, 20, 20, 4, 20]
    content = {
        "images": [{"id": place, "file_name": name, "height": SIZE, "width": SIZE} for place, name in enumerate(names)],
        "categories": [{"id": number, "name": f"class-{number}"} for number in range(8)],
        "annotations": [
            {"id": place, "image_id": place, "category_id": place % 8, "bbox": [4, 4, 16, 16], "segmentation": [corners], "area": 256}
            for place in range(len(names))
        ],
    }
    (work / "coco.json").write_text(json.dumps(content), encoding="utf-8")
    return base | own | {"dataset": str(work / "coco.json")}


def growth(lines: list[Line]) -> float:
    """Relative growth from the first line to the last, of resident memory or of its part without files, whichever grew more.

    >>> round(growth([(500, 210.0, 200.0, 100.0), (1000, 230.0, 190.0, 102.0)]), 3)
    0.02
    """
    return max(lines[-1][column] / lines[0][column] - 1 for column in (2, 3))


def main() -> int:
    """Run the cases, each in its own process, and print their tables."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--images", type=int, default=5000)
    parser.add_argument("--explainers", default="gradcam,opticam(iterations=2),fakecam")
    parser.add_argument("--metrics", default="ad,ag,insertion(step=64),pointing")
    parser.add_argument("--start", type=int, default=0, help="images of a start")
    parser.add_argument("--cases", nargs="*", help="by default all")
    parser.add_argument("--case", help=argparse.SUPPRESS)  # in the process of one case
    given = parser.parse_args()
    if given.case is not None:
        with tempfile.TemporaryDirectory() as work:
            os.environ.setdefault("CAMDBENCH_HOME", f"{work}/home")
            if given.start:
                found: Any = start_run(given.case, Path(work), given.start)
            else:
                found = watch_run(given.case, Path(work), given.images, given.explainers, given.metrics)
        print(json.dumps(found))
        return 0
    worst = 0.0
    for case in given.cases or (STARTS if given.start else CASES):
        words = [sys.executable, __file__, "--case", case, *sys.argv[1:]]
        done = subprocess.run(words, stdout=subprocess.PIPE, text=True, check=True)
        lines = json.loads(done.stdout.splitlines()[-1])
        if given.start:
            print(f"\n{case}, {given.start} images: processor time from the start of each, resident memory")
            print("\n".join(f"{step:<20} {seconds:8.2f} s {size:8.1f} MB" for step, seconds, size in lines), flush=True)
            continue
        worst = max(worst, growth(lines))
        print(f"\n{case}: images, resident memory in MB, without files, before a collection")
        print("\n".join(f"{images:6d} {after:8.1f} {anonymous:8.1f} {before:8.1f}" for images, before, after, anonymous in lines))
        print(f"growth {100 * growth(lines):+.1f} %", flush=True)
    return int(worst > LIMIT)


if __name__ == "__main__":
    sys.exit(main())
