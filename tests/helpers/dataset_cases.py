"""Every reader of files on disk with its layout: what is opened, and what the samples have."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import NamedTuple

from helpers.dataset_layouts import (
    aerial,
    aircraft,
    cars,
    chest_xray,
    coco,
    cub200,
    flowers102,
    folder,
    funnybirds,
    hard_imagenet,
    imagenet,
    imagenet9,
    imagenet_s,
    kvasir,
    pets,
    sbd,
    unrel,
    voc2007,
    voc2012,
    waterbirds,
)


class Case(NamedTuple):
    """A data set as a test opens it.

    Attributes:
        build: writes the fixture.
        spec: what is opened.
        split: the split.
        images: how many images it has.
        gives: the annotations.
        images_at: a glob of its pictures, of which the first is the first image.
    """

    build: Callable[[Path], None]
    spec: str
    split: str
    images: int
    gives: tuple[str, ...]
    images_at: str


BOTH = ("boxes", "masks")
CASES = {
    "imagenet": Case(imagenet, "imagenet", "val", 3, ("boxes",), "val/*/*.JPEG"),
    "imagenet-csv": Case(lambda root: imagenet(root, "csv"), "imagenet", "val", 3, ("boxes",), "val/*/*.JPEG"),
    "pets": Case(pets, 'pets(core="13")', "trainval", 2, BOTH, "oxford-iiit-pet/images/*_[12].jpg"),
    "voc2012": Case(voc2012, "voc2012", "train", 1, BOTH, "VOCdevkit/VOC2012/JPEGImages/*0.jpg"),
    "voc2012-multi": Case(voc2012, 'voc2012(labels="multi")', "trainval", 3, BOTH, "VOCdevkit/VOC2012/JPEGImages/*.jpg"),
    "sbd": Case(sbd, "sbd", "val", 2, BOTH, "img/*_00000[12].jpg"),
    "aircraft": Case(aircraft, "aircraft", "test", 3, ("boxes",), "fgvc-aircraft-2013b/data/images/*.jpg"),
    "cars": Case(cars, "cars", "test", 2, ("boxes",), "stanford_cars/cars_test/*.jpg"),
    "flowers102": Case(flowers102, "flowers102", "train", 2, (), "flowers-102/jpg/*.jpg"),
    "cub200": Case(cub200, "cub200", "train", 2, BOTH, "CUB_200_2011/images/*/*_0.jpg"),
    "hard_imagenet": Case(hard_imagenet, "hard_imagenet(above=127)", "val", 3, BOTH, "val/*/*.JPEG"),
    "unrel": Case(unrel, 'unrel(objects="first")', "all", 1, ("boxes",), "images/*.jpg"),
    "kvasir": Case(kvasir, "kvasir", "train", 48, (), "*/*.jpg"),
    "chest_xray": Case(chest_xray, "chest_xray", "test", 2, (), "test/*/*.jpeg"),
    "aerial": Case(aerial, "aerial", "test", 2, BOTH, "test/*/*.jpg"),
    "coco": Case(coco, "coco", "all", 3, BOTH, "val2017/*.jpg"),
    "imagenet_s": Case(imagenet_s, "imagenet_s(subset=50)", "val", 3, BOTH, "ImageNetS50/validation/*/*.JPEG"),
    "waterbirds": Case(waterbirds, "waterbirds", "test", 2, ("backgrounds", *BOTH), "waterbird_complete95_forest2water2/*/*_1.jpg"),
    "imagenet9": Case(imagenet9, "imagenet9", "mixed_next", 3, ("backgrounds",), "mixed_next/val/*/*.JPEG"),
    "voc2007": Case(voc2007, "voc2007", "test", 2, ("boxes",), "VOCdevkit/VOC2007/JPEGImages/*.jpg"),
    "funnybirds": Case(funnybirds, "funnybirds", "test", 3, (*BOTH, "parts"), "test/*/*.png"),
    "folder": Case(folder, "folder", "all", 3, BOTH, "images/*/*"),
}
