"""Input invariance: gradients and CAMs do not change, input x gradient does by a known amount, and the logits are compared."""

from __future__ import annotations

import pytest
import torch
from helpers.each import each
from helpers.linear_models import linear_classifier
from helpers.metric_inputs import inputs_of, measure, measured
from helpers.toys import maps_of, toy_batch, toy_classifier
from torch import Tensor

from camdbench.core.errors import NotApplicable
from camdbench.models.classifier import Classifier
from camdbench.models.shifted_mean import with_shifted_mean

INVARIANT = ("gradcam", "saliency", "layercam", "guidedbackprop", 'integratedgradients(steps=4, baseline="mean")')


@each("explainer", INVARIANT)
def test_methods_that_read_differences_alone_are_invariant(explainer: str) -> None:
    for shift in (-1.0, 0.5):
        assert measured(toy_classifier(), toy_batch(), f"input_invariance(shift={shift})", explainer).values.max() < 1e-4


@pytest.mark.usefixtures("float64")
@pytest.mark.parametrize("explainer", ["inputxgradient", "integratedgradients(steps=3)", "deeplift"])
def test_the_change_of_a_linear_model_is_the_shift_times_the_gradient(explainer: str) -> None:
    classifier, batch = linear_classifier(), toy_batch()
    found = measured(classifier, batch, "input_invariance(shift=-0.7)", explainer).values
    weights = classifier.network[1].weight[batch.labels].unflatten(1, batch.images.shape[1:]) / classifier.std
    change, own = (part.sum(1).flatten(1).norm(dim=1) for part in (0.7 * weights, batch.images * weights))
    assert found.tolist() == pytest.approx((change / own).tolist(), rel=1e-4)


@pytest.mark.parametrize("kind", ["raw", "default"])
def test_it_is_the_distance_of_the_maps_of_the_shifted_classifier(kind: str) -> None:
    classifier, batch = toy_classifier("dense"), toy_batch()
    found = measured(classifier, batch, f"input_invariance(maps={kind!r})", "inputxgradient").values
    moved = Classifier(classifier.network, classifier.layer, mean=(-0.6, -0.5, -0.4), std=(0.2, 0.25, 0.3))
    batch_of = type(batch)(batch.ids, batch.images - 1, batch.labels)
    own, other = (maps_of(model, part, "inputxgradient") for model, part in ((classifier, batch), (moved, batch_of)))
    first, second = (maps.raw if kind == "raw" else maps.maps for maps in (own, other))
    wanted = (second - first).flatten(1).norm(dim=1) / first.flatten(1).norm(dim=1)
    assert found.tolist() == pytest.approx(wanted.tolist(), rel=1e-3)


def test_a_zero_map_has_no_value_and_changed_logits_are_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    def zeros(images: Tensor, targets: Tensor, classifier: Classifier) -> Tensor:
        return torch.zeros(len(images), 4, 3)

    assert measured(toy_classifier(), toy_batch(), "input_invariance", zeros).undefined.all()
    monkeypatch.setattr(
        "camdbench.metrics.input_invariance.with_shifted_mean", lambda classifier, shift: with_shifted_mean(classifier, 0.5)
    )
    with pytest.raises(NotApplicable, match="logits change with the shift of -1"):
        measured(toy_classifier(), toy_batch(), "input_invariance")


def test_the_classifier_is_left_as_it_was() -> None:
    classifier, batch = toy_classifier(), toy_batch()
    before, mean = classifier.weights_hash(), classifier.mean.clone()
    with torch.inference_mode(mode=False), classifier.frozen():
        measure(inputs_of(classifier, batch), "input_invariance")
    assert classifier.weights_hash() == before
    assert torch.equal(classifier.mean, mean)
