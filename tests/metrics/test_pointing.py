"""The pointing game's protocols, and Quantus where it is right."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from helpers.localisation import box_maps, inputs_of, measure, pixels, random_boxes, random_maps
from helpers.quantus_library import quantus
from helpers.toys import SIZE

from camdbench.core.registries import metrics


def test_a_map_points_where_it_is_largest() -> None:
    maps, boxes = random_maps(), random_boxes()
    places = [divmod(int(values.argmax()), SIZE[1]) for values in maps]
    expected = [100.0 * any(place in pixels(box) for box in own) for place, own in zip(places, boxes, strict=True)]
    for ties in ("any", "first", "centroid", "expected"):
        assert measure(f"pointing(ties='{ties}')", inputs_of(maps, boxes=boxes)).values.tolist() == expected
    assert 0 < sum(expected) < 600


def test_the_quantus_protocol_is_quantus_on_masks() -> None:
    maps = (random_maps(8) * 3).round()
    masks = torch.rand(8, *SIZE, generator=torch.Generator().manual_seed(2)) < 0.05
    assert masks.flatten(1).any(1).all()  # an empty mask is a hit for Quantus
    theirs = quantus.PointingGame(disable_warnings=True).evaluate_batch(a_batch=maps.numpy(), s_batch=masks.numpy())
    ours = measure("pointing(protocol='quantus')", inputs_of(maps, masks=masks)).values
    assert ours.tolist() == (100.0 * theirs).tolist()
    assert 0 < theirs.mean() < 1


def test_torchray_takes_the_first_maximum_and_15_pixels_strictly() -> None:
    maps = torch.zeros(3, *SIZE)
    maps[0, 0, 0] = maps[0, 15, 11] = 1  # the first of two
    maps[1, 0, 11] = maps[2, 0, 10] = 1  # 15 and 14 pixels from the box
    boxes = [[[11.0, 15.0, 12.0, 16.0]], [[11.0, 15.0, 12.0, 16.0]], [[10.0, 14.0, 11.0, 15.0]]]
    given = inputs_of(maps, boxes=boxes)
    assert measure("pointing(protocol='torchray')", given).values.tolist() == [0, 0, 100]
    assert measure("pointing(protocol='torchray', tolerance=15.1)", given).values.tolist() == [0, 100, 100]
    assert measure("pointing", given).values.tolist() == [100, 0, 0]


def test_torchray_means_over_classes() -> None:
    assert {protocol.name: protocol.reduction for protocol in metrics.get("pointing").protocols} == {
        "opticam": "mean",
        "torchray": "class mean",
        "quantus": "mean",
    }


def test_fake_cam_hits_by_any_tie_and_by_the_area_on_average() -> None:
    fake = torch.ones(1, *SIZE)
    fake[0, 0, 0] = 0
    given = inputs_of(fake, boxes=[[[2.0, 3.0, 8.0, 9.0]]])
    assert measure("pointing", given).values.item() == 100
    assert measure("pointing(ties='expected')", given).values.item() == pytest.approx(100 * 36 / (np.prod(SIZE) - 1))


def test_boxes_with_inclusive_ends_are_one_longer() -> None:
    maps = torch.zeros(2, *SIZE)
    maps[0, 5, 8] = maps[1, 5, 9] = 1
    given = inputs_of(maps, boxes=[[[2.0, 3.0, 8.0, 9.0]]] * 2)
    assert measure("pointing", given).values.tolist() == [0, 0]
    assert measure("pointing(ground_truth='inclusive boxes')", given).values.tolist() == [100, 0]


def test_a_map_of_zeros_points_nowhere_but_where_a_protocol_scores_it() -> None:
    given = inputs_of(torch.zeros(1, *SIZE), boxes=[[[2.0, 3.0, 8.0, 9.0]]], masks=torch.ones(1, *SIZE, dtype=torch.bool))
    assert measure("pointing", given).undefined.tolist() == [True]
    assert measure("pointing(constant_map='scored')", given).values.tolist() == [100]
    assert measure("pointing(protocol='torchray', tolerance=1.0)", given).values.tolist() == [0]
    assert measure("pointing(protocol='quantus')", given).values.tolist() == [100]


@pytest.mark.parametrize("protocol", ["opticam", "torchray", "quantus"])
def test_an_image_without_an_object_has_no_value(protocol: str) -> None:
    given = inputs_of(random_maps(2), boxes=[[], [[90, 90, 99, 99]]], masks=torch.zeros(2, *SIZE, dtype=torch.bool))
    assert measure(f"pointing(protocol='{protocol}')", given).undefined.tolist() == [True, True]


def test_the_box_itself_is_perfect() -> None:
    boxes = random_boxes()
    assert measure("pointing(ties='expected')", inputs_of(box_maps(boxes), boxes=boxes)).values.tolist() == [100] * 6
