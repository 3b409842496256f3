"""Deep feature factorisation: known factors, the factor of a class, refusals, and pytorch-grad-cam's dependence on the batch."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from helpers.toys import maps_of, toy_batch, toy_classifier
from pytorch_grad_cam.feature_factorization.deep_feature_factorization import dff as dff_of_grad_cam
from torch import Tensor, nn

from camdbench.core.errors import NotApplicable, UsageError
from camdbench.datasets.samples import Batch
from camdbench.explainers.common.trace import Trace
from camdbench.explainers.dff import dff
from camdbench.models.classifier import Classifier

pytestmark = pytest.mark.usefixtures("float64")


def trace_of(activations: Tensor, weights: Tensor, label: int) -> Trace:
    """A network whose layer `0` gives the image itself, and whose head is pooling and a linear layer."""
    head = nn.Linear(3, len(weights), bias=False)
    head.weight.data = weights
    network = nn.Sequential(nn.Identity(), nn.AdaptiveAvgPool2d(1), nn.Flatten(), head)
    batch = Batch(("image",), activations, torch.tensor([label]))
    return Trace(Classifier(network, "0", mean=0.0, std=1.0).requires_grad_(False), batch)


def test_disjoint_factors_are_found_and_the_class_chooses_its_own() -> None:
    parts = torch.zeros(2, 4, 4)
    parts[0, :2, :2], parts[1, 2:] = 1.0, torch.tensor([[1.0, 2.0, 3.0, 4.0]])
    concepts = torch.tensor([[0.9, 0.1, 0.0], [0.0, 0.2, 0.8]])
    image = torch.einsum("tk,thw->khw", concepts, parts)[None]
    weights = torch.tensor([[1.0, 0.0, 0.0], [0.0, 0.0, 1.0]])
    for label in (0, 1):
        found = dff(trace_of(image, weights, label), factors=2, iterations=400)[0]
        torch.testing.assert_close(found, concepts[label].norm() * parts[label], rtol=0, atol=1e-6)


def test_a_layer_of_rank_one_is_recovered_also_where_it_is_negative() -> None:
    place = torch.rand(4, 4)
    image = (torch.tensor([0.5, 1.0, 0.2])[:, None, None] * place)[None]
    trace = trace_of(image, torch.eye(3), 1)
    found = dff(trace, factors=1)[0]
    torch.testing.assert_close(found / found.max(), place / place.max(), rtol=0, atol=1e-14)
    below = trace_of(image - 2, torch.eye(3), 1)
    found = dff(below, factors=1)[0]
    torch.testing.assert_close(found / found.max(), (place - place.min()) / (place.max() - place.min()), rtol=0, atol=1e-14)


def test_the_chosen_factor_adds_most_to_the_class_logit(batch: Batch) -> None:
    classifier = toy_classifier()
    trace = Trace(classifier.requires_grad_(False), batch)
    maps = torch.stack([dff(trace, factors=4, factor=index) for index in range(4)], 1)
    chosen = dff(trace, factors=4)
    # Without a factor's share, by least squares on all four maps, the class logit falls most for the chosen one.
    for index in range(4):
        rows = maps[index].flatten(1)
        directions = torch.linalg.lstsq(rows.T, trace.activations[index].flatten(1).T).solution  # (4, K)
        shares = (directions @ trace.class_weights[batch.labels[index]]) * rows.mean(1)
        torch.testing.assert_close(chosen[index], maps[index, shares.argmax()])


@pytest.mark.filterwarnings("ignore:Maximum number of iterations")
def test_a_map_does_not_depend_on_batch_mates_as_that_of_pytorch_grad_cam_does(batch: Batch) -> None:
    classifier = toy_classifier()
    alone = maps_of(classifier, batch.part(0, 1), "dff(factor=1)").raw
    torch.testing.assert_close(maps_of(classifier, batch, "dff(factor=1)").raw[:1], alone)
    features = torch.rand(2, 12, 5, 5, generator=torch.Generator().manual_seed(0)).numpy()
    theirs = [dff_of_grad_cam(features[:count].copy(), 4)[1][0].reshape(4, -1) for count in (1, 2)]
    best = [max(np.corrcoef(own, other)[0, 1] for other in theirs[1]) for own in theirs[0]]
    assert max(best) < 0.9, "pytorch-grad-cam factorises images alone: drop the difference"


def test_a_head_that_is_not_linear_and_an_unknown_factor_are_refused(batch: Batch) -> None:
    trace = Trace(toy_classifier("dense"), batch)
    with pytest.raises(NotApplicable, match="global average pooling and a linear layer"):
        dff(trace)
    assert dff(trace, factor=0).shape == (4, 8, 6)
    with pytest.raises(UsageError, match=r"dff\(factor=5\): the factors of this layer are 0 to 4"):
        dff(trace, factor=5)
    with pytest.raises(UsageError, match="factor"):
        maps_of(toy_classifier(), toy_batch(), 'dff(factor="best")')
