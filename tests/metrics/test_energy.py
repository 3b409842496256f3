"""Mass on the object: golden values of uniform and dead maps, the released Content Heatmap, Quantus."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import cv2
import numpy as np
import pytest
import torch
from helpers.dataset_layouts import FISH, put, write, xml
from helpers.localisation import box_maps, inputs_of, measure, pixels, random_boxes, random_maps
from helpers.quantus_library import quantus
from helpers.toys import SIZE, toy_classifier
from PIL import Image
from torch import Tensor

from camdbench.core.errors import NotApplicable
from camdbench.datasets.imagenet import imagenet
from camdbench.datasets.samples import Batch
from camdbench.metrics.common.ground_truth import object_region
from camdbench.metrics.common.inputs import MetricInputs

AREA = SIZE[0] * SIZE[1]
BOX = [[[2.0, 3.0, 8.0, 9.0]]]  # 36 pixels


def shares(maps: Tensor, boxes: list[list[list[float]]]) -> list[tuple[float, float]]:
    """Precision and recall (A3, A4) of each map, pixel by pixel."""
    found = list[tuple[float, float]]()
    for values, own in zip(maps.double(), boxes, strict=True):
        union = set[tuple[int, int]]().union(*map(pixels, own))
        inside = sum(values[place].item() for place in union)
        found.append((inside / values.sum().item(), inside / len(union)))
    return found


def test_f1_and_energy_pointing_are_what_the_paper_says() -> None:
    maps, boxes = random_maps(), random_boxes()
    given, expected = inputs_of(maps, boxes=boxes), shares(maps, boxes)
    assert measure("energy_pointing", given).values.tolist() == pytest.approx([100 * p for p, _ in expected])
    assert measure("f1", given).values.tolist() == pytest.approx([100 * 2 * p * r / (p + r) for p, r in expected])


def test_a_uniform_map_scores_the_area() -> None:
    a = 36 / AREA
    given = inputs_of(torch.ones(1, *SIZE), boxes=BOX)
    assert measure("energy_pointing", given).values.item() == pytest.approx(100 * a)
    assert measure("f1", given).values.item() == pytest.approx(100 * 2 * a / (1 + a))
    assert measure("ch", given).values.item() == pytest.approx(100 * a)


def test_the_box_itself_is_perfect_and_its_complement_scores_nothing() -> None:
    boxes = random_boxes()
    masks = box_maps(boxes).bool()
    best, worst = (inputs_of(maps, boxes=boxes, masks=masks) for maps in (box_maps(boxes), 1 - box_maps(boxes)))
    for name in ("f1", "energy_pointing", "ch", "relevance_mass"):
        assert measure(name, best).values.tolist() == pytest.approx([100] * 6)
        assert measure(name, worst).values.tolist() == [0] * 6
        assert not measure(name, worst).undefined.any()


class TestScoreCamsFilter:
    def test_images_with_several_boxes_or_a_large_one_have_no_value(self) -> None:
        boxes = [BOX[0], [*BOX[0], [0, 0, 2, 2]], [[0, 0, 12, 9]], [[0, 0, 12, 8]], [*BOX[0], [40, 40, 50, 50]]]
        found = measure("energy_pointing(protocol='scorecam')", inputs_of(random_maps(5), boxes=boxes))
        assert found.undefined.tolist() == [False, True, True, False, False]  # half is not more than half; a box outside is none
        assert found.values[~found.undefined].isfinite().all()

    def test_the_fraction_is_an_option(self) -> None:
        given = inputs_of(random_maps(1), boxes=BOX)
        assert measure("energy_pointing(max_box_fraction=0.1)", given).undefined.tolist() == [True]
        assert measure("energy_pointing(max_box_fraction=0.2)", given).undefined.tolist() == [False]


def released_content_heatmap(raw: Tensor, boxes: list[tuple[int, ...]], size: tuple[int, int]) -> float:
    """The steps of the released script on one map: 1 off all edges of the file, and Python's slices, where -1 is the last pixel."""
    heat = np.maximum(raw.double().numpy(), 0)
    heat = heat / (heat.sum() + 1e-8) + 1e-8
    heat = cv2.resize(heat, (size[1], size[0]), interpolation=cv2.INTER_LINEAR)
    mask = np.zeros(size)
    for x0, y0, x1, y1 in boxes:
        mask[y0 - 1 : y1, x0 - 1 : x1] = 1
    return 100 * (heat / heat.sum() * mask).sum()


def from_files(root: Path, boxes: list[list[tuple[int, ...]]], raw: Tensor, shape: tuple[int, int], **options: Any) -> MetricInputs:
    """Maps on images whose boxes come from XML files of ImageNet, opened with some options."""
    for index, own in enumerate(boxes):
        put(Image.new("RGB", shape[::-1]), root / "val" / FISH / f"{index}.JPEG")
        write(root / "Annotations" / "CLS-LOC" / "val" / f"{index}.xml", xml([(FISH, box) for box in own]))
    data = imagenet(root, **({"preprocess": "keep"} | options))
    batch = Batch.of([data[index] for index in range(len(boxes))])
    targets, maps = torch.zeros(len(boxes), dtype=torch.long), torch.zeros(len(boxes), *batch.images.shape[2:])
    return MetricInputs(toy_classifier(), batch.images, targets, maps, raw=raw, boxes=batch.boxes, file_boxes=batch.file_boxes)


ENDS = ("inclusive", "exclusive")
XML_BOXES = [[(2, 3, 8, 9)], [(0, 3, 8, 9)], [(3, 0, 8, 9), (5, 6, 11, 15)], [(1, 1, 12, 16)], [(0, 2, 12, 9)], [(4, 4, 4, 4)]]


class TestContentHeatmap:
    @pytest.mark.parametrize("ends", ENDS)
    def test_the_release_is_its_script_however_the_data_set_was_opened(self, tmp_path: Path, ends: str) -> None:
        raw = torch.randn(6, 5, 4, generator=torch.Generator().manual_seed(3)) * 1e-3
        found = measure("ch(protocol='release')", from_files(tmp_path, XML_BOXES, raw, SIZE, box_ends=ends))
        expected = [released_content_heatmap(one, own, SIZE) for one, own in zip(raw, XML_BOXES, strict=True)]
        assert found.values.tolist() == pytest.approx(expected, rel=1e-9)
        assert expected[1] == 0 < expected[4]  # a box from 0 is empty, unless it ends behind the last pixel, which is then all of it
        assert not found.undefined.any()

    @pytest.mark.parametrize("ends", ENDS)
    def test_a_box_of_100_pixels_is_as_large_as_in_the_release(self, tmp_path: Path, ends: str) -> None:
        given = from_files(tmp_path, [[(50, 60, 149, 159)]], torch.ones(1, 7, 7), (224, 224), box_ends=ends)
        assert measure("ch(protocol='release')", given).values.item() == pytest.approx(100 * 100**2 / 224**2)
        side = 100 if ends == "inclusive" else 99
        assert measure("ch", given).values.item() == pytest.approx(100 * side**2 / 224**2)
        assert measure("ch(ground_truth='inclusive boxes')", given).values.item() == pytest.approx(100 * 100**2 / 224**2)

    def test_slices_are_those_of_the_file_before_resize_and_crop(self, tmp_path: Path) -> None:
        """At half the size and 1 row and 9 columns cut off: [19, 49) x [7, 25) is [0.5, 15.5) x [2.5, 11.5); the other box is empty."""
        boxes = [[(20, 8, 49, 25), (0, 0, 39, 23)]]
        given = from_files(tmp_path, boxes, torch.ones(1, 3, 3), (32, 64), preprocess="resize256_crop224", size=14)
        region = object_region(given, "VOC slices")[0]
        assert region.any(1).nonzero().flatten().tolist() == list(range(2, 11))
        assert region[2:11].all()

    def test_boxes_of_no_file_are_their_own_slices(self) -> None:
        raw = torch.rand(1, 5, 4)
        given = inputs_of(random_maps(1), raw=raw, boxes=BOX)
        assert measure("ch(protocol='release')", given).values.tolist() == measure("ch(epsilon=1e-8)", given).values.tolist()

    def test_a_dead_map_is_the_box_area_to_the_release_and_nothing_to_us(self) -> None:
        given = inputs_of(torch.zeros(1, *SIZE), raw=-torch.rand(1, 5, 4), boxes=BOX)
        assert measure("ch(protocol='release')", given).values.item() == pytest.approx(100 * 36 / AREA)
        assert measure("ch", given).undefined.tolist() == [True]

    def test_it_keeps_the_minimum_that_energy_pointing_subtracts(self) -> None:
        raw = 1 + random_maps(1)
        given = inputs_of(raw - 1, raw=raw, boxes=BOX)
        inside = sum(raw[0].double()[place].item() for place in pixels(BOX[0][0]))
        assert measure("ch", given).values.item() == pytest.approx(100 * inside / raw.double().sum().item())
        assert measure("ch", given).values.item() != pytest.approx(measure("energy_pointing", given).values.item(), rel=1e-3)

    def test_without_a_raw_map_the_finished_one_counts(self) -> None:
        given = inputs_of(random_maps(1), boxes=BOX)
        assert measure("ch", given).values.item() == pytest.approx(measure("energy_pointing", given).values.item())


class TestRelevanceMass:
    masks = torch.rand(6, *SIZE, generator=torch.Generator().manual_seed(2)) < 0.2

    @pytest.mark.parametrize("maps", ["default", "relu", "abs"])
    def test_it_is_that_of_quantus(self, maps: str) -> None:
        raw = torch.randn(6, *SIZE, generator=torch.Generator().manual_seed(3))
        seen = {"default": random_maps(), "relu": raw.relu(), "abs": raw.abs()}[maps]
        theirs = quantus.RelevanceMassAccuracy(disable_warnings=True).evaluate_batch(seen.double().numpy(), self.masks.numpy())
        found = measure(f"relevance_mass(maps='{maps}')", inputs_of(random_maps(), raw=raw, masks=self.masks)).values
        np.testing.assert_allclose(found.numpy(), 100 * theirs, rtol=1e-12)

    def test_an_empty_mask_or_map_has_no_value(self) -> None:
        masks = torch.zeros(2, *SIZE, dtype=torch.bool)
        masks[1] = True
        found = measure("relevance_mass", inputs_of(torch.stack([torch.ones(SIZE), torch.zeros(SIZE)]), masks=masks))
        assert found.undefined.tolist() == [True, True]

    def test_it_may_be_asked_of_boxes(self) -> None:
        given = inputs_of(random_maps(1), boxes=BOX)
        found = measure("relevance_mass(ground_truth='exclusive boxes')", given).values
        assert found.tolist() == measure("energy_pointing", given).values.tolist()


@pytest.mark.parametrize("name", ["f1", "energy_pointing", "ch"])
def test_dead_maps_and_images_without_boxes_have_no_value(name: str) -> None:
    maps = torch.stack([torch.zeros(SIZE), torch.ones(SIZE), torch.ones(SIZE)])
    found = measure(name, inputs_of(maps, boxes=[*BOX, [], [[-9.0, -9.0, -2.0, -1.0]]]))
    assert found.undefined.tolist() == [True, True, True]
    assert found.values.isnan().all()


def test_images_without_annotations_are_told_so() -> None:
    with pytest.raises(NotApplicable, match="boxes"):
        measure("f1", inputs_of(random_maps(1)))
    with pytest.raises(NotApplicable, match="masks"):
        measure("f1(ground_truth='masks')", inputs_of(random_maps(1), boxes=BOX))
