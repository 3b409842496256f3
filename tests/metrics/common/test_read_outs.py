"""Objectives along curves: literal curves, image by image, and the logit as the default objective."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
import pytest
import torch
from helpers.toys import toy_batch, toy_classifier
from torch import Tensor

import camdbench
from camdbench.functional.curves import area
from camdbench.metrics.common.inputs import MetricInputs
from camdbench.metrics.common.read_outs import READ_OUTS, read_out_of, read_outs

BATCH = toy_batch(3)
MAPS = torch.rand(3, *BATCH.images.shape[-2:], generator=torch.Generator().manual_seed(5))
CURVES = (
    "insertion(step=20)",
    "deletion(step=20)",
    "lead(step=20)",
    "normalised_insertion(step=20)",
    "normalised_deletion(step=20)",
    "morf(patch=4)",
    "lerf(patch=4)",
    "aopc(patch=4)",
    "road",
    "road_morf",
    "road_lerf",
    "irof(segments=9)",
    "srg(segments=9)",
    "srg(segments=0, step=20)",
)
OBJECTIVES: dict[str, tuple[Any, Callable[[Tensor, int], Tensor]]] = {
    "log_odds": ("log_odds", lambda z, y: z[y] - torch.cat([z[:y], z[y + 1 :]]).exp().sum().log()),
    "sum": ("sum(1, 3)", lambda z, _: z[1] + z[3]),
    "function": (lambda z: 30 + 2 * z[2] - z.square().sum(), lambda z, _: 30 + 2 * z[2] - z.square().sum()),
}


def reading(metric: str, output: str) -> str:
    own = f"scored_class=target, scored_output={output})"
    return f"{metric[:-1]}, {own}" if "(" in metric else f"{metric}({own}"


def values(metrics: Any, objective: Any = "logit", classifier: Any = None) -> np.ndarray[Any, Any]:
    found = camdbench.evaluate(classifier or toy_classifier(), BATCH.images, BATCH.labels, MAPS, metrics, objective=objective)
    assert set(found["status"]) <= {"ok", "undefined"}
    return found["value"].to_numpy(dtype=float).reshape(len(BATCH), -1).T


@pytest.mark.filterwarnings("ignore:metric")
@pytest.mark.parametrize("metric", CURVES)
def test_the_default_objective_is_the_logit_and_another_one_is_not(metric: str) -> None:
    own, logit = values([reading(metric, "objective"), reading(metric, "logit")])
    np.testing.assert_array_equal(own, logit)
    assert np.isfinite(own).any()
    others = [values(reading(metric, "objective"), function)[0] for function in (lambda z: z.exp().sum(), lambda z: 90 - z.exp().sum())]
    assert np.isfinite(others).any()
    assert not any(np.array_equal(other, own, equal_nan=True) for other in others)


def slow_scores(network: Any, picture: Callable[[int, Tensor], Tensor], counts: list[int], read: Callable[[Tensor, int], Tensor]) -> Tensor:
    """Scores (B, K), image by image and point by point; `picture` replaces the pixels of a mask (H, W) in an image."""
    found = torch.zeros(len(BATCH), len(counts), dtype=torch.float64)
    for image in range(len(BATCH)):
        order = MAPS[image].flatten().argsort(descending=True, stable=True)
        for point, count in enumerate(counts):
            replaced = torch.zeros(MAPS[image].numel(), dtype=torch.bool)
            replaced[order[:count]] = True
            with torch.no_grad():
                logits = network(picture(image, replaced.view(MAPS[image].shape))[None])[0]
            found[image, point] = read(logits.double(), int(BATCH.labels[image]))
    return found


@pytest.mark.filterwarnings("ignore:metric")
@pytest.mark.parametrize("name", OBJECTIVES)
def test_curves_of_an_objective_against_literal_ones(name: str) -> None:
    objective, read = OBJECTIVES[name]
    network, pixels = toy_classifier(), MAPS[0].numel()
    metrics = ("deletion(step=20)", "insertion(step=20, start=blank)", "road_morf(fill=average, jitter=0.0)")
    deletion, insertion, road = values([reading(metric, "objective") for metric in metrics], objective)

    counts = [*range(0, pixels, 20), pixels]
    x = torch.tensor(counts, dtype=torch.float64) / pixels
    deleted = slow_scores(network, lambda image, gone: BATCH.images[image] * ~gone, counts, read)
    np.testing.assert_allclose(deletion, 100 * area(deleted, x), rtol=1e-4)
    inserted = slow_scores(network, lambda image, shown: BATCH.images[image] * shown, counts, read)
    np.testing.assert_allclose(insertion, 100 * area(inserted, x), rtol=1e-4)

    def averaged(image: int, gone: Tensor) -> Tensor:
        return torch.where(gone, BATCH.images[image].mean((1, 2), keepdim=True), BATCH.images[image])

    imputed = slow_scores(network, averaged, [pixels * percent // 100 for percent in range(10, 100, 10)], read)
    np.testing.assert_allclose(road, 100 * imputed.mean(1), rtol=1e-4)


def test_irof_of_an_objective_against_a_literal_curve() -> None:
    from skimage.segmentation import slic

    objective, read = OBJECTIVES["function"]
    found, expected, network = values("irof(segments=9, scored_output=objective)", objective)[0], list[float](), toy_classifier()
    for image, label in enumerate(BATCH.labels.tolist()):
        picture = BATCH.images[image]
        labels = torch.from_numpy(slic(picture.permute(1, 2, 0).double().numpy(), n_segments=9, compactness=10.0, sigma=0.0, start_label=0))
        means = {int(number): float(MAPS[image][labels == number].mean()) for number in labels.unique()}
        gone, scores = torch.zeros_like(labels, dtype=torch.bool), list[float]()
        for number in [None, *sorted(means, key=lambda own: -means[own])]:
            gone |= labels == number if number is not None else False
            with torch.no_grad():
                logits = network(torch.where(gone, picture.mean((1, 2), keepdim=True), picture)[None])[0]
            scores.append(float(read(logits.double(), label)))
        curve = np.array(scores) / scores[0]
        expected.append(100 * (1 - np.trapezoid(curve, dx=1 / (len(curve) - 1))))
        assert scores[0] > 0
    np.testing.assert_allclose(found, expected, rtol=1e-4)


@pytest.mark.filterwarnings("ignore:metric")
@pytest.mark.parametrize("metric", ["deletion(step=20)", "road_morf", "irof(segments=9)", "morf(patch=4)"])
def test_reading_the_objective_too_costs_no_further_pass(metric: str) -> None:
    def images(metrics: Any) -> int:
        classifier = toy_classifier()
        values(metrics, "log_odds", classifier)
        return int(classifier.passes.forward)

    assert images([metric, reading(metric, "objective")]) == images(metric)


def test_read_outs_of_a_class_that_the_network_does_not_have_are_not_a_number() -> None:
    classifier = toy_classifier()
    targets = torch.tensor([0, -1, 99])
    for explained in (None, lambda logits, rows: 2 * logits.gather(1, targets[rows][:, None]).squeeze(1)):
        inputs = MetricInputs(classifier, BATCH.images, targets, explained=explained)
        found = read_outs(inputs, inputs.logits, torch.arange(3))
        assert found.shape == (3, READ_OUTS)
        own = [read_out_of("target", output) for output in ("probability", "accuracy", "logit", "objective")]
        assert found[1:, own].isnan().all()
        assert found[0].isfinite().all()
        assert found[:, [place for place in range(READ_OUTS) if place not in own]].isfinite().all()
        factor = 1 if explained is None else 2
        assert found[0, read_out_of("target", "objective")] == factor * inputs.logits[0, 0].double()
    assert len({read_out_of(one, output) for one in ("target", "predicted") for output in ("probability", "accuracy", "logit")}) == 6
