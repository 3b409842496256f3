"""How many images per second are read for the network, against torchvision's own pictures and transforms in a bare DataLoader.

OMP_NUM_THREADS=1 python benchmarks/speed/loader.py --count 1000 --workers 0 1 2
"""

from __future__ import annotations

import argparse
import resource
import tempfile
import time
from collections.abc import Callable
from pathlib import Path

import numpy as np
import torch
from PIL import Image, ImageFilter
from torch.utils.data import DataLoader
from torchvision.datasets import ImageFolder
from torchvision.transforms import v2

from camdbench.datasets.folder import folder
from camdbench.datasets.loading import prefetch

SIDES = (500, 375)  # the commonest size in ImageNet


def make(root: Path, count: int) -> None:
    """Write JPEGs of ImageNet's size and about its number of bytes, in four classes."""
    random = np.random.default_rng(0)
    for number in range(count):
        noise = Image.fromarray(random.integers(0, 256, (SIDES[1] // 4, SIDES[0] // 4, 3), dtype=np.uint8))
        file = root / f"class-{number % 4}" / f"{number:05d}.jpg"
        file.parent.mkdir(parents=True, exist_ok=True)
        noise.resize(SIDES, Image.Resampling.BICUBIC).filter(ImageFilter.GaussianBlur(1)).save(file, quality=90)


def camdbench_reads(root: Path, workers: int) -> int:
    """Our loader: samples with ids, labels, and damaged images told apart."""
    data = folder(root)
    return sum(1 for _ in prefetch(data, range(len(data.ids)), workers=workers))


def torchvision_reads(root: Path, workers: int) -> int:
    """ImageFolder with the evaluation transforms, in batches of 32."""
    transform = v2.Compose([v2.Resize(256), v2.CenterCrop(224), v2.PILToTensor(), v2.ToDtype(torch.float32, scale=True)])
    loader = DataLoader(ImageFolder(str(root), transform=transform), batch_size=32, num_workers=workers)
    return sum(len(images) for images, _ in loader)


def rate(reads: Callable[[Path, int], int], root: Path, workers: int, repeats: int) -> float:
    """The best of some measurements, in images per second."""
    found = []
    for _ in range(repeats):
        start = time.perf_counter()
        count = reads(root, workers)
        found.append(count / (time.perf_counter() - start))
    return max(found)


def main() -> None:
    """Make the images, measure, print a table."""
    parser = argparse.ArgumentParser(description="images per second of the loader")
    parser.add_argument("--count", type=int, default=1000, help="number of images")
    parser.add_argument("--workers", type=int, nargs="+", default=[0, 1, 2], help="numbers of processes")
    parser.add_argument("--repeats", type=int, default=3, help="measurements, of which the best counts")
    parser.add_argument("--memory", type=int, default=0, help="also read so many images in all and print the growth of memory")
    arguments = parser.parse_args()
    torch.set_num_threads(1)
    with tempfile.TemporaryDirectory() as folder_name:
        root = Path(folder_name)
        make(root, arguments.count)
        size = sum(file.stat().st_size for file in root.rglob("*.jpg")) / arguments.count
        print(f"{arguments.count} JPEGs of {SIDES[0]} x {SIDES[1]}, {size / 1e3:.0f} kB each")
        print(f"{'workers':>8}{'camdbench':>12}{'torchvision':>12}   images/s")
        for workers in arguments.workers:
            ours, theirs = (rate(reads, root, workers, arguments.repeats) for reads in (camdbench_reads, torchvision_reads))
            print(f"{workers:>8}{ours:>12.0f}{theirs:>12.0f}")
        if arguments.memory:
            _print_memory(root, arguments.memory, max(arguments.workers))


def _print_memory(root: Path, count: int, workers: int) -> None:
    """The peak of this process's memory after every fifth of the images."""
    data = folder(root)
    positions = [index % len(data.ids) for index in range(count)]
    for number, _ in enumerate(prefetch(data, positions, workers=workers), 1):
        if number % (count // 5) == 0:
            print(f"{number:>8} images, peak {resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1e3:.0f} MB")


if __name__ == "__main__":
    main()
