"""Every loss: its gradient by all weights is the slope of its own values, in double precision; one value per image; registered facts."""

from __future__ import annotations

import pytest
import torch
from helpers.each import each
from helpers.steps import first_of, slope, toy_step
from torch import Tensor

from camdbench.core.errors import CamdbenchError
from camdbench.core.registries import losses

SPECS = [
    "bce",
    "ce(smoothing=0.1)",
    "cfbce",
    "cfce",
    "cfce(chunk=2)",
    "cgc(smallest=0.3)",
    'cgc(compat="author", ce_views=3)',
    "cgc(negatives=False)",
    'rcfbce(compat="author")',
    "corm",
    "cutmix-cfce",
    "dfr(l1=0.01)",
    "energy",
    "gcc",
    "rcfbce(weight=2.0)",
    "rcfce(weight=2.0)",
    "ria",
    "rrr",
    'so(beta=0.0, views=4, kernel=3, pooling="mean")',  # the scale of a softmax is a constant: tests/functional/test_pooling.py
    'so(beta=0.0, views=4, kernel=3, pooling="max")',
    'so(beta=0.0, views=2, kernel=3, cam="layercam", pooling="mean")',
    'so(beta=0.0, views=2, kernel=0, cam="gradcampp", pooling="mean")',
]
DENSE = ['so(beta=0.0, views=2, kernel=3, pooling="max")', 'so(beta=0.0, views=1, cam="layercam", kernel=3)', "energy", "ria", "rrr", "cgc"]


def _check(text: str, head: str) -> None:
    spec = losses.parse_one(text)
    step = toy_step(head)

    def value() -> Tensor:
        fresh = toy_step(head)  # draws the same numbers again
        object.__setattr__(fresh, "classifier", step.classifier)
        return losses.load(spec.name)(fresh, **spec.arguments).total.sum()

    by_autograd, by_values = slope(step.classifier, value)
    assert abs(by_values) > 1e-5
    assert by_autograd == pytest.approx(by_values, rel=1e-4)


@each("text", [text for text in SPECS if not text.startswith("dfr")])  # which reaches the head alone
def test_the_gradient_is_the_slope_of_the_values(text: str) -> None:
    _check(text, "gap")


@each("text", DENSE)
def test_so_it_is_where_the_map_needs_a_second_derivative(text: str) -> None:
    _check(text, "dense")


@each("text", SPECS)
def test_one_value_for_each_image_and_each_part_in_training_too(text: str) -> None:
    spec = losses.parse_one(text)
    for step in (toy_step(train=True), first_of(toy_step())):
        judged = losses.load(spec.name)(step, **spec.arguments)
        assert judged.total.shape == (len(step.batch),)
        assert judged.total.requires_grad
        assert judged.total.isfinite().all()
        assert judged.logits.shape == (len(step.batch), 5)
        assert judged.parts
        assert all(values.shape == (len(step.batch),) for values in judged.parts.values())


def test_every_registered_loss_is_tested_here() -> None:
    assert {losses.parse_one(text).name for text in SPECS} == set(losses.names())


@each("text", ["so(views=1, kernel=3)", *sorted(set(losses.names()) - {"so"})])
def test_losses_that_read_masks_say_so(text: str) -> None:
    spec, step = losses.parse_one(text), toy_step()
    object.__setattr__(step, "batch", type(step.batch)(step.batch.ids, step.batch.images, step.batch.labels))
    if "masks" in losses.get(spec.name).facts.needs:
        with pytest.raises(CamdbenchError, match="needs masks"):
            losses.load(spec.name)(step, **spec.arguments)
    else:
        assert losses.load(spec.name)(step, **spec.arguments).total.isfinite().all()


@each("text", ["so(views=1, kernel=3)", "cfce", "rcfce", "cfbce", "rcfbce", "cutmix-cfce", "bce", "energy", "gcc", "ria"])
def test_an_image_without_label_is_refused_where_it_must_have_one(text: str) -> None:
    spec, step = losses.parse_one(text), toy_step()
    step.batch.labels[1] = -1
    with pytest.raises(CamdbenchError, match="label"):
        losses.load(spec.name)(step, **spec.arguments)


def test_further_passes_leave_the_running_statistics_alone() -> None:
    """And the main one moves them once, whatever the loss."""
    wanted = toy_step(train=True)
    wanted.classifier(wanted.images)
    for text in SPECS:
        if text.startswith(("corm", "cutmix", "dfr")):  # other images, or none in training mode
            continue
        spec, step = losses.parse_one(text), toy_step(train=True)
        losses.load(spec.name)(step, **spec.arguments)
        network, plain = step.classifier.network, wanted.classifier.network
        assert torch.equal(network.norm1.running_mean, plain.norm1.running_mean), text
        assert int(network.norm1.num_batches_tracked) == 1
    moving = toy_step(train=True)
    object.__setattr__(moving, "update_all", True)
    losses.load("so")(moving, views=2, kernel=3)
    assert int(moving.classifier.network.norm1.num_batches_tracked) == 2
