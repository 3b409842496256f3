"""The saliency metric: crops against torchvision's, the metric against its formula, Fake-CAM against cross-entropy."""

from __future__ import annotations

import math

import pytest
import torch
import torch.nn.functional as F
import torchvision.transforms.v2.functional as tv
from helpers.localisation import box_maps, inputs_of, measure, random_maps
from helpers.toys import SIZE, toy_classifier
from torch import Tensor

from camdbench.functional.boxes import union_mask
from camdbench.metrics.box_localisation import predicted_boxes
from camdbench.metrics.saliency_metric import crops

AREA = SIZE[0] * SIZE[1]


def literally(image: Tensor, box: tuple[int, int, int, int], target: int) -> float:
    """log max(0.05, a) - log p of one image, the crop by torchvision, the probability by softmax."""
    x0, y0, x1, y1 = box
    crop = tv.resized_crop(image, y0, x0, y1 - y0, x1 - x0, list(SIZE), antialias=False)
    with torch.no_grad():
        p = toy_classifier()(crop[None]).double().softmax(1)[0, target].item()
    return math.log(max(0.05, (x1 - x0) * (y1 - y0) / AREA)) - math.log(p)


def test_it_is_the_formula_on_the_crop() -> None:
    given = inputs_of(random_maps(5, cells=(7, 6)))
    boxes = predicted_boxes(given, 8, at_least=False).int().tolist()
    expected = [literally(image, tuple(box), int(target)) for image, box, target in zip(given.images, boxes, given.targets, strict=True)]
    assert measure("sm", given).values.tolist() == pytest.approx(expected, rel=1e-5)
    assert len({round(value, 3) for value in expected}) == 5


def test_all_regions_have_one_box_round_them() -> None:
    maps = torch.zeros(2, *SIZE)
    maps[0, 2:6, 1:4], maps[0, 10, 9] = 1, 1
    maps[1, 5, 5] = 1
    given = inputs_of(maps)
    tight = [(1, 2, 10, 11), (5, 5, 6, 6)]
    expected = [literally(image, box, int(target)) for image, box, target in zip(given.images, tight, given.targets, strict=True)]
    assert measure("sm(protocol='dabkowski')", given).values.tolist() == pytest.approx(expected, rel=1e-5)
    largest = literally(given.images[0], (1, 2, 4, 6), int(given.targets[0]))
    assert measure("sm", given).values[0].item() == pytest.approx(largest, rel=1e-5)


def test_a_crop_of_the_whole_image_is_the_cross_entropy() -> None:
    fake = torch.ones(4, *SIZE)
    fake[:, 0, 0] = 0
    given = inputs_of(fake)
    entropy = F.cross_entropy(given.logits.double(), given.targets, reduction="none")
    for spec in ("sm", "sm(seen='image')", "sm(protocol='dabkowski')"):
        assert measure(spec, given).values.tolist() == pytest.approx(entropy.tolist())


def test_the_area_has_a_floor() -> None:
    maps = box_maps([[[3, 3, 6, 6]]])  # 9 of 192 pixels, below 5 %
    low, high = (measure(f"sm(floor={floor})", inputs_of(maps)).values.item() for floor in (0.01, 0.05))
    assert high - low == pytest.approx(math.log(0.05) - math.log(9 / AREA))


def test_the_class_may_be_the_label_or_the_prediction() -> None:
    given = inputs_of(random_maps(3), labels=torch.tensor([2, -1, 4]))
    label = measure("sm(scored_class='label', seen='image')", given)
    assert label.undefined.tolist() == [False, True, False]
    entropy = F.cross_entropy(given.logits.double()[[0, 2]], torch.tensor([2, 4]), reduction="none")
    area = measure("sm(seen='image')", given).values - F.cross_entropy(given.logits.double(), given.targets, reduction="none")
    assert (label.values - area)[[0, 2]].tolist() == pytest.approx(entropy.tolist())
    best = measure("sm(scored_class='predicted', seen='image')", given).values - area
    assert best.tolist() == pytest.approx((-given.logits.double().log_softmax(1).amax(1)).tolist())


def test_a_class_that_the_network_rules_out_costs_no_more_than_the_least_probability() -> None:
    given = inputs_of(random_maps(1), logits=torch.tensor([[-1e4, 0.0, 0, 0, 0]]))  # the target is class 0
    area = measure("sm(seen='image')", inputs_of(random_maps(1), logits=torch.zeros(1, 5))).values.item() - math.log(5)
    assert measure("sm(seen='image')", given).values.item() - area == pytest.approx(-math.log(1e-12))


def test_a_map_without_a_region_has_no_value() -> None:
    found = measure("sm", inputs_of(torch.stack([torch.zeros(SIZE), torch.full(SIZE, 0.3)])))
    assert found.undefined.tolist() == [True, True]
    assert measure("sm(protocol='dabkowski')", inputs_of(torch.zeros(1, *SIZE))).undefined.tolist() == [True]


def test_a_network_that_gives_nan_has_no_score() -> None:
    given = inputs_of(random_maps(1))
    given.classifier.network.head[-1].weight.data.fill_(torch.nan)
    assert measure("sm", given).values.isnan().all()
    assert not measure("sm", given).undefined.any()


def test_crops_leave_out_what_lies_beside_the_box() -> None:
    images = torch.zeros(1, 3, *SIZE)
    box = torch.tensor([[2.0, 3.0, 8.0, 9.0]])
    images[:, :, union_mask([box], SIZE)[0]] = 1
    assert (crops(images, box) == 1).all()
    assert torch.equal(crops(images, torch.zeros(1, 4)), images)
