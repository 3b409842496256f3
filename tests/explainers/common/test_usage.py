"""A part that two explainers read is paid for once, and charged to both."""

from __future__ import annotations

from pathlib import Path

import pytest
import torch
from helpers.toys import toy_batch, toy_classifier
from torch import Tensor

import camdbench
from camdbench.datasets.in_memory import InMemoryDataset
from camdbench.explainers.common.usage import Usage, UsageMeter
from camdbench.models.classifier import Classifier
from camdbench.models.pass_counts import PassCounts
from camdbench.tables.load import load_usage

FORWARD, BACKWARD = Usage(PassCounts(forward=4), 0.5), Usage(PassCounts(tail_backward=4), 0.25)


def test_usages_add_and_subtract() -> None:
    both = FORWARD + BACKWARD
    assert both == Usage(PassCounts(forward=4, tail_backward=4), 0.75)
    assert both - FORWARD == BACKWARD
    assert Usage() + FORWARD == FORWARD


def test_a_shared_part_is_charged_to_each_reader_and_spent_once() -> None:
    meter = UsageMeter()
    meter.costs[None, "logits"] = FORWARD
    meter.costs["relu2", "gradients"] = BACKWARD
    meter.read.update({(None, "logits"), ("relu2", "gradients")})
    assert meter.usage_since_last_call() == FORWARD + BACKWARD
    meter.read.add((None, "logits"))  # by the next explainer, twice
    meter.read.add((None, "logits"))
    assert meter.usage_since_last_call() == FORWARD
    assert meter.usage_since_last_call() == Usage()
    assert meter.spent() == FORWARD + BACKWARD


def by_network(classifier: Classifier, images: Tensor, targets: Tensor) -> Tensor:
    return images.mean(1) + 0 * classifier.network(classifier.normalised(images)).sum()


def by_classifier(classifier: Classifier, images: Tensor, targets: Tensor) -> Tensor:
    return images.mean(1) + 0 * classifier(images).sum()


def metric_by_network(classifier: Classifier, images: Tensor, maps: Tensor, targets: Tensor) -> Tensor:
    return classifier.network(classifier.normalised(images))[:, 0]


def metric_by_classifier(classifier: Classifier, images: Tensor, maps: Tensor, targets: Tensor) -> Tensor:
    return classifier(images)[:, 0]


def test_passes_of_the_user_s_functions_count_once_by_whichever_way(tmp_path: Path) -> None:
    given = {"direct": by_network, "counted": by_classifier, "gradcam": "gradcam", "alias": "saliency"}
    measured = ["entropy", metric_by_network, metric_by_classifier]
    data = InMemoryDataset(toy_batch(4))
    camdbench.run(given, measured, models={"mine": toy_classifier()}, dataset=data, out=tmp_path / "run")
    found = load_usage(tmp_path / "run")
    spent = {name: found[found["explainer"] == name].set_index("stage") for name in given}
    passes = {name: tuple(usage.loc["explain", ["forward", "backward", "tail_backward"]].astype(int)) for name, usage in spent.items()}
    assert passes == {"direct": (4, 0, 0), "counted": (4, 0, 0), "gradcam": (0, 0, 0), "alias": (0, 0, 0)}
    assert tuple(spent["alias"].loc["trace", ["forward", "backward", "tail_backward"]].astype(int)) == (
        4,
        4,
        0,
    )  # parts that others may share
    assert all(usage.loc["metrics", "forward"] == 8 for usage in spent.values())


@pytest.mark.filterwarnings("ignore:`torch.jit.script` is deprecated")
def test_functions_take_networks_that_allow_no_hooks() -> None:
    scripted = Classifier(torch.jit.script(toy_classifier().network), mean=0.5, std=0.25)
    for explainer in (by_classifier, by_network, "captum:Saliency"):
        maps = camdbench.explain(scripted, toy_batch(2).images, explainer, targets=0).maps
        assert maps.isfinite().all()
    before = scripted.passes
    camdbench.explain(scripted, toy_batch(2).images, by_classifier, targets=0)
    assert scripted.passes.forward - before.forward == 4  # for the class, and in the function
