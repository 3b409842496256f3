"""Cascades of random weights: which layers are random at each step, and what is left alone."""

from __future__ import annotations

import gc
from copy import deepcopy

import pytest
import torch
from helpers.each import each
from helpers.toys import toy_batch, toy_classifier
from torch import nn

from camdbench.core.errors import NotApplicable
from camdbench.models import randomised
from camdbench.models.classifier import Classifier
from camdbench.models.randomised import cascade, layers_from_above

LAYERS = ["head.2", "conv2", "norm1", "conv1"]


def state(classifier: Classifier) -> dict[str, torch.Tensor]:
    return {name: value.clone() for name, value in classifier.network.state_dict().items()}


def changed(before: dict[str, torch.Tensor], after: dict[str, torch.Tensor]) -> set[str]:
    return {name.rpartition(".")[0] for name, value in before.items() if not torch.equal(value, after[name])}


def test_layers_go_from_the_logits_downwards() -> None:
    assert layers_from_above(toy_classifier().network) == LAYERS
    assert layers_from_above(toy_classifier("vit").network)[-2:] == ["conv_proj", ""]  # the class token is the network's own


@each(("steps", "expected"), [(None, [1, 2, 3, 4]), (9, [1, 2, 3, 4]), (2, [2, 4]), (3, [1, 3, 4]), (1, [4])])
def test_each_step_randomises_more_layers_from_above(steps: int | None, expected: list[int]) -> None:
    classifier = toy_classifier()
    trained = state(classifier)
    found = [(step.randomised, changed(trained, state(step.classifier))) for step in cascade(classifier, steps, 0)]
    assert found == [(count, set(LAYERS[:count])) for count in expected]


def test_layers_stay_as_random_as_they_were_in_the_step_before() -> None:
    states = [state(step.classifier) for step in cascade(toy_classifier(), None, 0)]
    assert torch.equal(states[0]["head.2.weight"], states[3]["head.2.weight"])
    assert torch.equal(states[1]["conv2.weight"], states[3]["conv2.weight"])


def test_weights_are_what_the_modules_start_with() -> None:
    classifier = toy_classifier()
    *_, last = cascade(classifier, None, 0)
    found = last.classifier.network
    assert torch.equal(found.norm1.running_mean, torch.zeros(6))
    assert torch.equal(found.norm1.running_var, torch.ones(6))
    assert torch.equal(found.norm1.weight, torch.ones(6))
    bound = 1 / (6 * 9) ** 0.5  # of a convolution with 6 channels and 3 x 3 places
    assert 0.9 * bound < found.conv2.weight.abs().max() <= bound


def test_parameters_that_no_module_resets_are_small_and_normal() -> None:
    classifier = toy_classifier("vit")
    classifier.network.encoder.pos_embedding.data.fill_(5)
    *_, last = cascade(classifier, None, 0)
    assert last.classifier.network.encoder.pos_embedding.std() == pytest.approx(0.02, rel=0.2)


def test_the_model_itself_is_not_touched() -> None:
    classifier = toy_classifier()
    classifier.train().requires_grad_(True)
    before = state(classifier)
    for step in cascade(classifier, None, 0):
        assert not step.classifier.network.training
        assert not any(parameter.requires_grad for parameter in step.classifier.parameters())
        with torch.no_grad():
            step.classifier(toy_batch().images)
    assert not changed(before, state(classifier))
    assert classifier.network.training
    assert classifier.passes.total() == 0


def test_the_same_seed_gives_the_same_weights_and_the_global_generator_stays() -> None:
    torch.manual_seed(11)
    before = torch.get_rng_state()
    last = [[state(step.classifier) for step in cascade(toy_classifier(), None, seed)][-1] for seed in (0, 0, 1)]
    assert torch.equal(torch.get_rng_state(), before)
    assert not changed(last[0], last[1])
    assert changed(last[0], last[2]) == set(LAYERS) - {"norm1"}  # a batch norm's start is no draw


def test_a_second_cascade_starts_from_the_trained_weights_again_and_draws_nothing() -> None:
    classifier = toy_classifier()
    first = [state(step.classifier) for step in cascade(classifier, 2, 0)]
    kept = randomised._COPIES[classifier][0]
    again = [state(step.classifier) for step in cascade(classifier, 2, 0)]
    assert all(not changed(one, two) for one, two in zip(first, again, strict=True))
    assert randomised._COPIES[classifier][0] is kept


def test_what_was_done_to_the_classifier_since_counts() -> None:
    classifier = toy_classifier()
    list(cascade(classifier, None, 0))
    classifier.network.conv1.weight.data.fill_(0.25)
    classifier.layer = "relu1"
    step = next(cascade(classifier, None, 0))
    assert (step.classifier.network.conv1.weight == 0.25).all()
    assert step.classifier.layer == "relu1"


def test_the_copies_go_with_the_classifier() -> None:
    classifier = toy_classifier()
    list(cascade(classifier, 1, 0))
    held = len(randomised._COPIES)
    del classifier
    gc.collect()
    assert len(randomised._COPIES) < held


def test_a_network_without_weights_cannot_be_randomised() -> None:
    classifier = Classifier(nn.Flatten(), mean=0, std=1)
    with pytest.raises(NotApplicable, match="no weights to randomise"):
        next(cascade(classifier, 5, 0))


def test_every_copy_sees_images_as_the_classifier_does() -> None:
    classifier = toy_classifier()
    own = deepcopy(classifier)
    with torch.no_grad():
        for step in cascade(classifier, 1, 0):
            own.network.load_state_dict(step.classifier.network.state_dict())
            torch.testing.assert_close(step.classifier(toy_batch().images), own(toy_batch().images))
