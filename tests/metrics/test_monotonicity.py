"""Monotonicity: contributions of a linear model, a walk written out, and why Quantus' is always true."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from helpers.linear_models import contributions, linear_classifier
from helpers.metric_inputs import measure
from helpers.toys import SIZE, toy_batch, toy_classifier
from torch import Tensor, nn

from camdbench.metrics.common.inputs import MetricInputs
from camdbench.metrics.common.result import MetricResult
from camdbench.models.classifier import Classifier

MAPS = torch.rand(4, *SIZE, generator=torch.Generator().manual_seed(4))


def scored(classifier: Classifier, spec: str, maps: Tensor = MAPS) -> MetricResult:
    """The metric on given maps of four images, whose labels are explained."""
    batch = toy_batch()
    with torch.inference_mode(mode=False), classifier.frozen():
        return measure(MetricInputs(classifier, batch.images, batch.labels, maps.to(batch.images), ids=batch.ids), spec)


def test_it_is_the_share_of_steps_of_a_walk_written_out() -> None:
    classifier, batch = toy_classifier("dense"), toy_batch()
    found = scored(classifier, "monotonicity(patch=4)")
    for index, image in enumerate(batch.images):
        sums = MAPS[index].unflatten(0, (4, 4)).unflatten(2, (3, 4)).sum((1, 3)).flatten()
        shown, scores = torch.zeros_like(image), list[float]()
        with torch.no_grad():
            for patch in [None, *sums.argsort().tolist()]:
                if patch is not None:
                    rows, columns = slice(patch // 3 * 4, patch // 3 * 4 + 4), slice(patch % 3 * 4, patch % 3 * 4 + 4)
                    shown[:, rows, columns] = image[:, rows, columns]
                scores.append(float(classifier(shown[None]).double().softmax(1)[0, batch.labels[index]]))
        assert found.curves["curve"].y[index].tolist() == pytest.approx(scores, abs=1e-6)
        assert found.values[index].item() == pytest.approx(100 * np.mean(np.diff(scores) >= 0))
    assert found.curves["curve"].x.tolist() == pytest.approx(np.linspace(0, 1, 13))


@pytest.mark.usefixtures("float64")
def test_of_a_linear_model_it_is_the_share_of_patches_that_do_not_count_against_the_class() -> None:
    classifier, batch = linear_classifier(), toy_batch()
    exact = contributions(classifier, batch.images, batch.labels)
    patches = exact.unflatten(1, (4, 4)).unflatten(3, (3, 4)).sum((2, 4)).flatten(1)
    for maps in (exact, -exact, MAPS):
        found = scored(classifier, "monotonicity(patch=4, scored_output='logit')", maps).values
        assert found.tolist() == pytest.approx((100 * (patches >= 0).double().mean(1)).tolist())


@pytest.mark.usefixtures("float64")
@pytest.mark.filterwarnings("ignore")
def test_quantus_shows_nothing_of_the_image() -> None:
    quantus = pytest.importorskip("quantus")
    seen = list[Tensor]()

    class Seen(nn.Module):
        def forward(self, images: Tensor) -> Tensor:
            seen.append(images)
            return images.flatten(1)[:, :2] - images.flatten(1)[:, 2:4]

    options = {"features_in_step": 16, "perturb_baseline": 0.0, "abs": False, "normalise": False, "return_aggregate": False}
    ask = quantus.Monotonicity(**options, disable_warnings=True)
    maps, images = MAPS[:, None].double().numpy(), toy_batch().images
    found = ask(Seen().eval(), images.numpy(), np.zeros(4, int), a_batch=maps, device="cpu", softmax=False)
    assert found == [True] * 4
    assert len(seen) == 12 * 3
    assert not torch.cat(seen).any()


def test_a_constant_map_has_no_order() -> None:
    maps = MAPS.clone()
    maps[1] = 0.5
    assert scored(toy_classifier(), "monotonicity(patch=4)", maps).undefined.tolist() == [False, True, False, False]
