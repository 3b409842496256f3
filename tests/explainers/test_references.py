"""Grad-CAM and HiResCAM against captum and grad-cam, on real architectures with random weights.

grad-cam keeps a reference to the layer's output, so an in-place operation behind the layer overwrites what it reads: DenseNet's
functional ReLU does that to `features`. Its Grad-CAM is wrong there, which the test asserts, to notice when it is fixed.
(Its HiResCAM is right: where the ReLU changed an activation, the gradient is zero.)
"""

from __future__ import annotations

import numpy as np
import pytest
import torch
from captum.attr import LayerGradCam, LayerGradientXActivation
from helpers.networks import random_network, side_of
from torch import Tensor

from camdbench.datasets.in_memory import make_batch
from camdbench.explainers.common.trace import Trace
from camdbench.explainers.gradcam import gradcam
from camdbench.explainers.hirescam import hirescam
from camdbench.models.classifier import Classifier

NETWORKS = ("resnet18", "small_vgg", "densenet121", "mobilenet_v2", "convnext_tiny", "small_vit")
CLASSES = torch.tensor([7, 400])


@pytest.fixture(scope="module", params=NETWORKS)
def classifier(request: pytest.FixtureRequest) -> Classifier:
    """One network of each kind; read only, which the contract suite holds every explainer to."""
    return random_network(request.param).double()


@pytest.fixture(scope="module")
def trace(classifier: Classifier) -> Trace:
    """Two noise images through its default layer."""
    side = side_of(classifier.name, 96)
    images = torch.rand(2, 3, side, side, generator=torch.Generator().manual_seed(2), dtype=torch.float64)
    return Trace(classifier, make_batch(images), target=CLASSES)


@pytest.fixture
def inputs(trace: Trace) -> Tensor:
    """What the bare network sees of the trace's images; a leaf, for libraries that want a gradient to flow."""
    return ((trace.images - trace.classifier.mean) / trace.classifier.std).requires_grad_()


def test_hirescam_is_the_sum_of_captums_gradient_times_activation(trace: Trace, inputs: Tensor) -> None:
    reference = LayerGradientXActivation(trace.classifier.network, _layer_of(trace)).attribute(inputs, CLASSES)
    assert_same(hirescam(trace, relu=False), _as_grid(reference).sum(1))


def test_gradcam_is_captums(trace: Trace, inputs: Tensor) -> None:
    if trace.classifier.name == "small_vit":
        pytest.skip("captum's LayerGradCam takes tokens for channels; grad-cam is the reference for transformers")
    layer = LayerGradCam(trace.classifier.network, _layer_of(trace))
    assert_same(gradcam(trace, relu=False), layer.attribute(inputs, CLASSES).squeeze(1))
    torch.testing.assert_close(gradcam(trace), layer.attribute(inputs, CLASSES, relu_attributions=True).squeeze(1))


@pytest.mark.parametrize("method", ["GradCAM", "HiResCAM"])
def test_gradcam_and_hirescam_are_those_of_grad_cam_where_it_is_right(trace: Trace, inputs: Tensor, method: str) -> None:
    ours = {"GradCAM": gradcam, "HiResCAM": hirescam}[method](trace, relu=False)
    reference = _raw_map_of_grad_cam(trace, inputs, method)
    if trace.classifier.name.startswith("densenet") and method == "GradCAM":
        assert (reference - ours).abs().max() > 0.01 * ours.abs().max(), "grad-cam has fixed its in-place trap: move DenseNet to the others"
    else:
        assert_same(ours, reference)


def test_gradcam_and_hirescam_are_one_where_pooling_is_all_that_sees_places(trace: Trace) -> None:
    ours, other = gradcam(trace, relu=False), hirescam(trace, relu=False)
    if trace.classifier.name.startswith(("resnet", "mobilenet", "convnext")):
        assert_same(ours, other)
    else:  # VGG's head is dense, DenseNet has a ReLU before the pooling, ViT has attention
        assert (ours - other).abs().max() > 0.01 * ours.abs().max()


def assert_same(ours: Tensor, reference: Tensor) -> None:
    """Equal in float64 to 1e-9 of the largest value of the map."""
    scale = reference.abs().amax((1, 2), keepdim=True)
    assert (scale > 0).all(), "an empty map is not a reference"
    torch.testing.assert_close(ours / scale, reference.detach() / scale, rtol=0, atol=1e-9)


def _layer_of(trace: Trace) -> torch.nn.Module:
    return trace.classifier.module(trace.classifier.layer_name())


def _as_grid(output: Tensor) -> Tensor:
    """A layer's output as (B, K, h, w); a vision transformer's by its paper: a class token, then the rows of patches."""
    if output.ndim == 4:
        return output
    side = round((output.shape[1] - 1) ** 0.5)
    return output[:, 1:].reshape(len(output), side, side, -1).permute(0, 3, 1, 2)


def _raw_map_of_grad_cam(trace: Trace, inputs: Tensor, method: str) -> Tensor:
    """The map of pytorch-grad-cam before it is rectified, scaled and resized."""
    import pytorch_grad_cam
    from pytorch_grad_cam.utils.model_targets import ClassifierOutputTarget

    targets = [ClassifierOutputTarget(int(index)) for index in CLASSES]
    layer = _layer_of(trace)
    with getattr(pytorch_grad_cam, method)(trace.classifier.network, [layer], reshape_transform=_as_grid) as cam:
        cam(inputs, targets)
        seen = cam.activations_and_grads
        found = cam.get_cam_image(inputs, layer, targets, seen.activations[0].numpy(), seen.gradients[0].numpy(), False)
    return torch.from_numpy(np.asarray(found))
