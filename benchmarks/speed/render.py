"""How many images of the embedded data set are rendered per second, on one core.

OMP_NUM_THREADS=1 python benchmarks/speed/render.py --size 96 --count 500
"""

from __future__ import annotations

import argparse
import time

from camdbench.datasets.shortcuts.dataset import shortcuts


def main() -> None:
    """Render, and print images per second."""
    parser = argparse.ArgumentParser(description="images per second of the embedded data set")
    parser.add_argument("--size", type=int, default=96, help="side in pixels")
    parser.add_argument("--count", type=int, default=500, help="number of images")
    arguments = parser.parse_args()
    dataset = shortcuts(size=arguments.size, count=arguments.count)
    _ = dataset[0]  # fills the caches
    wall, core = time.perf_counter(), time.process_time()
    for index in range(arguments.count):
        _ = dataset[index]
    wall, core = time.perf_counter() - wall, time.process_time() - core
    print(f"{arguments.count / wall:.0f} images/s at {arguments.size} px, {arguments.count / core:.0f} per second of processor time")


if __name__ == "__main__":
    main()
