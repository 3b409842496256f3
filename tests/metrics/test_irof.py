"""IROF: against a loop over segments, one image at a time."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from helpers.toys import toy_classifier
from skimage.segmentation import slic
from torch import Tensor

from camdbench.core.registries import metrics
from camdbench.metrics.common.inputs import MetricInputs
from camdbench.metrics.common.result import MetricResult
from camdbench.models.pass_counts import PassCounts

SIZE = (32, 24)
CLASSIFIER = toy_classifier()  # pools, so that images may be larger than its own
LABELS = torch.tensor([0, 1, 2])
MAPS = torch.rand(3, *SIZE, generator=torch.Generator().manual_seed(3))


def plain_images() -> Tensor:
    """Three images of large patches of colour, which SLIC cuts into different numbers of segments."""
    generator = torch.Generator().manual_seed(0)
    coarse = torch.rand(3, 3, 4, 3, generator=generator)
    images = torch.nn.functional.interpolate(coarse, SIZE, mode="nearest")
    images[0] += 0.02 * torch.rand(3, *SIZE, generator=generator)
    return images.clamp(0, 1)


IMAGES = plain_images()


def inputs_of(maps: Tensor = MAPS, images: Tensor = IMAGES) -> MetricInputs:
    """The inputs of a run."""
    return MetricInputs(CLASSIFIER, images, LABELS, maps)


def measured(spec: str, inputs: MetricInputs | None = None) -> MetricResult:
    """One metric as a run calls it."""
    checked = metrics.parse_one(spec)
    with CLASSIFIER.frozen():
        return metrics.load(checked.name)(inputs or inputs_of(), **metrics.get(checked.name).arguments(checked))


def by_hand(index: int, count: int, fill: str) -> list[float]:
    """What is left after each segment: find segments, sort by their mean, replace one after the other, look."""
    image = IMAGES[index].clone()
    labels = slic(image.permute(1, 2, 0).double().numpy(), n_segments=count, start_label=0)
    means = {segment: MAPS[index].numpy()[labels == segment].astype(np.float64).mean() for segment in np.unique(labels)}
    colour = image.mean((1, 2)) if fill == "average" else torch.zeros(3)
    found = []
    for segment in [None, *sorted(means, key=means.__getitem__, reverse=True)]:
        if segment is not None:
            image[:, torch.from_numpy(labels == segment)] = colour[:, None]
        with torch.no_grad():
            found.append(float(CLASSIFIER(image[None])[0].double().softmax(0)[LABELS[index]]))
    return [value / found[0] for value in found]


@pytest.mark.parametrize("fill", ["average", "blank"])
@pytest.mark.parametrize("count", [12, 30])
def test_values_and_curves_are_those_of_a_loop_over_segments(count: int, fill: str) -> None:
    found = measured(f"irof(segments={count}, fill={fill!r})")
    lengths = set()
    for index in range(3):
        left = by_hand(index, count, fill)
        lengths.add(len(left))
        assert found.values[index].item() == pytest.approx(100 * (1 - np.trapezoid(left, dx=1 / (len(left) - 1))), abs=1e-3)
        shares = np.interp(np.linspace(0, 1, 101), np.linspace(0, 1, len(left)), left)
        assert found.curves["left"].y[index].tolist() == pytest.approx(shares.tolist(), abs=1e-5)
    assert len(lengths) > 1  # images differ in their number of segments


def test_each_segment_is_one_pass_and_no_image_waits_for_another() -> None:
    inputs = inputs_of()
    inputs.logits  # noqa: B018 - made before
    CLASSIFIER.passes = PassCounts()
    measured("irof(segments=30)", inputs)
    assert CLASSIFIER.passes == PassCounts(forward=_segments(30))


def _segments(count: int) -> int:
    return sum(len(np.unique(slic(image.permute(1, 2, 0).double().numpy(), n_segments=count, start_label=0))) for image in IMAGES)


def test_an_order_that_removes_the_class_first_scores_higher() -> None:
    """The map of what each segment's removal alone costs beats its inverse."""
    labels = [slic(image.permute(1, 2, 0).double().numpy(), n_segments=12, start_label=0) for image in IMAGES]
    maps = torch.zeros(3, *SIZE)
    for index, own in enumerate(labels):
        for segment in np.unique(own):
            where = torch.from_numpy(own == segment)
            image = IMAGES[index].clone()
            image[:, where] = IMAGES[index].mean((1, 2))[:, None]
            with torch.no_grad():
                maps[index, where] = -CLASSIFIER(image[None])[0].log_softmax(0)[LABELS[index]]
    maps = (maps - maps.amin((1, 2), keepdim=True)) / (maps.amax((1, 2), keepdim=True) - maps.amin((1, 2), keepdim=True))
    best, worst = (measured("irof(segments=12)", inputs_of(given)).values for given in (maps, 1 - maps))
    assert (best > worst).all()


def test_a_constant_map_and_an_image_of_one_segment_have_no_value() -> None:
    maps, images = MAPS.clone(), IMAGES.clone()
    maps[0] = 0.5
    images[1] = torch.rand(3, *SIZE, generator=torch.Generator().manual_seed(0))  # noise, which SLIC does not cut
    found = measured("irof(segments=4)", inputs_of(maps, images))
    assert len(np.unique(slic(images[1].permute(1, 2, 0).double().numpy(), n_segments=4, start_label=0))) == 1
    assert found.undefined.tolist() == found.values.isnan().tolist() == [True, True, False]
