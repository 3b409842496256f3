"""The segmentation task in the loop: a step sees whole batches, and draws follow from seed and epoch alone."""

from __future__ import annotations

import pytest
import torch
from helpers.toys import toy_classifier

from camdbench.datasets.shortcuts.dataset import shortcuts
from camdbench.functional.confusion_matrix import VOID
from camdbench.trainer.accelerator import open_accelerator
from camdbench.trainer.in_memory_split import InMemorySplit, load_images
from camdbench.trainer.loop import fit
from camdbench.trainer.probe_recipe import check_probe
from camdbench.trainer.tasks.segmentation import SegmentationTask
from camdbench.trainer.tasks.segmenter import Segmenter, channels_at

CPU = torch.device("cpu")


def test_a_step_sees_every_image_of_its_batch() -> None:
    random = torch.Generator().manual_seed(0)
    pixels = torch.randint(256, (11, 3, 16, 12), generator=random, dtype=torch.uint8)
    maps = torch.randint(3, (11, 16, 12), generator=random, dtype=torch.uint8)
    data = InMemorySplit(pixels, torch.zeros(11, dtype=torch.int64), ("a", "b"), "", tuple(map(str, range(11))), maps)
    classifier = toy_classifier("gap")
    layer = classifier.layer_name(None)
    segmenter = Segmenter(classifier, channels_at(classifier, layer, pixels[0] / 255), 3, layer=layer, backbone="frozen")
    seen = list[int]()
    segmenter.register_forward_pre_hook(lambda _, inputs: seen.append(len(inputs[0])))
    recipe = check_probe({"name": "tiny", "model": "shortcuts-ce", "epochs": 2, "batch_size": 5}, "tiny")
    with open_accelerator(recipe, CPU) as accelerator:
        fit(SegmentationTask(segmenter, data, recipe, CPU), recipe, accelerator)
    assert seen == [5, 5, 5, 5]


@pytest.fixture(scope="module")
def split() -> InMemorySplit:
    return load_images(shortcuts(split="train", count=10, size=32), "class maps")


def task_of(split: InMemorySplit, size: int, flip: float) -> SegmentationTask:
    classifier = toy_classifier("gap")
    layer = classifier.layer_name(None)
    segmenter = Segmenter(classifier, channels_at(classifier, layer, split.pixels[0] / 255), 9, layer=layer, backbone="frozen")
    recipe = check_probe({"name": "tiny", "model": "shortcuts-ce", "batch_size": size, "flip": flip}, "tiny")
    return SegmentationTask(segmenter, split, recipe, CPU)


class TestOrder:
    def test_batches_are_all_images_in_order(self, split: InMemorySplit) -> None:
        data, batches = shortcuts(split="train", count=10, size=32), list(split.batches(4))
        assert [len(batch) for batch in batches] == [4, 4, 2]
        images, masks = torch.cat([batch.images for batch in batches]), torch.cat([batch.masks for batch in batches])
        for index, (image, held) in enumerate(zip(images, masks, strict=True)):
            torch.testing.assert_close(image, data[index].image, atol=1 / 500, rtol=0)
            assert held.long().equal((data[index].mask * (data[index].label + 1)).long())

    def test_every_image_comes_once_and_a_short_rest_not_at_all(self, split: InMemorySplit) -> None:
        names = [name for batch in task_of(split, 4, 0.0).batches(1) for name in batch.ids]
        assert len(names) == len(set(names)) == 8
        assert names != list(split.ids[:8])

    def test_maps_are_mirrored_with_their_images(self, split: InMemorySplit) -> None:
        place = {name: index for index, name in enumerate(split.ids)}
        mirrored = 0
        for batch in task_of(split, 2, 0.5).batches(1):
            for name, image, held, labels in zip(batch.ids, batch.images, batch.masks, batch.labels, strict=True):
                turn = not image.equal(split.pixels[place[name]] / 255)
                mirrored += turn
                assert image.equal((split.pixels[place[name]].flip(-1) if turn else split.pixels[place[name]]) / 255)
                assert held.equal(split.masks[place[name]].flip(-1) if turn else split.masks[place[name]])
                assert labels.equal(held.long())
        assert 0 < mirrored < 10

    def test_void_pixels_have_no_label(self, split: InMemorySplit) -> None:
        void = InMemorySplit(split.pixels, split.labels, split.classes, "", split.ids, torch.full_like(split.masks, VOID))
        assert all((batch.labels == -1).all() for batch in task_of(void, 5, 0.0).batches(1))
