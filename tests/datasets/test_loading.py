"""Samples come out in order and the same, whichever process read them; memory does not grow."""

from __future__ import annotations

import dataclasses
import gc
import multiprocessing
import resource
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
import torch
from helpers import dataset_layouts as fixtures
from PIL import Image

from camdbench.core.errors import CamdbenchError, UsageError
from camdbench.datasets.folder import folder
from camdbench.datasets.loading import Read, UnreadableImage, prefetch
from camdbench.datasets.samples import Dataset, Sample
from camdbench.datasets.shortcuts.dataset import shortcuts
from camdbench.runner.run import run

STATM = Path("/proc/self/statm")


@pytest.fixture(scope="module")
def jpegs(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """300 JPEGs of four classes, of which every thirtieth is damaged."""
    root = tmp_path_factory.mktemp("jpegs")
    random = np.random.default_rng(0)
    for number in range(300):
        home = root / f"class-{number % 4}"
        home.mkdir(exist_ok=True)
        file = home / f"{number:04d}.jpg"
        Image.fromarray(random.integers(0, 256, (24, 32, 3), dtype=np.uint8)).save(file)
        if number % 30 == 7:
            file.write_bytes(file.read_bytes()[:60])
    return root


def described(read: Read) -> tuple[object, ...]:
    """All that a sample holds, as something that can be compared."""
    if isinstance(read, UnreadableImage):
        return tuple(read)
    held = {field.name: getattr(read, field.name) for field in dataclasses.fields(read)}
    return tuple((name, value.numpy().tobytes() if isinstance(value, torch.Tensor) else value) for name, value in held.items())


class TestTheSame:
    def test_300_jpegs_with_0_1_and_2_workers(self, jpegs: Path) -> None:
        data = folder(jpegs, size=16)
        alone = [described(found) for found in prefetch(data, range(300))]
        assert len(alone) == 300
        assert sum(len(found) == 3 for found in alone) == 10, "the damaged ones, with their reasons"
        for workers in (1, 2):
            assert [described(found) for found in prefetch(data, range(300), workers=workers)] == alone

    def test_a_run_over_them_has_the_same_rows(self, jpegs: Path, tmp_path: Path) -> None:
        found = [
            run(
                "centre",
                "ad",
                dataset="folder(size=16)",
                data_root=jpegs,
                target=1,
                batch_size=32,
                workers=workers,
                out=tmp_path / f"{workers}",
                device="cpu",
            ).drop(columns="run")
            for workers in (0, 1, 2)
        ]
        assert len(found[0]) == 300
        assert found[0]["status"].value_counts().to_dict() == {"ok": 290, "error": 10}
        assert found[1].equals(found[0])
        assert found[2].equals(found[0])

    @pytest.mark.parametrize("workers", [0, 1, 2])
    def test_boxes_and_masks_travel_too(self, tmp_path: Path, workers: int) -> None:
        fixtures.folder(tmp_path)
        data = folder(tmp_path, size=32)
        found = list(prefetch(data, [2, 0, 1], workers=workers))
        assert [described(item) for item in found] == [described(data[index]) for index in (2, 0, 1)]

    def test_positions_may_be_in_any_order_and_repeat(self) -> None:
        data = shortcuts(size=32, count=9)
        order = [5, 0, 8, 5, 1]
        assert [item.id for item in prefetch(data, order, workers=2)] == [data.ids[index] for index in order]

    @pytest.mark.parametrize("ahead", [1, 3, 500])
    def test_how_many_may_wait_changes_nothing(self, ahead: int) -> None:
        data = shortcuts(size=32, count=12)
        assert [item.id for item in prefetch(data, range(12), workers=2, ahead=ahead)] == list(data.ids)

    @pytest.mark.parametrize("workers", [0, 2])
    def test_the_callers_random_numbers_do_not_move(self, workers: int) -> None:
        before = torch.get_rng_state()
        list(prefetch(shortcuts(split="val", count=4, size=32), range(4), workers=workers))
        assert torch.equal(torch.get_rng_state(), before)

    def test_nothing_is_nothing(self) -> None:
        assert list(prefetch(shortcuts(size=32, count=3), [], workers=2)) == []


class Faulty:
    """A data set with a mistake in its program."""

    ids, labels, classes = ("a", "b", "c"), (0, 0, 0), ("x",)

    def __getitem__(self, index: int) -> Sample:
        return [][index]

    def fingerprint(self) -> str:
        return ""


class TestEnds:
    @pytest.mark.parametrize("workers", [0, 1])
    def test_a_mistake_of_the_program_is_no_damaged_image(self, workers: int) -> None:
        faulty: Dataset = Faulty()
        with pytest.raises(CamdbenchError, match=r"^data set, image a: IndexError: list index out of range$"):
            list(prefetch(faulty, range(3), workers=workers))

    def test_no_process_is_left_when_the_caller_stops_early(self) -> None:
        before = set(multiprocessing.active_children())
        samples = prefetch(shortcuts(size=32, count=200), range(200), workers=2, ahead=4)
        next(samples)
        assert len(set(multiprocessing.active_children()) - before) == 2
        samples.close()
        assert not set(multiprocessing.active_children()) - before

    def test_bad_numbers_are_refused_at_once(self) -> None:
        with pytest.raises(UsageError, match="--workers -1: expected 0 or more processes"):
            prefetch(shortcuts(size=32, count=2), [0], workers=-1)
        with pytest.raises(UsageError, match="ahead=0"):
            prefetch(shortcuts(size=32, count=2), [0], ahead=0)


class Recorded:
    """The samples of another data set, and how many were read."""

    def __init__(self, data: Dataset) -> None:
        self.data, self.ids, self.labels, self.classes = data, data.ids, data.labels, data.classes
        self.count = multiprocessing.Value("i", 0)

    def __getitem__(self, index: int) -> Sample:
        with self.count.get_lock():
            self.count.value += 1
        return self.data[index]

    def fingerprint(self) -> str:
        return ""


class TestBounds:
    @pytest.mark.skipif(multiprocessing.get_start_method() != "fork", reason="counts in memory that forked processes share")
    def test_no_more_is_read_ahead_than_may_wait(self) -> None:
        import time

        recorded = Recorded(shortcuts(size=32, count=300))
        samples = prefetch(recorded, range(300), workers=2, ahead=8)
        next(samples)
        time.sleep(1)  # long enough to read all three hundred
        assert 1 <= recorded.count.value <= 8 + 2 + 1
        samples.close()

    @pytest.mark.skipif(not STATM.is_file(), reason="reads what Linux tells of memory")
    def test_memory_is_flat_over_1500_images(self, jpegs: Path) -> None:
        """1,350 samples, kept, would be 66 MB; held now, not at the peak, which earlier tests may have left higher."""
        data, held = folder(jpegs, size=64), list[int]()
        for number, _ in enumerate(prefetch(data, [index % 300 for index in range(1500)]), 1):
            if number % 150 == 0:
                gc.collect()
                held.append(int(STATM.read_text().split()[1]) * resource.getpagesize())
        assert len(held) == 10
        assert held[-1] - held[0] < 10_000_000


SCRIPT = """import multiprocessing
multiprocessing.set_start_method({method!r})
import os
os.cpu_count = lambda: 4
from camdbench.datasets.loading import default_workers, prefetch
from camdbench.datasets.shortcuts.dataset import shortcuts
data = shortcuts(split="val", count=256, size=32)
workers = default_workers(256, on_disk=True)
print(workers, len(list(prefetch(data, range(4), workers=workers))))
"""


@pytest.mark.parametrize(("method", "workers"), [("spawn", 0), ("fork", 3)])
def test_a_script_without_a_main_guard_is_not_run_again_by_processes_that_it_did_not_ask_for(
    tmp_path: Path, method: str, workers: int
) -> None:
    script = tmp_path / "script.py"
    script.write_text(SCRIPT.format(method=method))
    done = subprocess.run([sys.executable, str(script)], capture_output=True, text=True, check=False)
    assert (done.returncode, done.stdout) == (0, f"{workers} 4\n"), done.stderr
