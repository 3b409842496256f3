"""OM and LE against a literal reading of Opti-CAM's appendix B, pixel set by pixel set."""

from __future__ import annotations

import math

import pytest
import torch
from helpers.localisation import box_maps, inputs_of, measure, pixels, random_boxes, random_maps
from helpers.toys import SIZE, toy_classifier
from skimage import measure as skimage_measure
from torch import Tensor

AREA = SIZE[0] * SIZE[1]


def best_overlap(values: Tensor, boxes: list[list[float]], connectivity: int = 8) -> float:
    """max IoU(B, B_p) of one map, as the paper words it."""
    labels = skimage_measure.label((values > values.mean()).numpy(), connectivity=1 if connectivity == 4 else 2)
    found = skimage_measure.regionprops(labels)
    region = max(found, key=lambda one: one.area)
    y0, x0, y1, x1 = region.bbox
    predicted = {(row, column) for row in range(y0, y1) for column in range(x0, x1)}
    truth = [pixels(box) for box in boxes]
    return max(len(predicted & own) / len(predicted | own) for own in truth if own)


@pytest.mark.parametrize("connectivity", [4, 8])
@pytest.mark.parametrize("cells", [(5, 4), (16, 12)], ids=["smooth", "noise"])
def test_le_is_what_the_paper_says(connectivity: int, cells: tuple[int, int]) -> None:
    maps, boxes = random_maps(cells=cells, seed=2), random_boxes()
    found = measure(f"le(connectivity={connectivity})", inputs_of(maps, boxes=boxes)).values
    expected = [100 * (1 - best_overlap(values, own, connectivity)) for values, own in zip(maps, boxes, strict=True)]
    assert found.tolist() == pytest.approx(expected)
    assert len(set(expected)) > 3


def test_om_is_le_where_the_network_is_right_and_100_where_it_errs() -> None:
    maps, boxes = random_maps(4), random_boxes(4)
    logits = torch.eye(5)[[0, 2, 2, 3]]  # of labels 0, 1, 2, 3: the second is wrong
    le, om = (measure(name, inputs_of(maps, boxes=boxes, logits=logits)).values for name in ("le", "om"))
    assert om.tolist() == pytest.approx([le[0].item(), 100, le[2].item(), le[3].item()])
    assert le[1] < 100


def test_om_may_ask_for_the_explained_class_instead_of_the_label() -> None:
    maps, boxes, logits = random_maps(2), random_boxes(2), torch.eye(5)[[0, 1]]
    given = inputs_of(maps, boxes=boxes, logits=logits, labels=torch.tensor([1, -1]))  # targets are 0 and 1
    assert measure("om", given).values[0] == 100
    assert measure("om", given).undefined.tolist() == [False, True]
    assert measure("om(scored_class='target')", given).values.tolist() == pytest.approx(measure("le", given).values.tolist())
    assert measure("om50(scored_class='target')", given).values.tolist() == measure("le50", given).values.tolist()


def test_the_halves_count_images_whose_overlap_is_below_one_half() -> None:
    maps = box_maps([[[0, 0, 4, 4]], [[0, 0, 4, 4]], [[0, 0, 4, 4]]])
    boxes = [[[0.0, 0.0, 4.0, 8.0]], [[0.0, 0.0, 4.0, 9.0]], [[0.0, 0.0, 4.0, 4.0]]]  # IoU 1/2, 4/9, 1
    given = inputs_of(maps, boxes=boxes, logits=torch.eye(5)[[0, 1, 0]])
    assert measure("le50", given).values.tolist() == [0, 100, 0]
    assert measure("om50", given).values.tolist() == [0, 100, 100]  # the label of the third is 2


def test_the_box_itself_is_perfect_and_noise_is_not() -> None:
    boxes = [own[:1] for own in random_boxes()]
    assert measure("le", inputs_of(box_maps(boxes), boxes=boxes)).values.tolist() == pytest.approx([0] * 6)
    assert measure("le", inputs_of(random_maps(cells=SIZE), boxes=boxes)).values.mean() > 40


class TestDegenerateMaps:
    boxes = ([[2.0, 3.0, 8.0, 9.0]],)

    def test_fake_cam_predicts_the_whole_image(self) -> None:
        fake = torch.ones(1, *SIZE)
        fake[0, 0, 0] = 0
        assert measure("le", inputs_of(fake, boxes=self.boxes)).values.item() == pytest.approx(100 * (1 - 36 / AREA))

    @pytest.mark.parametrize("level", [0.1, 1 / 3, 1.0])
    def test_a_constant_map_has_no_pixel_above_its_mean_whatever_the_rounding(self, level: float) -> None:
        given = inputs_of(torch.full((1, *SIZE), level), boxes=self.boxes)
        assert measure("le", given).undefined.tolist() == [True]
        assert math.isnan(measure("le", given).values.item())
        assert measure("le(at_least=True)", given).values.item() == pytest.approx(100 * (1 - 36 / AREA))

    def test_a_map_of_zeros_has_no_value_or_by_request_the_worst(self) -> None:
        given = inputs_of(torch.zeros(1, *SIZE), boxes=self.boxes)
        for name in ("le", "om", "le50", "om50"):
            assert measure(name, given).undefined.tolist() == [True]
            assert measure(f"{name}(at_least=True)", given).undefined.tolist() == [True]
            assert measure(f"{name}(constant_map='scored')", given).values.tolist() == [100]

    def test_boxes_beside_the_image_are_none(self) -> None:
        given = inputs_of(random_maps(3), boxes=[[], [[50, 50, 60, 60]], [[50, 50, 60, 60], [0, 0, 6, 6]]])
        assert measure("le", given).undefined.tolist() == [True, True, False]
        assert measure("le(constant_map='scored')", given).undefined.tolist() == [True, True, False]


def test_a_network_that_gives_nan_is_neither_right_nor_wrong() -> None:
    given = inputs_of(random_maps(1), boxes=random_boxes(1), logits=torch.full((1, 5), torch.nan))
    assert measure("om", given).values.isnan().all()
    assert not measure("om", given).undefined.any()


def test_om_asks_the_network_itself() -> None:
    given = inputs_of(random_maps(4), boxes=random_boxes(4))
    right = toy_classifier()(given.images).argmax(1) == given.labels
    worst = measure("om", given).values == 100
    assert worst[~right].all()
    assert (measure("om", given).values[right] == measure("le", given).values[right]).all()
