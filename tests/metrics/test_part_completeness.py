"""CSDC, both checks and distractibility against a literal reading of the paper, and the release's behaviour where it differs."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
import torch
from helpers.toys import SIZE, ToyVersions, toy_batch, toy_classifier
from metrics.common.test_bird_parts import literal_sum

from camdbench.core.errors import UsageError
from camdbench.explainers.common.saliency import finish
from camdbench.metrics.common.inputs import MetricInputs
from camdbench.metrics.part_completeness import csdc, deletion_check, distractibility, preservation_check
from camdbench.tables.aggregates import CellData, aggregate

RAW = torch.randn(4, *SIZE, generator=torch.Generator().manual_seed(1)) + 0.3
NEGATIVE = RAW - 0.6
NAMES = tuple(ToyVersions.part_values)
THRESHOLDS = np.linspace(0.01, 0.5, 80)


def inputs(raw: torch.Tensor = RAW, labels: torch.Tensor | None = None, targets: torch.Tensor | None = None) -> MetricInputs:
    """All predictions are right unless labels are given."""
    batch, network = toy_batch(), toy_classifier("dense")
    said = network(batch.images).argmax(1)
    known = {"parts": batch.parts, "interventions": batch.interventions, "labels": said if labels is None else labels, "ids": batch.ids}
    return MetricInputs(network, batch.images, said if targets is None else targets, finish(raw, SIZE, "range").maps, raw=raw, **known)


def named(raw: torch.Tensor, image: int, t: float, *, release: bool = False) -> set[str]:
    """The parts that exceed a threshold."""
    parts, total = toy_batch().parts[image], float(raw[image].double().sum())
    sums = {name: sum(literal_sum(raw[image], parts, value) for value in values) for name, values in ToyVersions.part_values.items()}
    sums |= {f"object {value}": literal_sum(raw[image], parts, value) for value in (100, 101)}
    return {name for name, own in sums.items() if own > t * (total if release else max(0.0, total))}


def prediction(image: int, kept: set[str]) -> int:
    batch = toy_batch()
    shown = batch.images[image] if kept == set(NAMES) else batch.interventions[image].with_parts(kept)
    return int(toy_classifier("dense")(shown[None]).argmax())


def sufficient(label: int) -> list[set[str]]:
    """Minimal sets of parts in which a class differs from every other."""
    variants, subsets = ToyVersions.variants, [{NAMES[k] for k in range(5) if bits >> k & 1} for bits in range(1, 32)]
    good = [
        own
        for own in subsets
        if all(any(other[NAMES.index(k)] != variants[label][NAMES.index(k)] for k in own) for i, other in enumerate(variants) if i != label)
    ]
    return [own for own in good if not any(other < own for other in good)]


@pytest.mark.parametrize("raw", [RAW, NEGATIVE], ids=["positive sum", "negative sum"])
@pytest.mark.parametrize("compat", ["paper", "release"])
def test_values_at_each_threshold_are_those_of_a_literal_reading(raw: torch.Tensor, compat: str) -> None:
    own, said = inputs(raw), inputs().targets.tolist()
    found = {metric.__name__: metric(own, compat=compat).curves["score"].y.numpy() for metric in (csdc, preservation_check, deletion_check)}
    for image in range(4):
        for place in range(0, 80, 9):
            important = named(raw, image, THRESHOLDS[place], release=compat == "release") & set(NAMES)
            sets = [] if compat == "release" and said[image] == 4 else sufficient(said[image])
            best = max((len(important & one) / len(one) for one in sets), default=0)
            assert found["csdc"][image, place] == pytest.approx(100 * best)
            assert found["preservation_check"][image, place] == 100 * (prediction(image, important) == said[image])
            assert found["deletion_check"][image, place] == 100 * (prediction(image, set(NAMES) - important) != said[image])
    assert len(np.unique(found["csdc"])) > 1


@pytest.mark.parametrize("compat", ["paper", "release"])
def test_distractibility_is_that_of_a_literal_reading(compat: str) -> None:
    own, batch, network = inputs(), toy_batch(), toy_classifier("dense")
    found = distractibility(own, compat=compat).curves["score"].y.numpy()
    for image, versions in enumerate(batch.interventions):
        label = int(own.targets[image])
        shown = {name: versions.with_parts(set(NAMES) - {name}) for name in NAMES}
        shown |= {f"object {100 + number}": versions.without_object(number) for number in versions.object_numbers}
        scores = {}
        for name, picture in {"": batch.images[image], **shown}.items():
            logits = network(picture[None])[0].detach().double()
            scores[name] = float(logits[label] - (0 if compat == "release" else logits.mean()))
        whole = scores.pop("")
        irrelevant = {name for name, score in scores.items() if abs(whole - score) < 0.05 * abs(whole) or score > whole}
        for place in range(0, 80, 9):
            wanted = 1 - len(named(RAW, image, THRESHOLDS[place]) & irrelevant) / len(irrelevant) if irrelevant else float("nan")
            assert found[image, place] == pytest.approx(100 * wanted, nan_ok=True)
    assert np.isfinite(found).any()


def test_the_release_gives_the_last_class_0() -> None:
    everything = torch.ones_like(RAW)
    right = inputs(everything)
    found, released = (csdc(right, thresholds=(0.0,), compat=compat).values.tolist() for compat in ("paper", "release"))
    last = [label == 4 for label in right.labels.tolist()]
    assert any(last)
    assert found == [100] * 4
    assert released == [0 if own else 100 for own in last]


def test_of_a_map_with_a_negative_sum_the_release_calls_negative_parts_important() -> None:
    least = -torch.full_like(RAW, 0.01)
    for compat, wanted in (("paper", 0), ("release", 100)):
        assert csdc(inputs(least), thresholds=(0.5,), compat=compat).values.tolist()[0] == wanted


def test_images_count_by_what_their_map_explains() -> None:
    said = inputs().targets
    wrong = (said + torch.tensor([0, 1, 0, 0])) % 5
    assert csdc(inputs(labels=wrong)).undefined.tolist() == [False, True, False, False]
    assert preservation_check(inputs(labels=wrong)).undefined.tolist() == [False] * 4
    assert deletion_check(inputs(targets=wrong)).undefined.tolist() == [False, True, False, False]
    assert not deletion_check(inputs(targets=wrong), only_right=False).undefined.any()


def test_a_table_has_the_value_at_the_best_threshold_and_one_threshold_is_no_choice() -> None:
    def number(reduction: str, **options: Any) -> float:
        found = preservation_check(inputs(), **options)
        cell = CellData(found.values.numpy(), {name: (curve.x.numpy(), curve.y.numpy()) for name, curve in found.curves.items()})
        return float(aggregate(reduction, cell, np.ones((1, 4)))[0])

    own = inputs()
    parts = {
        metric.__name__: metric(own).curves["score"].y.numpy() for metric in (csdc, preservation_check, deletion_check, distractibility)
    }
    total = (parts["csdc"] + parts["preservation_check"] + parts["deletion_check"]).mean(0) / 3 + np.nanmean(
        parts["distractibility"], axis=0
    )
    assert number("best threshold") == pytest.approx(parts["preservation_check"].mean(0)[total.argmax()])
    assert number("best threshold", thresholds=(0.2,)) == pytest.approx(number("mean", thresholds=(0.2,), choice="none"))


@pytest.mark.parametrize("thresholds", [(), (1.5,), (-0.1,)])
def test_thresholds_are_shares(thresholds: tuple[float, ...]) -> None:
    with pytest.raises(UsageError, match="expected shares of the sum of the map"):
        csdc(inputs(), thresholds=thresholds)
