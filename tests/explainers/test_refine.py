"""RefineCAM: both released forms against their libraries, identities, and layers that are refused or constant."""

from __future__ import annotations

import re

import pytest
import torch
from helpers.each import each
from helpers.other_libraries import inputs_of, raw_map_of_torchcam
from helpers.toys import maps_of, toy_batch, toy_classifier
from pytorch_grad_cam import GradCAMPlusPlus, RefineCAM
from pytorch_grad_cam.utils.model_targets import ClassifierOutputTarget

import camdbench
from camdbench.core.errors import UsageError
from camdbench.datasets.samples import Batch
from camdbench.functional.normalise import normalise
from camdbench.models.classifier import Classifier

pytestmark = pytest.mark.usefixtures("float64")

LAYERS = ("conv1", "relu2")


def spec_of(inner: str, layers: tuple[str, ...] = LAYERS, **options: str) -> str:
    return f"refine({inner}, layers={layers}{''.join(f', {name}={value!r}' for name, value in options.items())})"


@pytest.fixture
def classifier() -> Classifier:
    """A toy whose layers have grids of two sizes: a stride between conv1 and relu2."""
    classifier = toy_classifier()
    classifier.network.conv2.stride = (2, 2)
    return classifier


def test_is_the_release_of_pytorch_grad_cam(classifier: Classifier, batch: Batch) -> None:
    targets = [ClassifierOutputTarget(int(label)) for label in batch.labels]
    theirs = RefineCAM(classifier.network, [classifier.module(name) for name in LAYERS])
    reference = torch.from_numpy(theirs(inputs_of(classifier, batch), targets))
    each = torch.stack([torch.from_numpy(own(inputs_of(classifier, batch), targets)) for own in theirs.base_cam_per_layer])
    found = maps_of(classifier, batch, spec_of('gradcampp(compat="pgc")')).maps
    torch.testing.assert_close(found, reference, rtol=0, atol=1e-5)
    torch.testing.assert_close(normalise(each.prod(0), "range"), reference, rtol=0, atol=1e-6)  # its own clipping changes nothing


def test_pytorch_grad_cam_takes_eigen_smooth_for_smoothing_over_augmentations(
    classifier: Classifier, batch: Batch, monkeypatch: pytest.MonkeyPatch
) -> None:
    """It has no counterpart here: `refine(augsmooth(gradcampp), ...)` states what is smoothed."""
    calls = list[bool]()
    monkeypatch.setattr(GradCAMPlusPlus, "forward_augmentation_smoothing", lambda *_: calls.append(True) or torch.ones(4, 16, 12).numpy())
    theirs = RefineCAM(classifier.network, [classifier.module(name) for name in LAYERS])
    theirs(inputs_of(classifier, batch), [ClassifierOutputTarget(int(label)) for label in batch.labels], eigen_smooth=True)
    assert len(calls) == 2


def test_is_the_release_of_torchcam(classifier: Classifier, batch: Batch) -> None:
    reference = raw_map_of_torchcam(classifier, batch, "RefineCAM", target_layer=list(LAYERS))
    found = maps_of(classifier, batch, spec_of('gradcampp(compat="torchcam")', compat="torchcam"))
    assert found.raw.shape == (4, 8, 6)
    torch.testing.assert_close(found.raw, normalise(reference, "range"), rtol=0, atol=5e-5)
    by_maps = maps_of(classifier, batch, spec_of('gradcampp(compat="torchcam")')).maps
    assert (found.maps - by_maps).abs().max() > 0.01  # between cells the two releases differ


def test_is_the_product_of_the_finished_maps(classifier: Classifier, batch: Batch) -> None:
    first, second = (maps_of(classifier, batch, f'gradcam(layer="{layer}")').maps for layer in LAYERS)
    found = maps_of(classifier, batch, spec_of("gradcam"))
    torch.testing.assert_close(found.maps, normalise(first * second, "range"), rtol=0, atol=1e-6)
    assert not found.maps[(first == 0) | (second == 0)].any()
    assert found.raw.min() >= 0
    assert torch.equal(maps_of(classifier, batch, f"refinecam(gradcam, layers={LAYERS})").maps, found.maps)


def test_one_layer_twice_gives_the_square_and_a_positive_factor_of_a_layer_changes_nothing(classifier: Classifier, batch: Batch) -> None:
    own = maps_of(classifier, batch, "gradcam").maps
    torch.testing.assert_close(maps_of(classifier, batch, spec_of("gradcam", ("relu2", "relu2"))).maps, own.square(), rtol=0, atol=1e-6)
    for compat in ("pgc", "torchcam"):
        before = maps_of(classifier, batch, spec_of("layercam", compat=compat)).maps
        scaled = toy_classifier()
        scaled.network.conv2.stride = (2, 2)
        scaled.network.conv1.weight.data *= 4  # the batch norm behind it undoes this, and Layer-CAM's maps of conv1 are those of before
        scaled.network.conv1.bias.data *= 4
        scaled.network.norm1.running_mean *= 4
        scaled.network.norm1.running_var.mul_(16).add_(15e-5)  # so that its epsilon counts as before
        torch.testing.assert_close(maps_of(scaled, batch, spec_of("layercam", compat=compat)).maps, before, rtol=0, atol=1e-6)


def test_many_layers_do_not_underflow(classifier: Classifier, batch: Batch) -> None:
    own = maps_of(classifier, batch, "gradcam").maps
    found = maps_of(classifier, batch, spec_of("gradcam", ("relu2",) * 40))
    assert found.status == ("ok",) * 4
    torch.testing.assert_close(found.maps, own**40, rtol=0, atol=1e-5)


def test_a_constant_layer_is_named(classifier: Classifier, batch: Batch) -> None:
    classifier.network.conv2.bias.data.fill_(-100)  # behind the ReLU every activation is zero
    found = maps_of(classifier, batch, spec_of("eigencam"))
    assert found.status == ("constant_map",) * 4
    assert set(found.reasons) == {"layer relu2: the map is constant"}


@each(
    ("spec", "message"),
    [
        ("refine(gradcampp)", r"refine(layers=()): name two layers or more"),
        (spec_of("gradcampp", ("relu2",)), "refine(layers=('relu2',)): name two layers or more"),
        (spec_of("saliency"), "saliency reads no layer; wrap one that does"),
        (spec_of('power(gradcam(layer="conv1"))'), 'gradcam(layer="conv1") names its own layer; leave layer out'),
        (spec_of("gradcam", ("conv1", "conv9")), "no layer 'conv9'"),
    ],
)
def test_what_cannot_be_refined_is_refused_before_work_begins(spec: str, message: str) -> None:
    classifier = toy_classifier()
    with pytest.raises(UsageError, match=re.escape(message)):
        camdbench.explain(classifier, toy_batch(1).images.float(), spec)
    assert classifier.passes.total() == 0
