"""Class maps of samples, and their loading."""

from __future__ import annotations

from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np
import pytest
import torch
from helpers import dataset_layouts as fixtures
from PIL import Image

from camdbench.core.errors import CamdbenchError, UsageError
from camdbench.datasets.samples import Sample
from camdbench.datasets.sbd import sbd
from camdbench.datasets.voc2012 import voc2012
from camdbench.trainer.in_memory_split import load_images
from camdbench.trainer.split_data import class_map


def sample(**known: object) -> Sample:
    return Sample("a", torch.zeros(3, 2, 3), 1, **known)  # pyright: ignore[reportArgumentType]


class TestClassMap:
    def test_voc_is_its_own_class_map_void_included(self, tmp_path: Path) -> None:
        fixtures.voc2012(tmp_path)
        data = voc2012(tmp_path, split="trainval", labels="multi", preprocess="keep")
        for index, name in enumerate(data.ids):
            values = np.asarray(Image.open(next(tmp_path.rglob(f"SegmentationClass/{name}.png"))))
            assert set(np.unique(values)) > {0, 255}
            assert np.array_equal(class_map(data[index]), values)

    def test_sbd_of_two_classes(self, tmp_path: Path) -> None:
        fixtures.sbd(tmp_path)
        found = class_map(sbd(tmp_path, split="val", preprocess="keep")[1])
        assert found.unique().tolist() == [0, 1, 15]
        assert (found == 15).sum() == 12

    def test_one_mask_is_of_the_label(self) -> None:
        mask = torch.tensor([[True, False, False], [True, True, False]])
        assert class_map(sample(mask=mask)).tolist() == [[2, 0, 0], [2, 2, 0]]
        assert class_map(replace(sample(mask=mask), label=-1)).tolist() == [[255, 0, 0], [255, 255, 0]]
        assert class_map(sample(mask=mask, void=~mask)).tolist() == [[2, 255, 255], [2, 2, 255]]

    def test_of_classes_in_one_place_the_first_counts(self) -> None:
        masks = torch.zeros(4, 2, 3, dtype=torch.bool)
        masks[1, 0], masks[3, :, 1] = True, True
        assert class_map(sample(class_masks=masks)).tolist() == [[2, 2, 2], [0, 4, 0]]

    def test_without_a_mask_the_image_is_named(self) -> None:
        with pytest.raises(CamdbenchError, match="image a has no mask"):
            class_map(sample())


@dataclass
class Held:
    samples: list[Sample]
    classes: tuple[str, ...] = ("x", "y")

    @property
    def ids(self) -> list[str]:
        return [one.id for one in self.samples]

    @property
    def labels(self) -> list[int]:
        return [one.label for one in self.samples]

    def __getitem__(self, index: int) -> Sample:
        return self.samples[index]

    def fingerprint(self) -> str:
        return "f"


class TestLoading:
    def test_images_of_two_sizes_are_refused(self) -> None:
        mask = torch.ones(2, 3, dtype=torch.bool)
        other = Sample("b", torch.zeros(3, 4, 3), 0, mask=torch.ones(4, 3, dtype=torch.bool))
        with pytest.raises(CamdbenchError, match=r"image b has shape \(3, 4, 3\)"):
            load_images(Held([sample(mask=mask), other]), "class maps")

    def test_more_classes_than_a_byte_holds_are_refused(self) -> None:
        with pytest.raises(UsageError, match="300 classes: a class map holds at most 254"):
            load_images(Held([], tuple(map(str, range(300)))), "class maps")
