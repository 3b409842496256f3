"""Our readers against torchvision's own data sets, item by item, on the same folders."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
import torch
import torchvision.datasets as theirs
from helpers import dataset_layouts as fixtures
from PIL import Image

from camdbench.datasets.aircraft import aircraft
from camdbench.datasets.cars import cars
from camdbench.datasets.flowers102 import flowers102
from camdbench.datasets.imagenet import imagenet
from camdbench.datasets.pets import pets
from camdbench.datasets.samples import Dataset
from camdbench.datasets.sbd import sbd
from camdbench.datasets.voc2007 import voc2007
from camdbench.datasets.voc2012 import voc2012


def same_picture(data: Dataset, index: int, picture: Image.Image) -> None:
    """The pixels of one of our samples, kept as they are, are those of a picture."""
    assert np.array_equal((data[index].image * 255).round().byte().permute(1, 2, 0).numpy(), np.asarray(picture))


@pytest.mark.parametrize("split", ["trainval", "test"])
@pytest.mark.parametrize(("classes", "target"), [("breeds", "category"), ("binary", "binary-category")])
def test_pets(tmp_path: Path, split: str, classes: str, target: str) -> None:
    fixtures.pets(tmp_path)
    ours = pets(tmp_path, split=split, classes=classes, preprocess="keep")
    other = theirs.OxfordIIITPet(tmp_path, split=split, target_types=[target, "segmentation"])
    assert len(other) == len(ours.ids)
    assert list(ours.classes) == (other.classes if classes == "breeds" else other.bin_classes)
    for index, (picture, (label, trimap)) in enumerate(other):
        same_picture(ours, index, picture)
        assert ours[index].label == label
        assert np.array_equal(ours[index].mask, np.asarray(trimap) == 1)


def test_voc2012(tmp_path: Path) -> None:
    fixtures.voc2012(tmp_path)
    ours = voc2012(tmp_path, split="trainval", labels="multi", preprocess="keep")
    other = theirs.VOCSegmentation(tmp_path, year="2012", image_set="trainval")
    for index, (picture, values) in enumerate(other):
        same_picture(ours, index, picture)
        expected = np.asarray(values)
        for label in range(20):
            assert np.array_equal(ours[index].class_masks[label], expected == label + 1)
            assert bool(ours[index].present[label]) == bool((expected == label + 1).any())
        assert (expected == 255).any()
        assert np.array_equal(ours[index].void, expected == 255)
    assert len(other) == len(ours.ids)


@pytest.mark.parametrize("split", ["test", "val"])
def test_voc2007(tmp_path: Path, split: str) -> None:
    fixtures.voc2007(tmp_path)
    ours = voc2007(tmp_path, split=split, preprocess="keep")
    other = theirs.VOCDetection(tmp_path, year="2007", image_set=split)
    assert len(other) == len(ours.ids)
    for index, (picture, content) in enumerate(other):
        same_picture(ours, index, picture)
        own = [item["bndbox"] for item in content["annotation"]["object"] if item["name"] == ours.classes[ours.labels[index]]]
        stated = [[float(box[edge]) for edge in ("xmin", "ymin", "xmax", "ymax")] for box in own]
        assert ours[index].file_boxes.numbers.tolist() == stated


@pytest.mark.parametrize("split", ["train", "val"])
def test_sbd(tmp_path: Path, split: str) -> None:
    fixtures.sbd(tmp_path)
    ours = sbd(tmp_path, split=split, preprocess="keep")
    other = theirs.SBDataset(tmp_path, image_set=split, mode="segmentation")
    for index, (picture, values) in enumerate(other):
        same_picture(ours, index, picture)
        assert [np.array_equal(ours[index].class_masks[label], np.asarray(values) == label + 1) for label in range(20)] == [True] * 20
    assert len(other) == len(ours.ids)


@pytest.mark.parametrize("level", ["variant", "family", "manufacturer"])
def test_aircraft(tmp_path: Path, level: str) -> None:
    fixtures.aircraft(tmp_path)
    ours = aircraft(tmp_path, split="val", level=level, preprocess="keep")
    other = theirs.FGVCAircraft(tmp_path, split="val", annotation_level=level)
    assert ours.classes == other.classes
    for index, (picture, label) in enumerate(other):
        same_picture(ours, index, picture)
        assert ours.labels[index] == label


@pytest.mark.parametrize("split", ["train", "test"])
def test_cars(tmp_path: Path, split: str) -> None:
    fixtures.cars(tmp_path)
    ours = cars(tmp_path, split=split, preprocess="keep")
    other = theirs.StanfordCars(tmp_path, split=split)
    assert ours.classes == other.classes
    assert ours.labels == [label for _, label in other]
    for index, (picture, _) in enumerate(other):
        same_picture(ours, index, picture)


@pytest.mark.parametrize("split", ["train", "val", "test"])
def test_flowers102(tmp_path: Path, split: str, monkeypatch: pytest.MonkeyPatch) -> None:
    fixtures.flowers102(tmp_path)
    monkeypatch.setattr(theirs.Flowers102, "_check_integrity", lambda self: True)  # the fixture has other checksums
    ours = flowers102(tmp_path, split=split, preprocess="keep")
    other = theirs.Flowers102(tmp_path, split=split)
    assert list(ours.classes) == list(other.classes)
    assert ours.labels == [label for _, label in other]
    for index, (picture, _) in enumerate(other):
        same_picture(ours, index, picture)


def test_imagenet(tmp_path: Path) -> None:
    """Torchvision numbers the folders that are there, we number as the network does; the order of images is the same."""
    fixtures.imagenet(tmp_path)
    wnids = {fixtures.FISH: ("goldfish",), fixtures.SHARK: ("great white shark",)}
    torch.save((wnids, []), tmp_path / "meta.bin")
    ours = imagenet(tmp_path, preprocess="keep")
    other = theirs.ImageNet(tmp_path, split="val")
    assert [ours.classes[label] for label in ours.labels] == [other.classes[label][0] for label in other.targets]
    assert ours.labels == [1, 1, 2]
    for index, (picture, _) in enumerate(other):
        same_picture(ours, index, picture)


def test_the_evaluation_protocol_is_torchvisions(tmp_path: Path) -> None:
    from torchvision.models import ResNet50_Weights
    from torchvision.transforms import Normalize

    fixtures.imagenet(tmp_path)
    preset = ResNet50_Weights.IMAGENET1K_V1.transforms()
    expected = preset(theirs.ImageFolder(tmp_path / "val")[1][0])
    found = Normalize(preset.mean, preset.std)(imagenet(tmp_path)[1].image)
    torch.testing.assert_close(found, expected)
