"""What a run holds: the same after every unit, no map longer than its batch, and no more images than a batch."""

from __future__ import annotations

from pathlib import Path
from typing import Any
from weakref import ref

from helpers import killed
from helpers.live_tensors import live_tensors, without_collection
from torch import Tensor

from camdbench.core.spec import Spec
from camdbench.datasets.samples import Dataset, Sample
from camdbench.explainers.common.trace import Trace
from camdbench.runner.config import RunConfig, check_config
from camdbench.runner.prepare import Unit, prepare
from camdbench.runner.resources import Resources
from camdbench.runner.worker import Worker

EXPLAINERS = "gradcam,gradcam(layer='layer3.0'),opticam(iterations=2),rise(masks=4)"
METRICS = "ad,adcc,insertion(step=16),max_sensitivity(samples=2),randomisation(layers=2),cgc_loss(negatives=2)"


class Watch:
    """Progress callbacks that count live tensors."""

    def __init__(self) -> None:
        self.found = list[tuple[int, int]]()

    def start(self, root: Path, total: int, done: int) -> None:
        """Do nothing."""

    def working(self, jobs: float, what: str) -> None:
        """Do nothing."""

    def advance(self, jobs: int, what: str) -> None:
        """Count."""
        self.found.append(live_tensors())


def test_units_leave_no_tensor_behind(tmp_path: Path) -> None:
    watch = Watch()
    with without_collection():
        killed.run(
            chunk_size=2,
            explainers=EXPLAINERS,
            metrics=METRICS,
            limit=8,
            dataset="shortcuts(size=32)",
            device="cpu",
            batch_size=2,
            save_maps="raw",
            out=tmp_path,
            progress=watch,
        )
    _, second, *others = watch.found  # the first one makes what the run keeps, such as reference images
    assert others == [second] * 2


def test_a_map_ends_with_its_batch(tmp_path: Path) -> None:
    alive, kept = list[int](), list[ref[Any]]()

    def mine(trace: Trace) -> Tensor:
        alive.append(sum(own() is not None for own in kept))
        map_ = trace.images.mean(1)
        kept.extend((ref(map_), ref(trace), ref(trace.activations)))
        return map_

    with without_collection():
        killed.run(
            explainers={"mine": mine}, metrics="ad,insertion(step=16)", limit=8, dataset="shortcuts(size=32)", batch_size=2, out=tmp_path
        )
    assert alive == [0] * 4
    assert [own() for own in kept] == [None] * 12


class Counted:
    """A data set that counts the images that are alive when one is read."""

    def __init__(self, data: Dataset) -> None:
        self.data, self.ids, self.labels, self.classes = data, data.ids, data.labels, data.classes
        self.samples, self.alive = list[ref[Tensor]](), list[int]()

    def __getitem__(self, index: int) -> Sample:
        sample = self.data[index]
        self.samples.append(ref(sample.image))
        self.alive.append(sum(own() is not None for own in self.samples))
        return sample

    def fingerprint(self) -> str:
        """Of the data."""
        return self.data.fingerprint()


def test_a_unit_holds_the_images_of_a_batch() -> None:
    config = RunConfig("gradcam", "ad", limit=12, dataset="shortcuts(size=32)", device="cpu", batch_size=3, workers=0)
    run = prepare(check_config(config), Resources(), in_memory=True)
    counted = Counted(run.resources.images)
    run.resources.__dict__["images"] = counted
    with without_collection():
        found = Worker(run.resources, None).run(Unit("shortcuts-ce", 0, 0, 12, (Spec("gradcam"),)))
    assert [len(result.ids) for result in found.results] == [3] * 4
    assert max(counted.alive) <= 4
