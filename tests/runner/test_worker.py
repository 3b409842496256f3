"""A worker: the numbers of one chunk, batches that shrink, and images in the order of the units."""

from __future__ import annotations

from dataclasses import asdict, replace
from pathlib import Path

import numpy as np
import pytest
import torch
from helpers.each import each

import camdbench
from camdbench.core.spec import Spec
from camdbench.datasets.samples import Sample, batches
from camdbench.models.classifier import Classifier
from camdbench.runner.config import RunConfig, check_config
from camdbench.runner.prepare import Unit, prepare
from camdbench.runner.resources import Resources
from camdbench.runner.run_directory import PartKey, RunDirectory
from camdbench.runner.worker import SampleLoader, Worker, unit_batches

UNIT = Unit("shortcuts-ce", 0, 2, 7, (Spec("gradcam"), Spec("fakecam")))


def worker(batch_size: int = 2) -> Worker:
    config = RunConfig("gradcam,fakecam", "ad,ai", limit=8, dataset="shortcuts(size=32)", device="cpu", batch_size=batch_size)
    run = prepare(check_config(config), Resources(), in_memory=True)
    return Worker(run.resources, None)


def values(worker: Worker, unit: Unit = UNIT) -> dict[tuple[str, str], list[float]]:
    """Values by image and explainer, of the metrics in order."""
    found = worker.run(unit).results
    return {
        (result.explainer, name): [scores.values[place] for scores in result.scores.values()]
        for result in found
        for place, name in enumerate(result.ids)
    }


def test_values_of_a_chunk_are_those_of_explain_and_evaluate() -> None:
    own = worker()
    samples = [own.resources.images[index] for index in range(UNIT.start, UNIT.stop)]
    images, labels = torch.stack([sample.image for sample in samples]), [sample.label for sample in samples]
    model = camdbench.load_classifier("shortcuts-ce", device="cpu")
    found = values(own)
    assert len(found) == 2 * 5
    for spec in ("gradcam", "fakecam"):
        maps = camdbench.explain(model, images, spec, targets=labels).maps
        scores = camdbench.evaluate(model, images, labels, maps, "ad,ai").pivot_table("value", "image", "metric")[["ad", "ai"]]
        np.testing.assert_allclose([found[spec, sample.id] for sample in samples], scores, rtol=1e-4, atol=1e-3)


def test_the_usage_of_a_chunk_is_counted_once_for_both() -> None:
    found = worker().run(UNIT)
    assert found.unit == UNIT
    assert (found.passes.forward, found.passes.tail_backward) == (5 + 2 * 5, 5)
    assert found.batch_size == 2


def test_progress_within_a_unit_names_each_explainer_and_metric_that_begins() -> None:
    reports = list[tuple[float, str]]()
    worker(batch_size=2).run(UNIT, None, lambda jobs, what: reports.append((jobs, what)))
    shares = [0, 0.4, 0.8, 1.2, 1.6, 1.8]  # of 5 images in batches of 2, 2 and 1, and two explainers, before each of them
    assert [jobs for jobs, _ in reports] == pytest.approx([share for share in shares for _ in range(3)], abs=1e-12)
    begun = ["gradcam", "gradcam, ad", "gradcam, ai", "fakecam", "fakecam, ad", "fakecam, ai"]
    assert [what for _, what in reports] == [f"shortcuts-ce, images 2-6, {name}" for _ in range(3) for name in begun]


def test_a_batch_that_is_too_large_is_halved_for_all_that_follow(monkeypatch: pytest.MonkeyPatch) -> None:
    expected, forward, seen = values(worker()), Classifier.forward, list[int]()

    def cramped(self: Classifier, images: torch.Tensor) -> torch.Tensor:
        seen.append(len(images))
        if len(images) > 2:
            raise torch.OutOfMemoryError("CUDA out of memory")
        return forward(self, images)

    monkeypatch.setattr(Classifier, "forward", cramped)
    own = worker(batch_size=5)
    found = values(own)
    assert own.batch_size == 2
    assert [size for size in seen if size > 2] == [5]
    assert found.keys() == expected.keys()
    np.testing.assert_allclose([found[key] for key in expected], list(expected.values()), rtol=1e-4, atol=1e-3)


@pytest.mark.parametrize("workers", [0, 1])
def test_a_loader_hands_out_the_images_of_the_units_in_turn(workers: int) -> None:
    images = worker().resources.images
    units = [Unit("m", 1, 4, 7, ()), Unit("m", 0, 0, 2, ())]
    loader = SampleLoader(images, units, workers)
    assert [[item.id for item in loader.take(unit)] for unit in units] == [list(images.ids[4:7]), list(images.ids[:2])]
    loader.close()


def test_what_another_session_has_finished_meanwhile_is_skipped(tmp_path: Path) -> None:
    config = RunConfig("gradcam,fakecam", "ad", limit=4, dataset="shortcuts(size=32)", device="cpu", out=str(tmp_path / "run"))
    run = prepare(check_config(config), Resources())
    assert run.directory is not None
    (unit,), _ = run.missing()
    other, own = (Worker(run.resources, RunDirectory(run.directory.root)) for _ in range(2))
    assert own.directory is not None
    assert not own.directory.is_done(PartKey(run.row_names[0], "gradcam", 0))  # listed before the other one begins
    assert other.run(replace(unit, explainers=unit.explainers[:1])).skipped == 0
    files = {path: path.stat().st_mtime_ns for path in (tmp_path / "run" / "rows").rglob("*.parquet")}
    second, third = own.run(unit), own.run(unit)
    assert (second.skipped, second.unit, third.skipped) == (1, unit, 2)
    assert sum(asdict(third.passes).values()) == 0
    assert {path: path.stat().st_mtime_ns for path in files} == files
    assert run.missing()[0] == [unit]  # as listed once
    run.directory.list_again()
    assert run.missing()[0] == []


@each("seed", range(20))
def test_batches_of_a_stream_are_those_of_the_whole_unit_in_the_same_order(seed: int) -> None:
    """Fresh units: by size, as `batches` groups all of them. Resumed units: the same for each set of missing explainers."""
    random, specs = np.random.default_rng(seed), (Spec("a"), Spec("b"))
    sides = random.choice(random.choice([4, 5, 6], 1 + seed % 3, replace=False), 20).tolist()
    samples = [Sample(str(place), torch.full((3, 2, side), float(place)), place) for place, side in enumerate(sides)]
    found = list(unit_batches(iter(samples), specs, (), 3))
    assert [batch.ids for batch, _ in found] == [batch.ids for batch in batches(samples, 3)]
    assert {lacking for _, lacking in found} == {specs}
    there = {(str(spec), str(place)) for spec in specs for place in range(20) if random.random() < 0.4}
    resumed = [(lacking, batch.ids) for batch, lacking in unit_batches(iter(samples), specs, there, 3)]
    expected = list[tuple[tuple[Spec, ...], tuple[str, ...]]]()
    for lacking in (specs, specs[:1], specs[1:]):
        own = [one for one in samples if tuple(spec for spec in specs if (str(spec), one.id) not in there) == lacking]
        expected += [(lacking, batch.ids) for batch in batches(own, 3)]
    assert sorted(resumed, key=str) == sorted(expected, key=str)
