"""Importances of parts against a literal dilation; versions are scored once and named if they cannot be read."""

from __future__ import annotations

from typing import Any

import pytest
import torch
from helpers.toys import SIZE, ToyVersions, toy_batch, toy_classifier

from camdbench.core.errors import NotApplicable, ResultError, SampleError
from camdbench.explainers.common.saliency import finish
from camdbench.metrics.common.bird_parts import importances, is_irrelevant, logits_without, logits_without_objects, object_drops, part_drops
from camdbench.metrics.common.inputs import MetricInputs

RAW = torch.randn(4, *SIZE, generator=torch.Generator().manual_seed(1))


def inputs(**changes: Any) -> MetricInputs:
    batch = toy_batch()
    given = {"raw": RAW, "parts": batch.parts, "interventions": batch.interventions, "labels": batch.labels} | changes
    return MetricInputs(toy_classifier("dense"), batch.images, batch.labels, finish(RAW, SIZE, "range").maps, **given)


def literal_sum(raw: torch.Tensor, parts: torch.Tensor, value: int) -> float:
    """Sum over pixels with a pixel of the part at most two rows and columns away."""
    places = torch.nonzero(parts == value).tolist()
    near = {(r, c) for r in range(SIZE[0]) for c in range(SIZE[1]) if any(abs(r - y) <= 2 and abs(c - x) <= 2 for y, x in places)}
    return sum(float(raw[r, c]) for r, c in near)


def test_importances_are_sums_over_dilated_regions_of_which_a_part_may_have_two() -> None:
    found, batch = importances(inputs(), RAW, objects=True), toy_batch()
    for image in range(4):
        own = [[literal_sum(RAW[image], batch.parts[image], value) for value in values] for values in ToyVersions.part_values.values()]
        torch.testing.assert_close(found.parts[image], torch.tensor([sum(one) for one in own], dtype=torch.float64), rtol=1e-5, atol=1e-5)
        objects = [literal_sum(RAW[image], batch.parts[image], value) for value in batch.interventions[image].object_values]
        torch.testing.assert_close(found.objects[image], torch.tensor(objects, dtype=torch.float64), rtol=1e-5, atol=1e-5)
    torch.testing.assert_close(found.whole, RAW.double().sum((1, 2)))


def test_drops_are_those_of_versions_passed_one_by_one() -> None:
    own, batch, network = inputs(), toy_batch(), toy_classifier("dense")
    score, drops = part_drops(own, batch.labels, "centred_logit")
    for image, versions in enumerate(batch.interventions):
        label = int(batch.labels[image])
        logits = [
            network(shown[None])[0].double() for shown in (batch.images[image], *(versions.with_parts(set("abcde") - {k}) for k in "abcde"))
        ]
        centred = [float(one[label] - one.mean()) for one in logits]
        assert score[image].item() == pytest.approx(centred[0], abs=1e-5)
        assert drops[image].tolist() == pytest.approx([centred[0] - other for other in centred[1:]], abs=1e-4)
        [plain] = object_drops(inputs(), batch.labels, "logit")[image : image + 1]
        wanted = [float(logits[0][label] - network(versions.without_object(number)[None])[0, label]) for number in versions.object_numbers]
        assert plain.tolist() == pytest.approx(wanted, abs=1e-4)


def test_a_version_passes_once_and_the_whole_image_never() -> None:
    own = inputs()
    _ = own.logits
    before = own.classifier.passes.forward
    assert torch.equal(logits_without(own, []), own.logits)
    assert own.classifier.passes.forward == before
    for _ in range(2):
        logits_without(own, ["b", "a"])
        logits_without(own, ["a", "b"])
        logits_without_objects(own)
    assert own.classifier.passes.forward - before == 4 + 6


def test_a_removal_is_relevant_from_5_per_cent_of_the_score_on() -> None:
    assert is_irrelevant(torch.tensor([0.049, 0.05, -1.0, 0.0]), torch.tensor(-1.0)).tolist() == [True, False, True, True]


def test_what_is_missing_is_named() -> None:
    for changes in ({"parts": None}, {"interventions": None}):
        with pytest.raises(NotApplicable, match="images without parts of their object"):
            importances(inputs(**changes), RAW)

    class Broken(ToyVersions):
        def with_parts(self, parts: Any) -> torch.Tensor:
            raise SampleError(f"no version {sorted(parts)}")

    broken = tuple(Broken(own.background, own.image, own.parts) for own in toy_batch().interventions)
    with pytest.raises(ResultError, match="no version"):
        logits_without(inputs(interventions=broken), ["a"])
