"""Curves: against loops over images, points and pixels, and the values that the specification fixes."""

from __future__ import annotations

import math
from collections.abc import Callable

import pytest
import torch
from helpers.each import each
from torch import Tensor

from camdbench.functional import pass_size
from camdbench.functional.curves import (
    CLASS_OUTPUTS,
    Output,
    PixelReplacement,
    PointRange,
    area,
    class_output,
    class_outputs,
    counts_by_share,
    counts_by_step,
    point_ranges,
    scores_along,
)
from camdbench.functional.pixel_order import pixel_ranks


def network(images: Tensor) -> Tensor:
    """Three classes that look at three places of the image, not linearly."""
    return torch.stack([images[:, 0, 0, 0] * 3, images.square().sum((1, 2, 3)), images[:, 2, -1, -1] - images.mean((1, 2, 3))], 1)


def read_class(classes: Tensor, score: Output) -> Callable[[Tensor, Tensor], Tensor]:
    """Reads one output of the class of each image."""
    return lambda logits, rows: class_output(logits, classes[rows], score)


@each(("step", "points"), [(224, 225), (1792, 29), (50176, 2), (10**6, 2), (1, 50177)])
def test_a_curve_of_224_pixels_squared_has_as_many_points_as_rise_makes(step: int, points: int) -> None:
    found = counts_by_step(224 * 224, step)
    assert len(found) == points == math.ceil(224 * 224 / step) + 1
    assert (found[0], found[-1]) == (0, 224 * 224)


def test_intervals_are_those_of_numpys_linspace_in_whole_numbers() -> None:
    import numpy as np

    for total in (7, 192, 224 * 224):
        assert list(counts_by_share(total, 10)) == np.linspace(0, total, 11, dtype=np.int32).tolist()


@pytest.mark.parametrize("value", [0.0, 0.3, 1.0])
def test_the_area_of_a_constant_curve_is_its_value(value: float) -> None:
    assert area(torch.full((2, 7), value, dtype=torch.float64), torch.rand(7).sort().values.double()).tolist() == pytest.approx([value] * 2)


def test_the_area_of_a_line_from_zero_to_one_is_a_half() -> None:
    x = torch.tensor([0.0, 0.1, 0.4, 1.0], dtype=torch.float64)
    assert area(x[None], x).item() == pytest.approx(0.5)


def test_the_area_of_equal_steps_is_what_rise_computes() -> None:
    y = torch.rand(3, 29, dtype=torch.float64)
    expected = (y.sum(1) - y[:, 0] / 2 - y[:, -1] / 2) / (29 - 1)
    torch.testing.assert_close(area(y, torch.linspace(0, 1, 29, dtype=torch.float64)), expected)


@each("score", ["probability", "accuracy", "logit"])
@each("bound", [1, 100, 2**22])
def test_scores_are_those_of_images_altered_pixel_by_pixel(monkeypatch: pytest.MonkeyPatch, score: Output, bound: int) -> None:
    monkeypatch.setattr(pass_size, "CPU_PIXELS", bound)  # chunks of one image, of some, of all
    generator = torch.Generator().manual_seed(0)
    before, after, maps = (torch.rand(3, *shape, generator=generator) for shape in ((3, 4, 5), (3, 4, 5), (4, 5)))
    classes, counts = torch.tensor([0, 2, 1]), (0, 3, 7, 20)
    found = scores_along(network, before, after, pixel_ranks(maps), counts, read_class(classes, score))
    for index in range(3):
        order = sorted(range(20), key=lambda place: -float(maps[index].flatten()[place]))
        for point, count in enumerate(counts):
            image = before[index].clone()
            for place in order[:count]:
                image[:, place // 5, place % 5] = after[index, :, place // 5, place % 5]
            logits = network(image[None])[0].double()
            expected = {
                "probability": logits.softmax(0)[classes[index]],
                "accuracy": float(logits.argmax() == classes[index]),
                "logit": logits[classes[index]],
            }[score]
            assert found[index, point].item() == pytest.approx(float(expected), abs=1e-6)


def test_one_colour_may_stand_for_all_images() -> None:
    images, ranks = torch.rand(2, 3, 4, 5), pixel_ranks(torch.rand(2, 4, 5))
    colour = torch.tensor([0.1, 0.5, 0.9]).reshape(1, 3, 1, 1)
    classes = torch.tensor([0, 1])
    for before, after in ((images, colour), (colour, images)):
        found = scores_along(network, before, after, ranks, (0, 9, 20), read_class(classes, "logit"))
        whole = scores_along(network, before.expand(2, 3, 4, 5), after.expand(2, 3, 4, 5), ranks, (0, 9, 20), read_class(classes, "logit"))
        assert torch.equal(found, whole)


def test_each_image_and_point_is_one_pass() -> None:
    seen = list[int]()

    def counted(images: Tensor) -> Tensor:
        seen.append(len(images))
        return network(images)

    images = torch.rand(2, 3, 4, 5)
    scores_along(counted, images, images, pixel_ranks(torch.rand(2, 4, 5)), (1, 2, 3), read_class(torch.tensor([0, 1]), "logit"))
    assert sum(seen) == 6


@pytest.mark.parametrize("score", ["probability", "accuracy", "logit"])
@pytest.mark.parametrize("broken", [math.nan, math.inf], ids=str)
def test_a_broken_logit_has_no_score(score: Output, broken: float) -> None:
    assert class_output(torch.tensor([[broken, 0.0]]), torch.tensor([1]), score).isnan().all()


def test_all_outputs_are_those_of_one_by_one() -> None:
    logits, classes = torch.randn(5, 3, generator=torch.Generator().manual_seed(0)), torch.tensor([0, 2, 1, 1, 0])
    logits[3, 0] = math.nan
    found = class_outputs(logits, classes)
    for place, score in enumerate(CLASS_OUTPUTS):
        torch.testing.assert_close(found[:, place], class_output(logits, classes, score), rtol=0, atol=0, equal_nan=True)


@pytest.mark.parametrize("length", [1, 2, 4, 100])
def test_images_may_have_points_of_their_own(length: int) -> None:
    parts = list(point_ranges(1, (3, 1, 2, 4), length))
    found = [(own.image, point) for part in parts for own in part for point in range(6)[own.points]]
    assert found == [(0, 1), (0, 2), (2, 1), (3, 1), (3, 2), (3, 3)]
    assert [sum(own.length for own in part) for part in parts] == [length] * (6 // length) + [6 % length] * (6 % length > 0)
    assert all(own.length for part in parts for own in part)


@pytest.mark.parametrize("dtype", [torch.float16, torch.bfloat16, torch.float32, torch.float64], ids=str)
def test_pixels_are_replaced_bit_by_bit(dtype: torch.dtype) -> None:
    """As `torch.where` does, whatever the numbers; ranks go far beyond the range of 16 bits."""
    broken = torch.tensor([math.nan, math.inf, -math.inf, -0.0, 0.0, 1.0])
    versions = [broken[torch.randint(6, (2, 3, 300, 300))].to(dtype) for _ in range(2)]
    ranks, counts = torch.stack([torch.randperm(90000) for _ in range(2)]), torch.tensor([0, 1, 40000, 89999, 90000])
    for before, after in (versions, [versions[0], versions[1][:1, :, :1, :1]], [versions[0][:, :, :1, :1], versions[1]]):
        found = PixelReplacement(before, after, ranks, counts).images([PointRange(1, slice(0, 5))])
        changed = (ranks[1] < counts[:, None]).reshape(5, 1, 300, 300)
        expected = torch.where(changed, after.expand(2, 3, 300, 300)[1], before.expand(2, 3, 300, 300)[1])
        bits = {2: torch.int16, 4: torch.int32, 8: torch.int64}[dtype.itemsize]
        assert torch.equal(found.view(bits), expected.view(bits))
