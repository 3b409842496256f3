"""Mass on the object: golden values of uniform and dead maps, the released Content Heatmap, Quantus."""

from __future__ import annotations

import cv2
import numpy as np
import pytest
import torch
from helpers.localisation import box_maps, inputs_of, measure, pixels, random_boxes, random_maps
from helpers.quantus_library import quantus
from helpers.toys import SIZE
from torch import Tensor

from camdbench.core.errors import NotApplicable

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


def released_content_heatmap(raw: Tensor, box: list[float]) -> float:
    """The steps of the released script on one map, as the metrics' specification lists them."""
    heat = np.maximum(raw.double().numpy(), 0)
    heat = heat / (heat.sum() + 1e-8) + 1e-8
    heat = cv2.resize(heat, (SIZE[1], SIZE[0]), interpolation=cv2.INTER_LINEAR)
    heat = heat / heat.sum()
    x0, y0, x1, y1 = map(int, box)
    return 100 * heat[y0 : y1 + 1, x0 : x1 + 1].sum()


class TestContentHeatmap:
    def test_the_release_is_its_script(self) -> None:
        raw = torch.randn(5, 5, 4, generator=torch.Generator().manual_seed(3)) * 1e-3
        boxes = [[[float(index), 2.0, 5.0 + index, 9.0]] for index in range(5)]
        found = measure("ch(protocol='release')", inputs_of(random_maps(5), raw=raw, boxes=boxes))
        expected = [released_content_heatmap(one, own[0]) for one, own in zip(raw, boxes, strict=True)]
        assert found.values.tolist() == pytest.approx(expected, rel=1e-9)
        clean = measure("ch", inputs_of(random_maps(5), raw=raw, boxes=boxes)).values
        assert (clean < found.values).all()  # a column and a row less

    def test_a_dead_map_is_the_box_area_to_the_release_and_nothing_to_us(self) -> None:
        given = inputs_of(torch.zeros(1, *SIZE), raw=-torch.rand(1, 5, 4), boxes=BOX)
        assert measure("ch(protocol='release')", given).values.item() == pytest.approx(100 * 49 / AREA)
        assert measure("ch(epsilon=1e-8)", given).values.item() == pytest.approx(100 * 36 / AREA)
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
