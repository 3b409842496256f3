"""InMemorySplit in memory: lossless, and changed at random image by image."""

from __future__ import annotations

from dataclasses import replace

import pytest
import torch

from camdbench.core.errors import CamdbenchError, UsageError
from camdbench.core.registries import datasets
from camdbench.datasets.samples import Batch, Sample
from camdbench.trainer.augmentation import augment
from camdbench.trainer.distributed import ProcessGroup
from camdbench.trainer.in_memory_split import InMemorySplit, check_batch, load_images, open_split
from camdbench.trainer.recipe import Augment


def _random(seed: int = 0) -> torch.Generator:
    return torch.Generator().manual_seed(seed)


class _Odd:
    """A data set whose second image is larger."""

    ids, labels, classes = ("a", "b"), (0, 1), ("x", "y")

    def __getitem__(self, index: int) -> Sample:
        return Sample(self.ids[index], torch.zeros(3, 4 + index, 4), index)

    def fingerprint(self) -> str:
        return "odd"


class TestLoading:
    def test_what_is_held_is_what_was_drawn(self) -> None:
        dataset = open_split(datasets.parse_one("shortcuts(size=32)"), "val", 5)
        images = load_images(dataset)
        drawn = torch.stack([dataset[index].image for index in range(5)])
        batch = next(images.batches(5))
        assert torch.equal(batch.images, drawn)
        assert batch.labels.tolist() == list(dataset.labels)
        assert batch.ids == tuple(dataset.ids)
        assert torch.equal(batch.masks, torch.stack([dataset[index].mask for index in range(5)]))
        assert images.fingerprint == dataset.fingerprint()

    def test_a_split_that_is_not_there_is_refused(self) -> None:
        with pytest.raises(UsageError, match="split"):
            open_split(datasets.parse_one("shortcuts"), "test", None)

    def test_images_of_several_sizes_are_refused(self) -> None:
        with pytest.raises(CamdbenchError, match="image b has shape"):
            load_images(_Odd())

    def test_too_few_images_for_a_batch_are_refused(self) -> None:
        images = InMemorySplit(torch.zeros(3, 3, 2, 2, dtype=torch.uint8), torch.zeros(3, dtype=torch.int64), ("a",), "", ("x",) * 3)
        with pytest.raises(UsageError, match="batch_size=4"):
            check_batch(images, 4)


class TestShuffling:
    def test_every_image_comes_once_and_the_remainder_is_left_out(self) -> None:
        pixels = torch.arange(10, dtype=torch.uint8).reshape(10, 1, 1, 1).expand(10, 3, 2, 2)
        images = InMemorySplit(pixels, torch.arange(10), ("a",), "", tuple(map(str, range(10))))
        batches = list(images.shuffled(4, _random()))
        seen = torch.cat([batch.labels for batch in batches]).tolist()
        assert [len(batch) for batch in batches] == [4, 4]
        assert len(set(seen)) == 8
        assert seen != sorted(seen)
        for batch in batches:
            assert torch.allclose(batch.images[:, 0, 0, 0] * 255, batch.labels.float())
            assert batch.ids == tuple(map(str, batch.labels.tolist()))

    def test_a_share_keeps_its_labels_and_always_the_same(self) -> None:
        names = tuple(f"train-{index}" for index in range(400))
        images = InMemorySplit(torch.zeros(400, 3, 2, 2, dtype=torch.uint8), torch.arange(400), ("a",), "", names)
        some = images.partly_labelled(0.25, seed=3)
        assert 70 < int((some.labels >= 0).sum()) < 130
        assert torch.equal(some.labels, images.partly_labelled(0.25, seed=3).labels)
        assert not torch.equal(some.labels, images.partly_labelled(0.25, seed=4).labels)
        assert torch.equal(some.labels[some.labels >= 0], images.labels[some.labels >= 0])
        assert images.partly_labelled(1.0, seed=3) is images


class TestAugmenting:
    @pytest.fixture
    def batch(self) -> Batch:
        images = torch.rand(64, 3, 8, 8, generator=_random(7)) * 0.5 + 0.1
        return Batch(tuple(map(str, range(64))), images, torch.zeros(64, dtype=torch.int64), masks=images[:, 0] > 0.35)

    def test_nothing_is_changed_by_default(self, batch: Batch) -> None:
        found = augment(batch, Augment(), _random())
        assert torch.equal(found.images, batch.images)
        assert torch.equal(found.masks, batch.masks)

    def test_whoever_holds_a_part_of_a_batch_changes_it_as_whoever_holds_it_all(self, batch: Batch) -> None:
        how = Augment(flip=0.5, crop_scale=0.4, brightness=0.3, grayscale=0.3, pixel_dropout=0.2)
        random = _random()
        whole, after = augment(batch, how, random), random.get_state()
        share = ProcessGroup(1, 2).share(64, 4)
        kept = Batch(
            tuple(batch.ids[place] for place in share.places),
            batch.images[share.places],
            batch.labels[share.places],
            masks=batch.masks[share.places],
        )
        random = _random()
        part = augment(kept, how, random, share)
        assert torch.equal(part.images, whole.images[share.places])
        assert torch.equal(part.masks, whole.masks[share.places])
        assert torch.equal(random.get_state(), after)

    def test_a_flip_mirrors_about_half_and_their_masks(self, batch: Batch) -> None:
        found = augment(batch, Augment(flip=0.5), _random())
        mirrored = [torch.equal(one, other.flip(-1)) for one, other in zip(found.images, batch.images, strict=True)]
        kept = [torch.equal(one, other) for one, other in zip(found.images, batch.images, strict=True)]
        assert sum(mirrored) + sum(kept) == 64
        assert 20 < sum(mirrored) < 44
        assert torch.equal(found.masks, found.images[:, 0] > 0.35)

    def test_a_crop_takes_the_mask_along(self, batch: Batch) -> None:
        """The image is the mask: what is lit is the object."""
        lit = batch.masks.float()[:, None].expand(-1, 3, -1, -1)
        found = augment(replace(batch, images=lit), Augment(crop_scale=0.3, flip=0.5), _random())
        assert torch.equal(found.masks, found.images[:, 0] >= 0.5)
        assert not torch.equal(found.masks, batch.masks)

    def test_brightness_scales_each_image_by_its_own_factor(self, batch: Batch) -> None:
        factors = augment(batch, Augment(brightness=0.3), _random()).images / batch.images
        assert float(factors.amax((1, 2, 3)).sub(factors.amin((1, 2, 3))).max()) < 1e-5
        assert 0.7 <= float(factors.min()) < 0.8
        assert 1.2 < float(factors.max()) <= 1.3

    def test_grey_takes_all_colour(self, batch: Batch) -> None:
        found = augment(batch, Augment(grayscale=1.0), _random())
        assert torch.allclose(found.images, batch.images.mean(1, keepdim=True).expand_as(batch.images))

    def test_pixel_dropout_removes_pixels_in_all_colours_after_all_other_draws(self, batch: Batch) -> None:
        colour = torch.tensor([0.7, 0.6, 0.5])[None, :, None, None]
        plain = augment(batch, Augment(flip=0.5), _random())
        found = augment(batch, Augment(flip=0.5, pixel_dropout=0.1), _random(), None, colour)
        removed = (found.images == colour).all(1)
        assert torch.equal(found.images, torch.where(removed[:, None], colour, plain.images))
        assert removed.double().mean().item() == pytest.approx(0.1, abs=0.02)
        assert torch.equal(found.masks, plain.masks)


def test_boxes_are_filled_where_they_stand_for_masks() -> None:
    dataset = open_split(datasets.parse_one("shortcuts(size=32)"), "val", 4)
    masks = load_images(dataset, "boxes").masks
    for index in range(4):
        x0, y0, x1, y1 = dataset[index].boxes[0].int().tolist()
        literal = torch.zeros(32, 32, dtype=torch.bool)
        literal[y0:y1, x0:x1] = True
        assert torch.equal(masks[index], literal)


def test_images_of_several_classes_keep_them_all_and_their_masks_move_along() -> None:
    class _Several:
        ids, labels, classes = ("a", "b"), (0, 1), ("x", "y")

        def __getitem__(self, index: int) -> Sample:
            masks = torch.zeros(2, 4, 4, dtype=torch.bool)
            masks[index, :, 0] = True
            return Sample(self.ids[index], torch.zeros(3, 4, 4), index, mask=masks.any(0), present=masks.any(2).any(1), class_masks=masks)

        def fingerprint(self) -> str:
            return "several"

    assert load_images(_Several()).class_masks is None
    batch = next(load_images(_Several(), per_class=True).batches(2))
    assert batch.present.tolist() == [[True, False], [False, True]]
    found = augment(batch, Augment(flip=1.0), _random())
    assert torch.equal(found.class_masks, batch.class_masks.flip(-1))
    assert torch.equal(found.masks, found.class_masks.any(1))
    found = augment(batch, Augment(crop_scale=0.3), _random(1))
    assert torch.equal(found.masks, found.class_masks.any(1))
    assert not torch.equal(found.masks, batch.masks)
