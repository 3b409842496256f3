"""SaCo: a literal reading of the algorithm, exact explanations of linear models, and cases without a value."""

from __future__ import annotations

import pytest
import torch
from helpers.linear_models import contributions, linear_classifier
from helpers.metric_inputs import measure
from helpers.toys import SIZE, toy_batch, toy_classifier
from torch import Tensor

from camdbench.metrics.common.inputs import MetricInputs
from camdbench.metrics.common.result import MetricResult
from camdbench.models.classifier import Classifier
from camdbench.models.pass_counts import PassCounts

MAPS = torch.rand(4, *SIZE, generator=torch.Generator().manual_seed(4))


def scored(classifier: Classifier, spec: str, maps: Tensor = MAPS, raw: Tensor | None = None) -> MetricResult:
    """The metric on given maps of four images, whose labels are explained."""
    batch = toy_batch()
    with torch.inference_mode(mode=False), classifier.frozen():
        logits = classifier(batch.images)
        inputs = MetricInputs(classifier, batch.images, batch.labels, maps.to(batch.images), raw=raw, ids=batch.ids, logits=logits)
        classifier.passes = PassCounts()
        return measure(inputs, spec)


@pytest.mark.parametrize("fill", ["average", "blank"])
@pytest.mark.parametrize("groups", [4, 6])
def test_it_is_the_algorithm_read_line_by_line(groups: int, fill: str) -> None:
    classifier, batch = toy_classifier("dense"), toy_batch()
    found = scored(classifier, f"saco(groups={groups}, fill={fill!r})").values
    assert classifier.passes == PassCounts(forward=4 * groups)
    size = 16 * 12 // groups
    for index, image in enumerate(batch.images):
        ranked = MAPS[index].flatten().argsort(descending=True)
        with torch.no_grad():
            p = float(classifier(image[None]).double().softmax(1)[0, batch.labels[index]])
            salience, drops = list[float](), list[float]()
            for start in range(0, 16 * 12, size):
                group = ranked[start : start + size]
                altered = image.flatten(1).clone()
                altered[:, group] = image.mean((1, 2))[:, None] if fill == "average" else 0
                salience.append(float(MAPS[index].flatten()[group].double().sum()))
                drops.append(p - float(classifier(altered.reshape(1, 3, *SIZE)).double().softmax(1)[0, batch.labels[index]]))
        total = weight = 0.0
        for i in range(groups - 1):
            for j in range(i + 1, groups):
                apart = salience[i] - salience[j]
                total += apart if drops[i] >= drops[j] else -apart
                weight += abs(apart)
        assert found[index].item() == pytest.approx(total / weight, abs=1e-5)


@pytest.mark.usefixtures("float64")
def test_the_exact_explanation_of_a_linear_model_has_one_and_its_negative_minus_one() -> None:
    classifier, batch = linear_classifier(), toy_batch()
    exact = contributions(classifier, batch.images, batch.labels)
    spec = "saco(groups=8, fill='blank', scored_output='logit', maps='raw')"
    assert scored(classifier, spec, raw=exact).values.tolist() == pytest.approx([1] * 4)
    assert scored(classifier, spec, raw=-exact).values.tolist() == pytest.approx([-1] * 4)


def test_a_shift_and_a_scale_of_the_map_leave_it_and_cut_negative_values_do_not() -> None:
    classifier, raw = toy_classifier("dense"), torch.randn(4, *SIZE, generator=torch.Generator().manual_seed(0))
    found, moved, cut = (scored(classifier, "saco(protocol=raw)", raw=own).values for own in (raw, 5 * raw + 3, raw.relu()))
    torch.testing.assert_close(found, moved, rtol=1e-5, atol=1e-5)
    assert (found - cut).abs().max() > 0.01


def test_equal_salience_or_effect_has_no_value() -> None:
    maps = MAPS.clone()
    maps[2] = 0.5
    assert scored(toy_classifier(), "saco", maps).undefined.tolist() == [False, False, True, False]
    still = toy_classifier()
    still.network.head[-1].weight.data.zero_()
    found = scored(still, "saco")
    assert found.undefined.all()
    assert found.values.isnan().all()
    assert scored(toy_classifier(), "saco(groups=1)").undefined.all()
