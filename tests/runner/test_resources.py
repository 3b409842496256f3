"""Reference images of a metric: the same for all images of a run, whichever part of the data set is scored."""

from __future__ import annotations

from pathlib import Path

import pytest
from helpers.toys import ToyData, toy_batch

import camdbench
from camdbench.core.errors import NotApplicable, SampleError
from camdbench.datasets.samples import Sample
from camdbench.runner.reference_images import ReferenceImages


class Damaged(ToyData):
    """Every second image cannot be read."""

    def __getitem__(self, index: int) -> Sample:
        if index % 2:
            raise SampleError("broken")
        return super().__getitem__(index)


def drawn(others: ReferenceImages, count: int) -> list[str]:
    return [sample.id for sample in others.samples(count)]


def test_the_seed_draws_them_and_fewer_are_a_part_of_more() -> None:
    first, again, other = (ReferenceImages(ToyData(toy_batch(12)), seed=seed, target="label") for seed in (0, 0, 1))
    eight = drawn(first, 8)
    assert drawn(first, 3) == eight[:3]
    assert drawn(again, 3) == eight[:3]
    assert len(set(eight)) == 8
    assert drawn(other, 8) != eight


def test_images_that_cannot_be_read_are_passed_over() -> None:
    others = ReferenceImages(Damaged(toy_batch(12)), seed=0, target="label")
    assert sorted(drawn(others, 6)) == sorted(f"image-{index}" for index in range(0, 12, 2))
    with pytest.raises(NotApplicable, match="compares with 6 other images, and the data set has 6 in all"):
        others.samples(7)


def test_batches_have_images_of_one_size() -> None:
    class Sizes(ToyData):
        def __getitem__(self, index: int) -> Sample:
            return Sample(self.ids[index], self.batch.images[index, :, : 8 + 8 * (index % 2)], self.labels[index])

    batches = list(ReferenceImages(Sizes(toy_batch(10)), seed=0, target="label").batches(9, 3))
    assert sum(map(len, batches)) == 9
    assert max(map(len, batches)) == 3
    assert {batch.images.shape[2] for batch in batches} == {8, 16}


def test_a_value_does_not_depend_on_the_part_of_the_data_set_that_is_judged(tmp_path: Path) -> None:
    spec = {"metrics": "cgc_loss(negatives=5)", "dataset": "shortcuts(count=40)", "device": "cpu"}
    few, more = (camdbench.run("gradcam,random", limit=limit, batch_size=3, out=tmp_path / str(limit), **spec) for limit in (2, 6))
    seen = {(row.explainer, row.image): row.value for row in more.itertuples()}
    assert few["value"].notna().all()
    assert len(few) == 4
    for row in few.itertuples():
        assert seen[row.explainer, row.image] == pytest.approx(row.value, abs=1e-5)
