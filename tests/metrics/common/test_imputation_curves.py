"""Imputation curves: every fill against images built pixel by pixel, and passes shared by percentage."""

from __future__ import annotations

import pytest
import torch
from helpers.each import each
from helpers.scored_maps import images_of, scored
from helpers.toys import SIZE, toy_batch, toy_classifier

from camdbench.functional.fill_values import rise_blur

MAPS = torch.rand(4, *SIZE, generator=torch.Generator().manual_seed(3))


@each("fill", ["blank", "blurred", "average"])
@each("masking", ["pixels", "normalised"])
def test_each_fill_replaces_the_pixels_that_road_imputes(fill: str, masking: str) -> None:
    classifier, batch = toy_classifier("dense"), toy_batch()
    ground = classifier.mean if masking == "normalised" else torch.zeros(1, 3, 1, 1)
    versions = {"blank": ground.expand(4, 3, *SIZE), "blurred": rise_blur(batch.images, ground)}
    version = versions.get(fill, batch.images.mean((2, 3), keepdim=True).expand(4, 3, *SIZE))
    spec = f"road_lerf(percentages=(25, 70), fill={fill!r}, masking={masking!r}, scored_output='probability', jitter=0.0)"
    found = scored(classifier, batch, MAPS, spec).curves["curve"].y
    for index in range(4):
        order = MAPS[index].flatten().argsort().tolist()
        for point, percent in enumerate((25, 70)):
            image = batch.images[index].clone()
            for place in order[: percent * 192 // 100]:
                image[:, place // SIZE[1], place % SIZE[1]] = version[index, :, place // SIZE[1], place % SIZE[1]]
            with torch.no_grad():
                expected = classifier(image[None]).double().softmax(1)[0, batch.labels[index]].item()
            assert found[index, point].item() == pytest.approx(expected, abs=1e-5)


@pytest.mark.parametrize("protocol", ["rong", "zero", "blur", "mean"])
def test_each_percentage_is_a_row_without_a_further_pass(protocol: str) -> None:
    whole = f"road(protocol={protocol})"
    rows = [f"road_morf(protocol={protocol}, percentages=({percent},))" for percent in range(10, 100, 10)]
    read = f"road(protocol={protocol}, scored_output='probability'),road_lerf(protocol={protocol}, scored_class='predicted')"
    assert images_of(f"{whole},{','.join(rows)},{read}") == images_of(whole) == 2 * (1 + 2 * 9)


@pytest.mark.usefixtures("float64")  # one image and two are other sums of float32, whose order a processor chooses
def test_the_mean_of_the_rows_is_the_curve_s_and_the_order_of_metrics_does_not_matter() -> None:
    classifier, batch = toy_classifier("dense"), toy_batch()
    rows = [scored(classifier, batch, MAPS, f"road_morf(protocol=probability, percentages=({percent},))").values for percent in (20, 60)]
    both = scored(classifier, batch, MAPS, "road_morf(protocol=probability, percentages=(60, 20, 60))")
    torch.testing.assert_close(both.values, (rows[0] + 2 * rows[1]) / 3)
    torch.testing.assert_close(both.curves["curve"].y[:, 0], both.curves["curve"].y[:, 2])
