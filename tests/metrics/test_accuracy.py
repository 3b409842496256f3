"""Accuracy, top-5 and average precision against torch's topk and scikit-learn."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
import torch
from helpers.toys import toy_batch, toy_classifier
from sklearn.metrics import average_precision_score, top_k_accuracy_score
from torch import Tensor

from camdbench.core.errors import NotApplicable
from camdbench.core.registries import NO_EXPLAINER, metrics
from camdbench.metrics.accuracy import accuracy, average_precision, top5
from camdbench.metrics.common.inputs import MetricInputs
from camdbench.runner.scoring import score_batch
from camdbench.tables.aggregates import CellData, aggregate

COUNT, CLASSES = 40, 7


def seen(logits: Tensor, labels: Tensor, present: Tensor | None = None) -> MetricInputs:
    """Evidence of which nothing but the logits is known."""
    images = torch.zeros(len(logits), 3, 2, 2)
    return MetricInputs(toy_classifier(), images, torch.zeros(len(logits), dtype=torch.long), logits=logits, labels=labels, present=present)


@pytest.fixture
def logits() -> Tensor:
    return 3 * torch.randn(COUNT, CLASSES, generator=torch.Generator().manual_seed(0))


@pytest.fixture
def labels() -> Tensor:
    return torch.arange(COUNT) % CLASSES


def test_accuracy_and_top_k_are_scikit_learns(logits: Tensor, labels: Tensor) -> None:
    for found, count in ((accuracy, 1), (top5, 5)):
        values = found(seen(logits, labels)).values
        assert set(values.tolist()) == {0, 100}
        assert values.mean().item() == pytest.approx(100 * top_k_accuracy_score(labels, logits, k=count))
    assert top5(seen(logits, labels), count=2).values.mean().item() == pytest.approx(100 * top_k_accuracy_score(labels, logits, k=2))


def test_balanced_accuracy_is_the_mean_of_the_recalls(logits: Tensor, labels: Tensor) -> None:
    from sklearn.metrics import balanced_accuracy_score

    skewed = torch.where(torch.arange(COUNT) < 20, 1, labels)
    cell = CellData(accuracy(seen(logits, skewed)).values.numpy(), labels=skewed.numpy())
    found = aggregate("class mean", cell, np.ones((1, COUNT)))[0]
    assert found == pytest.approx(100 * balanced_accuracy_score(skewed, logits.argmax(1)))
    assert abs(found - cell.values.mean()) > 1


@pytest.mark.parametrize("label", [-1, CLASSES])
def test_an_unknown_label_is_undefined_and_no_mistake(logits: Tensor, labels: Tensor, label: int) -> None:
    for function in (accuracy, top5, average_precision):
        found = function(seen(logits, torch.where(torch.arange(COUNT) == 3, label, labels)))
        assert found.undefined.nonzero().flatten().tolist() == [3]
        assert found.values.isnan().nonzero().flatten().tolist() == [3]


def test_a_broken_network_has_no_accuracy_but_for_an_error(labels: Tensor) -> None:
    for function in (accuracy, top5, average_precision):
        found = function(seen(torch.full((COUNT, CLASSES), torch.nan), labels))
        assert found.values.isnan().all()
        assert not found.undefined.any()


@pytest.mark.parametrize("ties", [False, True])
@pytest.mark.parametrize("average", ["samples", "micro", "macro"])
@pytest.mark.parametrize("several", [False, True])
def test_average_precision_is_scikit_learns(logits: Tensor, labels: Tensor, average: str, several: bool, ties: bool) -> None:
    truth = torch.nn.functional.one_hot(labels, CLASSES).bool()
    if several:
        truth = truth | (torch.rand(COUNT, CLASSES, generator=torch.Generator().manual_seed(1)) < 0.3)
    given = (logits / 3).round() if ties else logits
    found = average_precision(seen(given, labels, truth if several else None))
    spec = metrics.parse_one(f"average_precision(protocol={average})")
    reduction = metrics.get("average_precision").protocol(spec).reduction
    points = {name: (curve.x.numpy(), curve.y.numpy()) for name, curve in found.curves.items()}
    number = aggregate(reduction, CellData(found.values.numpy(), points), np.ones((1, COUNT)))[0]
    expected = average_precision_score(truth.int(), given.double(), average=average)
    assert number == pytest.approx(100 * expected if reduction == "mean" else expected)


def test_probabilities_rank_classes_alike_but_images_differently(logits: Tensor, labels: Tensor) -> None:
    informed = logits + 6 * torch.nn.functional.one_hot(labels, CLASSES)
    shifted = seen(informed + 50 * torch.rand(COUNT, 1, generator=torch.Generator().manual_seed(2)), labels)
    by_logit, by_probability = (average_precision(shifted, scored_output=score) for score in ("logit", "probability"))
    torch.testing.assert_close(by_logit.values, by_probability.values)
    probabilities = (shifted.logits.double().softmax(1)).numpy()
    found = {name: (curve.x.numpy(), curve.y.numpy()) for name, curve in by_probability.curves.items()}
    micro = aggregate("micro average precision", CellData(by_probability.values.numpy(), found), np.ones((1, COUNT)))[0]
    truth = torch.nn.functional.one_hot(labels, CLASSES)
    assert micro == pytest.approx(average_precision_score(truth, probabilities, average="micro"))
    assert abs(micro - average_precision_score(truth, shifted.logits, average="micro")) > 0.02


def test_an_image_that_shows_nothing_known_is_undefined(logits: Tensor, labels: Tensor) -> None:
    present = torch.nn.functional.one_hot(labels, CLASSES).bool()
    present[5] = False
    assert average_precision(seen(logits, labels, present)).undefined.nonzero().flatten().tolist() == [5]


def test_other_classes_than_the_networks_are_no_truth(logits: Tensor, labels: Tensor) -> None:
    with pytest.raises(NotApplicable, match="some of 9 classes, and the network knows 7"):
        average_precision(seen(logits, labels, torch.ones(COUNT, 9, dtype=torch.bool)))


def test_a_run_hands_on_the_classes_that_images_show() -> None:
    classifier, batch = toy_classifier(), toy_batch()
    spec = metrics.parse_one("average_precision")
    several = replace(batch, present=torch.ones(4, 5, dtype=torch.bool))
    values = list[list[float]]()
    for given in (batch, several):
        with classifier.frozen():
            result = next(score_batch(classifier, given, [NO_EXPLAINER], [spec], target="label", seed=0))
        values.append(list(result.scores[str(spec)].values))
    assert values[1] == [100] * 4
    assert values[0] != values[1]
