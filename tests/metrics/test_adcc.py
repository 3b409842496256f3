"""ADCC and its parts: against a reading of the released code's steps, one image at a time, and the golden values."""

from __future__ import annotations

from types import SimpleNamespace

import numpy as np
import pytest
import torch
from helpers.toys import SIZE, maps_of, toy_batch, toy_classifier

from camdbench.core.errors import NotApplicable
from camdbench.core.registries import metrics
from camdbench.datasets.samples import Batch
from camdbench.metrics.common.inputs import MetricInputs
from camdbench.metrics.common.result import MetricResult
from camdbench.models.pass_counts import PassCounts

CLASSIFIER = toy_classifier()
BATCH = toy_batch()


def inputs_of(maps: torch.Tensor | None = None) -> MetricInputs:
    """The inputs of a run with Grad-CAM, or with given maps that Grad-CAM explains again."""

    def explain(images: torch.Tensor, targets: torch.Tensor, classifier: object):
        return maps_of(CLASSIFIER, Batch(BATCH.ids, images, BATCH.labels), "gradcam", target=targets)

    own = explain(BATCH.images, BATCH.labels, None).maps if maps is None else maps
    return MetricInputs(CLASSIFIER, BATCH.images, BATCH.labels, own, ids=BATCH.ids, explainer=explain)


def measured(spec: str, inputs: MetricInputs) -> MetricResult:
    """One metric as a run calls it."""
    checked = metrics.parse_one(spec)
    with CLASSIFIER.frozen():
        found = metrics.load(checked.name)(inputs, **metrics.get(checked.name).arguments(checked))
    return found if isinstance(found, MetricResult) else MetricResult(found)


def by_hand(index: int, scored: str) -> SimpleNamespace:
    """The released code's steps for one image: explain, multiply what the network sees, explain again, compare."""
    image, label = BATCH.images[index : index + 1], BATCH.labels[index : index + 1]
    one = Batch(BATCH.ids[index : index + 1], image, label)
    first = maps_of(CLASSIFIER, one, "gradcam").maps
    seen = (image - CLASSIFIER.mean) / CLASSIFIER.std
    masked = seen * first  # in normalised space
    with torch.no_grad():
        p, o = (CLASSIFIER.network(x)[0].double().softmax(0) for x in (seen, masked))
    target = int(p.argmax()) if scored == "predicted" else int(label)
    again = Batch(one.ids, masked * CLASSIFIER.std + CLASSIFIER.mean, label)
    second = maps_of(CLASSIFIER, again, "gradcam", target=torch.tensor([target])).maps
    r = np.corrcoef(first.flatten().numpy(), second.flatten().numpy())[0, 1]
    coherency, complexity = (r + 1) / 2, float(first.sum() / (SIZE[0] * SIZE[1]))
    drop = max(0.0, float(p[target] - o[target])) / float(p[target])
    together = 3 / (1 / coherency + 1 / (1 - complexity) + 1 / (1 - drop))
    return SimpleNamespace(coherency=coherency, complexity=complexity, adcc=together)


@pytest.mark.parametrize(("protocol", "scored"), [("poppi", "target"), ("adcc", "predicted")])
def test_all_three_are_those_of_the_released_steps(protocol: str, scored: str) -> None:
    inputs = inputs_of()
    assert (inputs.predictions != BATCH.labels).any()  # so that the class matters
    for index in range(4):
        expected = by_hand(index, scored)
        assert measured(f"coherency(protocol={protocol})", inputs).values[index].item() == pytest.approx(100 * expected.coherency, abs=1e-3)
        assert measured("complexity", inputs).values[index].item() == pytest.approx(100 * expected.complexity, abs=1e-4)
        assert measured(f"adcc(protocol={protocol})", inputs).values[index].item() == pytest.approx(100 * expected.adcc, abs=1e-3)


def test_a_map_of_ones_is_as_complex_as_can_be_and_has_no_adcc() -> None:
    inputs = inputs_of(torch.ones(4, *SIZE))
    assert measured("complexity", inputs).values.tolist() == [100] * 4
    assert measured("adcc", inputs).values.tolist() == [0] * 4
    assert measured("adcc(protocol=adcc)", inputs).values.tolist() == [0] * 4


def test_a_map_of_ones_but_for_one_pixel_has_next_to_none() -> None:
    maps = torch.ones(4, *SIZE)
    maps[:, 0, 0] = 0  # Fake-CAM: nothing drops, yet all is covered
    assert (measured("adcc", inputs_of(maps)).values <= 100 * 3 / (1 + 192 + 1)).all()


def test_a_map_of_zeros_has_no_complexity_no_coherency_and_an_adcc_of_zero() -> None:
    inputs = inputs_of(torch.zeros(4, *SIZE))
    for name in ("complexity", "coherency"):
        found = measured(name, inputs)
        assert found.undefined.all()
        assert found.values.isnan().all()
    assert measured("coherency(protocol=adcc)", inputs).values.tolist() == [0] * 4
    assert measured("adcc", inputs).values.tolist() == [0] * 4


def test_masking_of_pixels_is_another_image() -> None:
    inputs = inputs_of()
    spaces = [measured(f"adcc(masking={space!r})", inputs).values for space in ("pixels", "normalised")]
    assert (spaces[0] - spaces[1]).abs().max() > 0.01


def test_the_second_map_is_made_once_and_its_pass_gives_the_logits_of_the_drop() -> None:
    inputs = inputs_of()
    CLASSIFIER.passes = PassCounts()
    for spec in ("adcc", "coherency", "complexity", "adcc"):
        measured(spec, inputs)
    assert CLASSIFIER.passes == PassCounts(forward=4 + 4, tail_backward=4)  # of images, whose logits were not given, and masked ones


@pytest.mark.parametrize("known", [True, False])
def test_the_masked_images_of_an_explainer_that_reads_no_network_are_scored_once(known: bool) -> None:
    inputs = MetricInputs(CLASSIFIER, BATCH.images, BATCH.labels, torch.rand(4, *SIZE), explainer=lambda *_: without_logits(known))
    CLASSIFIER.passes = PassCounts()
    for spec in ("ad(masking='normalised')", "adcc"):
        measured(spec, inputs)
    assert CLASSIFIER.passes == PassCounts(forward=4 + 4)


def without_logits(known: bool) -> object:
    """Maps of an explainer of the package that makes no pass, or of a user's who gives maps alone."""
    found = maps_of(CLASSIFIER, BATCH, "centre")
    return found if known else SimpleNamespace(maps=found.maps)


def test_maps_of_others_are_refused() -> None:
    inputs = MetricInputs(CLASSIFIER, BATCH.images, BATCH.labels, torch.rand(4, *SIZE))
    for name in ("coherency", "adcc"):
        with pytest.raises(NotApplicable, match="no explainer"):
            measured(name, inputs)
