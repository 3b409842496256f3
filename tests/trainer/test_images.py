"""Images in memory: lossless, and changed at random image by image."""

from __future__ import annotations

import pytest
import torch

from camdbench.core.catalogue import datasets
from camdbench.core.errors import CamdbenchError, UsageError
from camdbench.datasets.samples import Sample
from camdbench.trainer.images import Images, augmented, check_batch, load_images, open_split
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
        pixels, labels = next(images.batches(5))
        assert torch.equal(pixels, drawn)
        assert labels.tolist() == list(dataset.labels)
        assert images.fingerprint == dataset.fingerprint()

    def test_a_split_that_is_not_there_is_refused(self) -> None:
        with pytest.raises(UsageError, match="split"):
            open_split(datasets.parse_one("shortcuts"), "test", None)

    def test_images_of_several_sizes_are_refused(self) -> None:
        with pytest.raises(CamdbenchError, match="image b has shape"):
            load_images(_Odd())

    def test_too_few_images_for_a_batch_are_refused(self) -> None:
        images = Images(torch.zeros(3, 3, 2, 2, dtype=torch.uint8), torch.zeros(3, dtype=torch.int64), ("a",), "")
        with pytest.raises(UsageError, match="batch_size=4"):
            check_batch(images, 4)


class TestShuffling:
    def test_every_image_comes_once_and_the_remainder_is_left_out(self) -> None:
        pixels = torch.arange(10, dtype=torch.uint8).reshape(10, 1, 1, 1).expand(10, 3, 2, 2)
        images = Images(pixels, torch.arange(10), ("a",), "")
        batches = list(images.shuffled(4, _random()))
        seen = torch.cat([labels for _, labels in batches]).tolist()
        assert [len(labels) for _, labels in batches] == [4, 4]
        assert len(set(seen)) == 8
        assert seen != sorted(seen)
        for shown, labels in batches:
            assert torch.allclose(shown[:, 0, 0, 0] * 255, labels.float())


class TestAugmenting:
    @pytest.fixture
    def images(self) -> torch.Tensor:
        return torch.rand(64, 3, 4, 4, generator=_random(7)) * 0.5 + 0.1

    def test_nothing_is_changed_by_default(self, images: torch.Tensor) -> None:
        assert torch.equal(augmented(images, Augment(), _random()), images)

    def test_a_flip_mirrors_about_half(self, images: torch.Tensor) -> None:
        found = augmented(images, Augment(flip=0.5), _random())
        mirrored = [torch.equal(one, other.flip(-1)) for one, other in zip(found, images, strict=True)]
        kept = [torch.equal(one, other) for one, other in zip(found, images, strict=True)]
        assert sum(mirrored) + sum(kept) == 64
        assert 20 < sum(mirrored) < 44

    def test_brightness_scales_each_image_by_its_own_factor(self, images: torch.Tensor) -> None:
        factors = augmented(images, Augment(brightness=0.3), _random()) / images
        assert float(factors.amax((1, 2, 3)).sub(factors.amin((1, 2, 3))).max()) < 1e-5
        assert 0.7 <= float(factors.min()) < 0.8
        assert 1.2 < float(factors.max()) <= 1.3

    def test_grey_takes_all_colour(self, images: torch.Tensor) -> None:
        found = augmented(images, Augment(grey=1.0), _random())
        assert torch.allclose(found, images.mean(1, keepdim=True).expand_as(images))
