"""AOPC, most and least relevant first: against loops over patches and pixels, and against Quantus where it is right."""

from __future__ import annotations

import itertools
import warnings

import numpy as np
import pytest
import torch
from helpers.toys import SIZE, toy_batch, toy_classifier
from torch import Tensor

from camdbench.core.errors import NotApplicable
from camdbench.core.registries import metrics
from camdbench.datasets.samples import Batch
from camdbench.functional.seeding import generator_for
from camdbench.metrics.common.inputs import MetricInputs
from camdbench.metrics.common.result import MetricResult
from camdbench.models.classifier import Classifier
from camdbench.models.pass_counts import PassCounts

CLASSIFIER = toy_classifier("dense")
BATCH = toy_batch()
MAPS = torch.rand(4, *SIZE, generator=torch.Generator().manual_seed(3))


def inputs_of(classifier: Classifier = CLASSIFIER, batch: Batch = BATCH, maps: Tensor = MAPS) -> MetricInputs:
    """The metric_inputs of a run."""
    return MetricInputs(classifier, batch.images, batch.labels, maps, ids=batch.ids, seed=5)


def measured(spec: str, metric_inputs: MetricInputs | None = None) -> MetricResult:
    """One metric as a run calls it."""
    checked = metrics.parse_one(spec)
    with CLASSIFIER.frozen():
        return metrics.load(checked.name)(metric_inputs or inputs_of(), **metrics.get(checked.name).arguments(checked))


def probability(image: Tensor, index: int) -> float:
    """Of the label, of one altered image."""
    with torch.no_grad():
        return float(CLASSIFIER(image[None])[0].double().softmax(0)[BATCH.labels[index]])


def black_of_quantus(image: Tensor) -> Tensor:
    """(3, 1, 1) in pixel space: the smallest value of the normalised image in every channel."""
    mean, std = CLASSIFIER.mean[0], CLASSIFIER.std[0]
    return ((image - mean) / std).min() * std + mean


def sliding_curve(index: int, patch: int, regions: int) -> list[float]:
    """Quantus 0.5, by its description: every pixel begins a patch, the best first, those that overlap an earlier one left out."""
    image, map_ = BATCH.images[index].clone(), torch.zeros(SIZE[0] + patch, SIZE[1] + patch)
    map_[: SIZE[0], : SIZE[1]] = MAPS[index]
    corners = list(itertools.product(range(SIZE[0]), range(SIZE[1])))
    corners.sort(key=lambda corner: -float(map_[corner[0] : corner[0] + patch, corner[1] : corner[1] + patch].sum()))
    fill, start = black_of_quantus(image), probability(image, index)
    taken, found = torch.zeros(map_.shape, dtype=torch.bool), list[float]()
    for y, x in corners:
        own = (slice(y, y + patch), slice(x, x + patch))
        if len(found) < regions and not taken[own].any():
            taken[own] = True
            image[:, own[0], own[1]] = fill
            found.append(start - probability(image, index))
    return found


@pytest.mark.parametrize("patch", [3, 4])
def test_sliding_patches_are_those_of_quantus_05(patch: int) -> None:
    found = measured(f"aopc(protocol=quantus05, patch={patch}, regions=5)")
    for index in range(4):
        drops = sliding_curve(index, patch, 5)
        assert len(drops) == 5
        assert found.curves["drop"].y[index].tolist() == pytest.approx([0, *drops], abs=1e-6)
        assert found.values[index].item() == pytest.approx(100 * np.mean(drops), abs=1e-4)


@pytest.mark.parametrize("patch", [2, 4, 5])
def test_the_grid_is_that_of_quantus_06(patch: int) -> None:
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        import quantus

        metric = quantus.RegionPerturbation(
            patch_size=patch, regions_evaluation=5, perturb_baseline="black", normalise=False, abs=False, disable_warnings=True
        )
        inputs = ((BATCH.images - CLASSIFIER.mean) / CLASSIFIER.std).numpy()
        expected = [
            metric(
                model=CLASSIFIER.network,
                x_batch=inputs[index : index + 1].copy(),  # alone, for its black is that of the array it is given
                y_batch=BATCH.labels[index : index + 1].numpy(),
                a_batch=MAPS[index : index + 1, None].numpy().copy(),
                device="cpu",
            )
            for index in range(4)
        ]
    found = measured(f"aopc(protocol=quantus06, patch={patch}, regions=5)")
    for index in range(4):
        assert found.curves["drop"].y[index, 1:].tolist() == pytest.approx(np.ravel(expected[index]).tolist(), abs=1e-5)
        assert found.values[index].item() == pytest.approx(100 * float(np.mean(expected[index])), abs=1e-3)


def test_sameks_sum_divides_by_one_more_than_the_number_of_patches() -> None:
    found = measured("aopc(patch=4, regions=7)")
    for index in range(4):
        noise = torch.rand(3, *SIZE, generator=generator_for(5, BATCH.ids[index], "uniform fill"))
        cells = list(itertools.product(range(0, 16, 4), range(0, 12, 4)))
        cells.sort(key=lambda corner: -float(MAPS[index, corner[0] : corner[0] + 4, corner[1] : corner[1] + 4].sum()))
        image, total = BATCH.images[index].clone(), 0.0
        start = probability(image, index)
        for y, x in cells[:7]:
            image[:, y : y + 4, x : x + 4] = noise[:, y : y + 4, x : x + 4]
            total += start - probability(image, index)
        assert found.values[index].item() == pytest.approx(100 * total / 8, abs=1e-4)


def test_a_grid_of_few_patches_is_replaced_altogether() -> None:
    found = measured("aopc")  # 2 x 2 patches of 9 pixels
    assert found.curves["drop"].x.tolist() == [0, 1, 2, 3, 4]


@pytest.mark.parametrize(("name", "sign"), [("morf", -1), ("lerf", 1)])
def test_pixels_are_flipped_in_their_order(name: str, sign: int) -> None:
    found = measured(f"{name}(protocol=quantus, step=50)")
    for index in range(4):
        image, fill = BATCH.images[index].clone(), black_of_quantus(BATCH.images[index])
        order = sorted(range(192), key=lambda place: sign * float(MAPS[index].flatten()[place]))
        curve = [probability(image, index)]
        for start in range(0, 192, 50):
            for place in order[start : start + 50]:
                image[:, place // 12, place % 12] = fill[:, 0, 0]
            curve.append(probability(image, index))
        x = [0, 50 / 192, 100 / 192, 150 / 192, 1]
        assert found.curves["curve"].x.tolist() == pytest.approx(x)
        assert found.curves["curve"].y[index].tolist() == pytest.approx(curve, abs=1e-6)
        assert found.values[index].item() == pytest.approx(100 * np.trapezoid(curve, x), abs=1e-4)


@pytest.mark.parametrize(("name", "sign"), [("morf", -1), ("lerf", 1)])
def test_chefer_looks_at_nine_shares_and_at_the_accuracy(name: str, sign: int) -> None:
    found = measured(f"{name}(protocol=chefer)")
    shares = [192 * tenth // 10 for tenth in range(1, 10)]
    assert found.curves["curve"].x.tolist() == pytest.approx([share / 192 for share in shares])
    for index in range(4):
        order = sorted(range(192), key=lambda place: sign * float(MAPS[index].flatten()[place]))
        for share, value in zip(shares, found.curves["curve"].y[index].tolist(), strict=True):
            image = BATCH.images[index].clone()
            image.flatten(1)[:, order[:share]] = 0
            with torch.no_grad():
                assert value == float(CLASSIFIER(image[None])[0].argmax() == BATCH.labels[index])


def test_aopc_is_the_height_of_the_curve_below_its_start() -> None:
    """An identity that both orders of Samek et al. obey: AOPC = f(x_0) - mean of f(x_k)."""
    metric_inputs = inputs_of()
    found, curve = measured("aopc(patch=3)", metric_inputs), measured("morf(patch=3)", metric_inputs).curves["curve"].y
    torch.testing.assert_close(found.values, 100 * (curve[:, 0] - curve.mean(1)))


def test_metrics_of_the_same_walk_share_its_passes() -> None:
    metric_inputs = inputs_of()
    CLASSIFIER.passes = PassCounts()
    measured("aopc(patch=4, regions=7)", metric_inputs)
    assert CLASSIFIER.passes == PassCounts(forward=4 * 7 + 4)
    measured("morf(patch=4, regions=7)", metric_inputs)
    assert CLASSIFIER.passes == PassCounts(forward=4 * 7 + 4)
    measured("morf(protocol=quantus, step=16, fill='blank', masking='pixels')", metric_inputs)
    before = CLASSIFIER.passes
    measured("deletion(step=16, scored_class='target')", metric_inputs)  # the same pixels, removed alike
    assert CLASSIFIER.passes == before


def test_a_constant_map_has_no_value() -> None:
    maps = MAPS.clone()
    maps[1] = 0.5
    for spec in ("aopc(patch=3)", "morf(patch=3)", "lerf(patch=3)"):
        found = measured(spec, inputs_of(maps=maps))
        assert found.undefined.tolist() == found.values.isnan().tolist() == [False, True, False, False]


def test_a_curve_without_points_is_refused() -> None:
    batch = Batch(("a",), torch.rand(1, 3, 1, 1), torch.tensor([0]))
    with pytest.raises(NotApplicable, match="1 patches has no point"):
        measured("morf(protocol=chefer)", inputs_of(batch=batch, maps=torch.ones(1, 1, 1)))
