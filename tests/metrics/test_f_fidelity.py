"""F-Fidelity against a literal reading, with its golden probabilities of removal, and a second network."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest
import torch
from helpers.toys import SIZE, toy_batch, toy_classifier

from camdbench.core.errors import NotApplicable, UsageError
from camdbench.functional.seeding import generator_for
from camdbench.metrics.common.inputs import MetricInputs
from camdbench.metrics.f_fidelity import f_fidelity_minus, f_fidelity_plus, removal_probability
from camdbench.models.classifier import Classifier
from camdbench.runner.run import run

COUNT = 3
PIXELS = SIZE[0] * SIZE[1]


def inputs(classifier: Classifier, saliency: torch.Tensor) -> MetricInputs:
    batch = toy_batch(COUNT)
    return MetricInputs(classifier, batch.images, batch.labels, saliency, raw=saliency, ids=batch.ids)


@pytest.mark.parametrize(("chosen", "expected"), [(51, 0.5), (205, 0.4995), (512, 0.2)])
def test_golden_probabilities_of_removal(chosen: int, expected: float) -> None:
    assert removal_probability(0.5, 0.1, 1024, chosen) == pytest.approx(expected, abs=5e-5)


@pytest.mark.parametrize("output", ["accuracy", "probability"])
@pytest.mark.parametrize(("metric", "salient"), [(f_fidelity_plus, True), (f_fidelity_minus, False)])
def test_values_are_a_literal_reading(metric, salient: bool, output: str) -> None:
    classifier, saliency = toy_classifier(), torch.rand(COUNT, *SIZE, generator=torch.Generator().manual_seed(3))
    given, sizes, samples = inputs(classifier, saliency), (20, 60), 4
    with torch.no_grad():
        found = metric(given, sizes=sizes, samples=samples, scored_output=output)

        def score(image: torch.Tensor, label: int) -> float:
            logits = classifier(image[None])[0]
            return float(logits.argmax() == label) if output == "accuracy" else float(logits.softmax(0)[label])

        expected = np.zeros((COUNT, 2))
        for index in range(COUNT):
            image, label = given.images[index], int(given.targets[index])
            random = generator_for(0, given.ids[index], "f-fidelity")
            draws = [torch.rand(PIXELS, generator=random) for _ in range(samples)]
            ranked = saliency[index].flatten().argsort(descending=True)
            for place, size in enumerate(sizes):
                count = round(PIXELS * size / 100)
                chosen = ranked[:count] if salient else ranked[count:]
                a = min(0.5, 0.1 * PIXELS / len(chosen))
                drops = list[float]()
                for drawn in draws:
                    changed = image.clone().flatten(1)
                    for pixel in chosen.tolist():
                        if drawn[pixel] < a:
                            changed[:, pixel] = classifier.mean.flatten().to(image)
                    drops.append(score(image, label) - score(changed.reshape(image.shape), label))
                expected[index, place] = 100 * sum(drops) / samples
    np.testing.assert_allclose(found.curves["curve"].y.numpy(), expected, atol=2e-3)
    np.testing.assert_allclose(found.values.numpy(), expected.mean(1), atol=2e-3)
    assert np.abs(expected).max() > 0 or output == "accuracy"


def test_all_pixels_leave_nothing_outside_and_sizes_above_them_or_none_are_refused() -> None:
    given = inputs(toy_classifier(), torch.rand(COUNT, *SIZE))
    assert f_fidelity_minus(given, sizes=(100,), samples=2).values.tolist() == [0] * COUNT
    with pytest.raises(UsageError, match="give percentages up to 100"):
        f_fidelity_plus(given, sizes=(101,))
    with pytest.raises(UsageError, match=r"sizes = \(\): give one or more"):
        f_fidelity_minus(given, sizes=())


def test_another_number_of_classes_is_refused() -> None:
    with pytest.raises(NotApplicable, match="network shortcuts-ce has 8 classes"):
        f_fidelity_plus(inputs(toy_classifier(), torch.rand(COUNT, *SIZE)), network="shortcuts-ce", samples=1)


def test_a_run_reads_the_second_network_and_keeps_the_hash_of_its_weights(tmp_path: Path) -> None:
    how = {"dataset": "shortcuts(size=32)", "limit": 2, "explainers": "random", "device": "cpu"}
    options = "samples=3, sizes=(50,), scored_output='probability'"
    spec = f"f_fidelity_plus({options}, network='shortcuts-so')"
    found = run(metrics=[spec], out=tmp_path / "run", **how)
    record = json.loads((tmp_path / "run" / "run.json").read_text())
    [kept] = [code for name, code in record["plugins"].items() if name == "network shortcuts-so"]
    from camdbench.models.zoo import load_classifier

    assert kept == load_classifier("shortcuts-so", device="cpu").weights_hash()
    same = run(metrics=[f"f_fidelity_plus({options})"], out=tmp_path / "same", **(how | {"models": "shortcuts-so"}))
    other = run(metrics=[f"f_fidelity_plus({options})"], out=tmp_path / "other", **how)
    assert found["value"].tolist() == pytest.approx(same["value"].tolist(), abs=1e-4)
    assert found["value"].tolist() != pytest.approx(other["value"].tolist(), abs=1e-2)
