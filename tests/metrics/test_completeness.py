"""Completeness: explainers that claim it have no error on a linear model, other explainers have no value, and every claim is counted."""

from __future__ import annotations

import pytest
import torch
from helpers.each import each
from helpers.linear_models import linear_classifier
from helpers.metric_inputs import inputs_of, measure
from helpers.toys import toy_batch, toy_classifier

from camdbench.core.errors import NotApplicable
from camdbench.core.objective_names import parse_objective
from camdbench.core.registries import explainers, metrics, reference_of
from camdbench.core.spec import Spec
from camdbench.functional.objectives import LOGIT, Objective
from camdbench.metrics.common.inputs import MetricInputs
from camdbench.models.classifier import Classifier
from camdbench.runner.results import MetricScores
from camdbench.runner.scoring import score_batch

CLAIMED = [entry.name for entry in explainers if entry.facts.completeness is not None]
FIXED = {"gradientshap": 'baseline="black"', "captum:GradientShap": 'baseline="black"', "captum:DeepLiftShap": 'baseline="mean"'}


def scored(classifier: Classifier, explainer: str, objective: Objective = LOGIT) -> MetricScores:
    """The metric in a run."""
    batch = toy_batch(3)
    with torch.inference_mode(mode=False), classifier.frozen():
        given = classifier, batch, explainers.parse(explainer), metrics.parse("completeness")
        [result] = score_batch(*given, target="label", seed=0, objective=objective)
    return result.scores["completeness"]


@pytest.mark.usefixtures("float64")
@pytest.mark.filterwarnings("ignore::UserWarning")
@pytest.mark.parametrize("name", CLAIMED)
def test_an_explainer_that_claims_it_has_no_error_on_a_linear_model(name: str) -> None:
    found = scored(linear_classifier(), f"{name}({FIXED.get(name, '')})")
    assert found.values == pytest.approx([0] * 3, abs=1e-6)


@pytest.mark.usefixtures("float64")
@pytest.mark.parametrize("colour", ["black", "mean"])
def test_it_is_the_error_of_the_sum_against_the_logits(colour: str) -> None:
    """Few steps leave an error, for which the reference is that of the explainer's options."""
    classifier, batch, spec = toy_classifier("dense"), toy_batch(3), f'integratedgradients(steps=2, baseline="{colour}")'
    found = scored(classifier, spec).values
    with torch.inference_mode(mode=False), classifier.frozen():
        total = inputs_of(classifier, batch, spec).raw.sum((1, 2))
        blank = torch.zeros_like(batch.images) if colour == "black" else classifier.mean.expand_as(batch.images)
        with torch.no_grad():
            gained = (classifier(batch.images) - classifier(blank)).gather(1, batch.labels[:, None]).squeeze(1)
    assert found == pytest.approx(((total - gained).abs() / gained.abs()).tolist())
    assert max(found) > 1e-4


@pytest.mark.usefixtures("float64")
@pytest.mark.parametrize("name", ["log_odds", "probability", "margin(second)", "sum"])
def test_the_score_is_the_objective_that_was_explained(name: str) -> None:
    objective = Objective(name, parse_objective(name))
    assert max(scored(toy_classifier("dense"), "integratedgradients(steps=300)", objective).values) < 0.01
    few = scored(toy_classifier("dense"), "integratedgradients(steps=300)").values
    assert scored(toy_classifier("dense"), "integratedgradients(steps=300)", objective).values != few


def test_deeplift_is_complete_on_every_toy_and_more_steps_reduce_the_error_of_integrated_gradients() -> None:
    for head in ("gap", "dense"):
        assert scored(toy_classifier(head), "deeplift").values == pytest.approx([0] * 3, abs=1e-4)
        few, many = (max(scored(toy_classifier(head), f"integratedgradients(steps={steps})").values) for steps in (1, 200))
        assert many < few / 2


OTHERS = (
    "gradcam",
    "saliency",
    "integratedgradients(channels='abs')",
    "gradientshap",
    "gradientshap(baseline='black', noise=0.1)",
    "power(deeplift,alpha=2.0)",
)


@each("explainer", OTHERS)
def test_other_explainers_and_options_have_no_value(explainer: str) -> None:
    found = scored(toy_classifier(), explainer)
    assert set(found.status) == {"not_applicable"}
    assert all("does not claim" in reason for reason in found.reasons)
    assert reference_of(explainers.parse_one(explainer)) is None


def test_a_map_that_sums_to_the_score_itself() -> None:
    """`zero`, as for relevance that is conserved without a reference image."""
    classifier, batch = toy_classifier(), toy_batch(2)
    with torch.inference_mode(mode=False), classifier.frozen():
        logits = classifier(batch.images)
        raw = torch.zeros(2, 4, 3)
        raw[:, 1, 2] = 1.5 * logits.gather(1, batch.labels[:, None]).squeeze(1)
        given = MetricInputs(classifier, batch.images, batch.labels, torch.rand(2, 16, 12), raw=raw, logits=logits, reference="zero")
        assert measure(given, "completeness").values.tolist() == pytest.approx([0.5] * 2, rel=1e-5)
        given.raw = None
        with pytest.raises(NotApplicable, match="raw map"):
            measure(given, "completeness")


def test_names_that_are_not_registered_claim_nothing() -> None:
    assert reference_of(Spec("saved_elsewhere")) is None
