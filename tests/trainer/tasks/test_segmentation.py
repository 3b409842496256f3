"""The segmentation task in the loop: a step sees whole batches, and draws follow from seed and epoch alone."""

from __future__ import annotations

import torch
from helpers.toys import toy_classifier

from camdbench.trainer.accelerator import open_accelerator
from camdbench.trainer.loop import fit
from camdbench.trainer.probe_recipe import check_probe
from camdbench.trainer.tasks.segmentation import SegmentationTask
from camdbench.trainer.tasks.segmentation_data import SegmentationData
from camdbench.trainer.tasks.segmenter import Segmenter, channels_at

CPU = torch.device("cpu")


def test_a_step_sees_every_image_of_its_batch() -> None:
    random = torch.Generator().manual_seed(0)
    pixels = torch.randint(256, (11, 3, 16, 12), generator=random, dtype=torch.uint8)
    maps = torch.randint(3, (11, 16, 12), generator=random, dtype=torch.uint8)
    data = SegmentationData(pixels, maps, tuple(map(str, range(11))), ("a", "b"), "")
    classifier = toy_classifier("gap")
    layer = classifier.layer_name(None)
    segmenter = Segmenter(classifier, channels_at(classifier, layer, pixels[0] / 255), 3, layer=layer, backbone="frozen")
    seen = list[int]()
    segmenter.register_forward_pre_hook(lambda _, inputs: seen.append(len(inputs[0])))
    recipe = check_probe({"name": "tiny", "model": "shortcuts-ce", "epochs": 2, "batch_size": 5}, "tiny")
    with open_accelerator(recipe, CPU) as accelerator:
        fit(SegmentationTask(segmenter, data, recipe, CPU), recipe, accelerator)
    assert seen == [5, 5, 5, 5]
