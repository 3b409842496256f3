"""Samples stack into batches, and what any of them lacks is left out."""

from __future__ import annotations

import torch
from helpers.toys import toy_batch

from camdbench.datasets.samples import Batch, Sample


def sample(name: str, **more: torch.Tensor) -> Sample:
    return Sample(name, torch.rand(3, 4, 5), label=2, **more)


def test_samples_stack_with_their_annotations() -> None:
    given = [sample(name, boxes=torch.zeros(count, 4), mask=torch.ones(4, 5, dtype=torch.bool)) for name, count in (("a", 1), ("b", 0))]
    batch = Batch.of(given)
    assert batch.ids == ("a", "b")
    assert len(batch) == 2
    assert torch.equal(batch.images[1], given[1].image)
    assert batch.labels.tolist() == [2, 2]
    assert [len(boxes) for boxes in batch.boxes or ()] == [1, 0]
    assert batch.masks is not None
    assert batch.masks.shape == (2, 4, 5)


def test_an_annotation_that_one_sample_lacks_is_left_out() -> None:
    batch = Batch.of([sample("a", boxes=torch.zeros(1, 4)), sample("b")])
    assert batch.boxes is None
    assert batch.masks is None


def test_a_part_keeps_annotations_beside_their_images() -> None:
    batch, part = toy_batch(4), toy_batch(4).part(1, 3)
    assert part.ids == batch.ids[1:3]
    assert torch.equal(part.images, batch.images[1:3])
    assert part.boxes is not None
    assert batch.boxes is not None
    assert torch.equal(part.boxes[0], batch.boxes[1])
    assert part.masks is not None
    assert len(part.masks) == len(part) == 2
    assert len(batch.part(3, 9)) == 1


def test_moving_to_a_device_keeps_everything() -> None:
    batch = toy_batch(2)
    moved = batch.to(torch.device("cpu"))
    assert moved.ids == batch.ids
    assert torch.equal(moved.images, batch.images)
    assert torch.equal(moved.labels, batch.labels)


def test_what_an_image_of_several_classes_shows_goes_with_it() -> None:
    """The masks of all classes, and which of them are there, through stacking, parts and mirroring."""
    masks = torch.zeros(3, 4, 5, dtype=torch.bool)
    masks[1, :, 0] = True
    present = torch.tensor([False, True, False])
    batch = Batch.of([sample("a", present=present, class_masks=masks), sample("b", present=~present, class_masks=~masks)])
    part = batch.part(0, 1).mirrored().to(torch.device("cpu"))
    assert part.present is not None
    assert part.class_masks is not None
    assert part.present.tolist() == [[False, True, False]]
    assert part.class_masks[0, 1, :, 4].all()
    assert part.class_masks.sum() == 4
    assert Batch.of([sample("a", present=present), sample("b")]).present is None
