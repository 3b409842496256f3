"""ROAD: against a loop over images and percentages with grad-cam's equations, solved by scipy."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from helpers.toys import SIZE, toy_batch, toy_classifier
from pytorch_grad_cam.metrics.road import NoisyLinearImputer, neighbors_weights
from scipy.sparse import csc_matrix
from scipy.sparse.linalg import spsolve
from torch import Tensor

from camdbench.core.errors import UsageError
from camdbench.core.registries import metrics
from camdbench.functional.seeding import generator_for
from camdbench.metrics.common.inputs import MetricInputs
from camdbench.metrics.common.result import MetricResult
from camdbench.models.pass_counts import PassCounts

CLASSIFIER = toy_classifier("dense")
BATCH = toy_batch()
MAPS = torch.rand(4, *SIZE, generator=torch.Generator().manual_seed(3))
PIXELS = SIZE[0] * SIZE[1]
with torch.no_grad():
    LOGITS = CLASSIFIER(BATCH.images)


def inputs_of(maps: Tensor = MAPS) -> MetricInputs:
    """The inputs of a run."""
    return MetricInputs(CLASSIFIER, BATCH.images, BATCH.labels, maps, ids=BATCH.ids, seed=5, logits=LOGITS)


def measured(spec: str, inputs: MetricInputs | None = None) -> MetricResult:
    """One metric as a run calls it."""
    checked = metrics.parse_one(spec)
    with CLASSIFIER.frozen():
        return metrics.load(checked.name)(inputs or inputs_of(), **metrics.get(checked.name).arguments(checked))


def imputed(image: Tensor, known: Tensor) -> Tensor:
    """One image (3, H, W) whose unknown pixels are the solution of grad-cam's system, by a direct solver."""
    system = NoisyLinearImputer.setup_sparse_system(known.float().numpy(), image.numpy(), neighbors_weights)
    found = image.clone()
    found[:, ~known] = torch.from_numpy(spsolve(csc_matrix(system[0]), system[1])).float().T
    return found


def scores_of(index: int, percent: int, sign: int, noise: float) -> Tensor:
    """The probabilities of one image with so many per cent of its pixels imputed; sign -1 is the most relevant first."""
    order = sorted(range(PIXELS), key=lambda place: sign * float(MAPS[index].flatten()[place]))
    known = torch.ones(PIXELS, dtype=torch.bool)
    known[order[: PIXELS * percent // 100]] = False
    known = known.reshape(SIZE)
    field = torch.randn(3, *SIZE, generator=generator_for(5, BATCH.ids[index], "imputation"))
    filled = imputed(BATCH.images[index], known) + noise * field * ~known
    with torch.no_grad():
        return CLASSIFIER(filled[None])[0].double().softmax(0)


@pytest.mark.parametrize(("name", "sign"), [("road_morf", -1), ("road_lerf", 1)])
def test_curves_are_those_of_a_direct_solver(name: str, sign: int) -> None:
    found = measured(f"{name}(scored_output='probability', jitter=0.0)")
    assert found.curves["curve"].x.tolist() == pytest.approx([percent / 100 for percent in range(10, 100, 10)])
    for index in range(4):
        expected = [float(scores_of(index, percent, sign, 0.01)[BATCH.labels[index]]) for percent in range(10, 100, 10)]
        assert found.curves["curve"].y[index].tolist() == pytest.approx(expected, abs=1e-4)
        assert found.values[index].item() == pytest.approx(100 * np.mean(expected), abs=1e-2)


def test_accuracy_is_whether_the_class_has_the_largest_logit() -> None:
    found = measured("road_morf(jitter=0.0, percentages=(30, 60))")
    for index in range(4):
        expected = [float(scores_of(index, percent, -1, 0.01).argmax() == BATCH.labels[index]) for percent in (30, 60)]
        assert found.curves["curve"].y[index].tolist() == expected


def test_both_orders_together_are_half_their_difference() -> None:
    inputs = inputs_of()
    both = measured("road", inputs)
    CLASSIFIER.passes = PassCounts()
    morf, lerf = (measured(f"{name}(protocol=gradcam)", inputs) for name in ("road_morf", "road_lerf"))
    assert CLASSIFIER.passes == PassCounts()  # made already
    torch.testing.assert_close(both.values, (lerf.values - morf.values) / 2)
    assert torch.equal(both.curves["lerf"].y, lerf.curves["curve"].y)


def test_it_makes_one_pass_for_each_image_and_percentage() -> None:
    CLASSIFIER.passes = PassCounts()
    measured("road_lerf")
    assert CLASSIFIER.passes == PassCounts(forward=4 * 9)


def test_the_space_of_masking_only_scales_the_noise() -> None:
    quiet = [measured(f"road_morf(scored_output='probability', noise=0.0, masking={space!r})") for space in ("pixels", "normalised")]
    torch.testing.assert_close(*(found.values for found in quiet))
    loud = [measured(f"road_morf(scored_output='probability', noise=0.5, masking={space!r})") for space in ("pixels", "normalised")]
    assert (loud[0].values - loud[1].values).abs().max() > 0.1


def test_ties_are_broken_by_noise_and_not_by_position() -> None:
    tied = torch.where(MAPS > 0.5, 1.0, 0.0)
    by_position = measured("road_morf(scored_output='probability', jitter=0.0)", inputs_of(tied))
    by_noise = measured("road_morf(scored_output='probability')", inputs_of(tied))
    assert (by_position.values - by_noise.values).abs().max() > 1e-3


def test_a_constant_map_has_no_value() -> None:
    maps = MAPS.clone()
    maps[1] = 0.5
    for name in ("road", "road_morf", "road_lerf"):
        found = measured(name, inputs_of(maps))
        assert found.undefined.tolist() == found.values.isnan().tolist() == [False, True, False, False]


@pytest.mark.parametrize("percentages", ["(10, 100)", "()"])
def test_without_any_pixel_nothing_can_be_imputed(percentages: str) -> None:
    with pytest.raises(UsageError, match="percentages"):
        measured(f"road(percentages={percentages})")
