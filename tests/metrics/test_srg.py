"""SRG: values of an additive network, a loop over segments, all orders, and shared passes."""

from __future__ import annotations

from dataclasses import replace
from itertools import permutations

import numpy as np
import pytest
import torch
from helpers.scored_maps import additive_classifier, images_of, scored
from helpers.toys import SIZE, toy_batch, toy_classifier
from skimage.segmentation import slic

from camdbench.datasets.samples import Batch

MAPS = torch.rand(4, *SIZE, generator=torch.Generator().manual_seed(3))
PIXELS = "srg(protocol=pixels, step=4)"  # a step is a quadrant


def quarters(*relevance: float) -> tuple[Batch, torch.Tensor]:
    """A white image of 4 x 4 pixels, and a map of four values."""
    batch = toy_batch().part(0, 1)
    batch = replace(batch, images=torch.ones(1, 3, 4, 4), labels=torch.tensor([0]))
    return batch, torch.tensor(relevance).reshape(1, 2, 2).repeat_interleave(2, 1).repeat_interleave(2, 2)


@pytest.mark.usefixtures("float64")
def test_an_additive_network_of_four_equal_segments() -> None:
    """Weights (3, 2, 1, 0) / 6: MoRF 0.2916667, LeRF 0.7083333, SRG 0.4166667; the reversed map has the negative."""
    classifier = additive_classifier(3 / 6, 2 / 6, 1 / 6, 0)
    batch, right = quarters(1.0, 0.75, 0.5, 0.25)
    found = scored(classifier, batch, right, PIXELS)
    assert found.values.item() == pytest.approx(41.66667, abs=1e-4)
    areas = {name: torch.trapezoid(curve.y, curve.x).item() for name, curve in found.curves.items()}
    assert areas == pytest.approx({"morf": 0.2916667, "lerf": 0.7083333}, abs=1e-6)
    assert scored(classifier, batch, 1 - right, PIXELS).values.item() == pytest.approx(-41.66667, abs=1e-4)


@pytest.mark.usefixtures("float64")
def test_the_mean_over_all_orders_is_zero() -> None:
    classifier = additive_classifier(3 / 6, 2 / 6, 1 / 6, 0)
    found = [scored(classifier, *quarters(*order), PIXELS).values.item() for order in permutations((1.0, 0.75, 0.5, 0.25))]
    assert np.mean(found) == pytest.approx(0, abs=1e-6)
    assert max(found) == pytest.approx(41.66667, abs=1e-4)


@pytest.mark.parametrize(("fill", "masking"), [("blank", "normalised"), ("average", "pixels")])
def test_segments_are_removed_one_by_one_and_the_area_is_over_their_pixels(fill: str, masking: str) -> None:
    classifier, batch = toy_classifier("dense"), toy_batch()
    found = scored(classifier, batch, MAPS, f"srg(segments=9, fill={fill!r}, masking={masking!r})")
    for index, image in enumerate(batch.images):
        labels = slic(image.permute(1, 2, 0).double().numpy(), n_segments=9, compactness=1.0, start_label=0)
        colour = image.mean((1, 2)) if fill == "average" else classifier.mean.flatten()
        means = {number: MAPS[index].numpy()[labels == number].astype(np.float64).mean() for number in np.unique(labels)}
        order, areas = sorted(means, key=lambda number: -means[number]), list[float]()
        for numbers in (order, order[::-1]):
            shown, x, y = image.clone(), [0.0], list[float]()
            for number in (None, *numbers):
                if number is not None:
                    where = torch.from_numpy(labels == number)
                    shown[:, where] = colour[:, None]
                    x.append(x[-1] + where.double().mean().item())
                with torch.no_grad():
                    y.append(classifier(shown[None]).double().softmax(1)[0, batch.labels[index]].item())
            areas.append(np.trapezoid(y, x))
        assert found.values[index].item() == pytest.approx(100 * (areas[1] - areas[0]), abs=1e-3)
        for name, expected in zip(("morf", "lerf"), areas, strict=True):
            curve = found.curves[name]
            assert torch.trapezoid(curve.y[index], curve.x).item() == pytest.approx(expected, abs=0.01)


def test_pixels_share_the_walk_of_deletion_and_segments_that_of_irof() -> None:
    deletion, both = images_of("deletion(step=16)"), images_of("deletion(step=16),srg(protocol=pixels, step=16)")
    assert both - deletion == 2 * 11
    alone = images_of("srg(segments=9, compactness=10.0, fill='average', masking='pixels')")
    assert images_of("irof(segments=9),srg(segments=9, compactness=10.0, fill='average', masking='pixels')") == alone


def test_a_constant_map_and_a_single_segment_have_no_value() -> None:
    maps = MAPS.clone()
    maps[2] = 0.5
    for spec in ("srg(segments=9)", "srg(protocol=pixels)"):
        assert scored(toy_classifier("dense"), toy_batch(), maps, spec).undefined.tolist() == [False, False, True, False]
    assert scored(toy_classifier("dense"), toy_batch(), MAPS, "srg(segments=1)").undefined.all()
