"""LIME against the authors' package, whole and read literally with scikit-learn's regression, and against captum."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
import torch
from captum.attr import Lime
from helpers.toys import toy_batch, toy_classifier
from lime.lime_image import LimeImageExplainer
from sklearn.linear_model import Lasso, Ridge
from sklearn.metrics import pairwise_distances
from torch import Tensor

from camdbench.datasets.samples import Batch
from camdbench.explainers.common.segments import segment
from camdbench.explainers.common.trace import Trace
from camdbench.explainers.lime import lasso, lime, ridge
from camdbench.functional.seeding import generator_for

pytestmark = pytest.mark.usefixtures("float64")


@pytest.fixture
def trace(batch: Batch) -> Trace:
    return Trace(toy_classifier("dense"), batch)


class OurDraws(np.random.RandomState):
    """Hands the package the samples that ours drew; its own first draw is a seed that nothing uses."""

    def __init__(self, data: np.ndarray) -> None:
        super().__init__(0)
        self.data = data

    def randint(self, low: int, high: int | None = None, size: int | None = None) -> np.ndarray | int:
        assert size is None or (low, high, size) == (0, 2, self.data.size)
        return 0 if size is None else self.data.ravel().copy()


def test_is_the_map_of_the_authors_package_with_its_own_segments() -> None:
    trace = Trace(toy_classifier("gap"), toy_batch(2, size=(64, 48)))
    found = lime(trace, samples=80)
    for index, image in enumerate(trace.images):
        count = int(segment(trace, "quickshift", 8).counts[index])
        assert count > 3
        data = torch.rand(80, count, generator=generator_for(0, f"image-{index}", "lime")).lt(0.5).long().numpy()

        def probabilities(pictures: np.ndarray) -> np.ndarray:
            with torch.no_grad():
                return trace.score(torch.from_numpy(pictures).permute(0, 3, 1, 2)).softmax(1).numpy()

        package = LimeImageExplainer(random_state=OurDraws(data), feature_selection="none")
        label = int(trace.targets[index])
        pixels = image.permute(1, 2, 0).double().numpy()
        explained = package.explain_instance(pixels, probabilities, labels=(label,), top_labels=None, num_samples=80)
        weights = dict(explained.local_exp[label])
        expected = torch.tensor([[weights[part] for part in row] for row in explained.segments.tolist()])
        torch.testing.assert_close(found[index].double(), expected, rtol=1e-3, atol=1e-6)


def test_is_what_the_package_of_the_authors_computes_on_a_grid(trace: Trace) -> None:
    found = lime(trace, samples=60, segments="grid", cells=3)
    labels = np.arange(9).reshape(3, 3)[np.arange(16)[:, None] * 3 // 16, np.arange(12) * 3 // 12]
    for index, image in enumerate(trace.images):
        data = torch.rand(60, 9, generator=generator_for(0, f"image-{index}", "lime")).lt(0.5).double().numpy()
        data[0, :] = 1
        fudged = image.clone()
        for part in range(9):
            fudged[:, labels == part] = image[:, labels == part].mean(1, keepdim=True)
        probabilities = []
        for row in data:
            off = torch.from_numpy(np.isin(labels, np.flatnonzero(row == 0)))
            shown = torch.where(off, fudged, image)
            probabilities.append(trace.score(shown[None]).softmax(1)[0, trace.targets[index]].item())
        distances = pairwise_distances(data, data[:1], metric="cosine").ravel()
        weights = np.sqrt(np.exp(-(distances**2) / 0.25**2))
        expected = Ridge(alpha=1, fit_intercept=True).fit(data, probabilities, sample_weight=weights).coef_
        torch.testing.assert_close(found[index].double(), torch.from_numpy(expected[labels]), rtol=1e-3, atol=1e-6)


def test_is_captums_with_compat(batch: Batch) -> None:
    """One cell has the mean colour, which counts nothing in the distance, and logits are large beside the penalty."""
    classifier = toy_classifier("dense")
    with torch.no_grad():
        classifier.network.head[-1].weight.mul_(100)
    images = batch.images.clone()
    images[:, :, :8, :6] = classifier.mean + 0.01 * images[:, :, :8, :6]
    trace = Trace(classifier, replace(batch, images=images))
    found = lime(trace, samples=40, segments="grid", cells=2, compat="captum")
    labels = torch.arange(4).reshape(2, 2).repeat_interleave(8, 0).repeat_interleave(6, 1)
    inputs = (trace.images - trace.classifier.mean) / trace.classifier.std
    for index in range(4):
        data = torch.rand(40, 4, generator=generator_for(0, f"image-{index}", "lime")).lt(0.5).to(inputs)
        rows = iter(data)

        def next_sample(inputs: Tensor, **_: object) -> Tensor:
            return next(rows)[None]  # noqa: B023 - used up within the turn of the loop

        method = Lime(trace.classifier.network, perturb_func=next_sample)
        with torch.no_grad():
            reference = method.attribute(inputs[index : index + 1], target=int(trace.targets[index]), feature_mask=labels, n_samples=40)
        assert reference.abs().max() > 0.1
        torch.testing.assert_close(found[index], reference[0, 0], rtol=1e-3, atol=1e-3)


def test_regressions_are_those_of_scikit_learn() -> None:
    generator = torch.Generator().manual_seed(3)
    inputs = torch.rand(30, 6, generator=generator).lt(0.5).double()
    outputs, weights = torch.rand(30, generator=generator).double(), torch.rand(30, generator=generator).double()
    numbers = (inputs.numpy(), outputs.numpy(), weights.numpy())
    for alpha in (0.5, 2.0):
        expected = torch.from_numpy(Ridge(alpha=alpha).fit(*numbers).coef_)
        torch.testing.assert_close(ridge(inputs, outputs, weights, penalty=alpha), expected)
    for alpha in (0.01, 0.03):
        expected = torch.from_numpy(Lasso(alpha=alpha, tol=1e-12).fit(*numbers).coef_)
        torch.testing.assert_close(lasso(inputs, outputs, weights, penalty=alpha), expected, rtol=1e-4, atol=1e-7)


def test_an_additive_score_gives_back_its_effects() -> None:
    inputs = torch.rand(50, 5, generator=torch.Generator().manual_seed(0)).lt(0.5).double()
    effects = torch.tensor([1.0, -2.0, 0.0, 0.5, 3.0]).double()
    for fit in (ridge, lasso):
        found = fit(inputs, 7 + inputs @ effects, torch.ones(50).double(), penalty=1e-9)
        torch.testing.assert_close(found, effects, rtol=1e-5, atol=1e-6)


def test_quickshift_makes_the_segments_unless_a_grid_is_asked_for() -> None:
    trace = Trace(toy_classifier(), toy_batch(size=(48, 32)))
    assert lime(trace, samples=5).shape == (4, 48, 32)


def test_costs_one_pass_a_sample(batch: Batch) -> None:
    trace = Trace(toy_classifier(), batch)
    lime(trace, samples=12, segments="grid", cells=2)
    assert trace.classifier.passes.forward == 4 + 4 * 12
    assert trace.classifier.passes.total() == trace.classifier.passes.forward
