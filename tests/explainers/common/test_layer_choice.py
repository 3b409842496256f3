"""Which layers an explainer reads: those of its options, of what it wraps, the one asked for, or the network's own."""

from __future__ import annotations

import pytest
from helpers.each import each
from helpers.toys import SIZE, toy_classifier

from camdbench.core.errors import UsageError
from camdbench.core.registries import explainers
from camdbench.explainers.common.layer_choice import checked_layers
from camdbench.models.target_layers import list_layers


def layers_of(spec: str, base: str | None = None) -> tuple[str, ...]:
    classifier = toy_classifier()
    return checked_layers(classifier, explainers.parse_one(spec), base, list_layers(classifier, SIZE))


@each(
    ("spec", "base", "expected"),
    [
        ("gradcam", None, ("relu2",)),
        ("gradcam", "conv2", ("conv2",)),
        ('gradcam(layer="conv1")', "conv2", ("conv1",)),
        ('layercam(layer=("conv1", "relu2", "conv1"))', None, ("conv1", "relu2")),
        ('power(inverted(gradcam(layer="conv1")), alpha=2.0)', "conv2", ("conv1",)),
        ("augsmooth(gradcam)", "conv2", ("conv2",)),
        ('refine(gradcampp, layers=("conv1", "conv2"))', "relu2", ("conv1", "conv2")),
        ('power(refine(smooth(gradcam), layers=("conv1", "conv1")))', None, ("conv1",)),
        ("occlusion", "conv2", ()),
    ],
)
def test_options_come_before_the_layer_that_is_asked_for(spec: str, base: str | None, expected: tuple[str, ...]) -> None:
    assert layers_of(spec, base) == expected


@pytest.mark.parametrize(("spec", "base"), [('power(gradcam(layer="conv3"), alpha=2.0)', None), ("gradcam", "conv3")])
def test_an_unknown_layer_is_refused_by_name(spec: str, base: str | None) -> None:
    with pytest.raises(UsageError, match="conv3"):
        layers_of(spec, base)


@pytest.mark.parametrize(
    ("spec", "message"),
    [
        ("power(refine(gradcam))", "name two layers or more"),
        ('refine(augsmooth(saliency), layers=("conv1", "conv2"))', "reads no layer"),
        ('refine(augsmooth(gradcam(layer="conv1")), layers=("conv1", "conv2"))', "names its own layer"),
        ('refine(refine(gradcam, layers=("conv1", "conv2")), layers=("conv1", "conv2"))', "names its own layer"),
    ],
)
def test_a_wrapper_that_names_layers_needs_two_and_an_explainer_that_takes_them(spec: str, message: str) -> None:
    with pytest.raises(UsageError, match=message):
        layers_of(spec)
