"""Eigen-CAM, EigenGrad-CAM and Seg-Eigen-CAM against a singular value decomposition, and pytorch-grad-cam, whose signs vary."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from helpers.other_libraries import raw_map_of_grad_cam
from helpers.toys import toy_classifier
from torch import Tensor

from camdbench.datasets.samples import Batch
from camdbench.explainers.common.trace import Trace
from camdbench.explainers.eigencam import eigencam, eigengradcam, principal_map, segeigencam
from camdbench.explainers.hirescam import hirescam

pytestmark = pytest.mark.usefixtures("float64")


@pytest.fixture
def trace(batch: Batch) -> Trace:
    """One trace of a frozen toy."""
    return Trace(toy_classifier("dense").requires_grad_(False), batch)


def first_component(features: Tensor, *, centre: bool) -> Tensor:
    """X v_1 (h, w) of features (K, h, w), by the decomposition itself; its sign is whatever comes out."""
    matrix = features.double().flatten(1).T.numpy()
    matrix = matrix - matrix.mean(0) if centre else matrix
    _, _, directions = np.linalg.svd(matrix, full_matrices=True)
    return torch.from_numpy((matrix @ directions[0]).reshape(features.shape[1:]))


def same_but_for_sign(found: Tensor, expected: Tensor) -> None:
    scale = expected.abs().max()
    assert scale > 1e-3
    sign = torch.sign((found * expected).sum())
    torch.testing.assert_close(sign * found / scale, expected / scale, rtol=0, atol=1e-5)


@pytest.mark.parametrize("centre", [False, True])
@pytest.mark.parametrize("shape", [(30, 4, 3), (5, 4, 3), (12, 4, 3), (1, 4, 3)], ids=str)
def test_the_gram_matrix_gives_the_first_component_whichever_side_is_shorter(shape: tuple[int, int, int], centre: bool) -> None:
    features = torch.randn(3, *shape, generator=torch.Generator().manual_seed(1)) + 0.5
    found = principal_map(features, centre=centre, sign="sum")
    for index in range(3):
        same_but_for_sign(found[index], first_component(features[index], centre=centre))


def test_eigencam_is_that_of_the_paper_and_has_no_negative_place_where_activations_have_none(trace: Trace) -> None:
    found = eigencam(trace)
    for index in range(4):
        same_but_for_sign(found[index], first_component(trace.activations[index], centre=False))
    assert found.min() >= -1e-6


@pytest.mark.parametrize("method", ["EigenCAM", "EigenGradCAM"])
def test_centred_they_are_those_of_grad_cam_but_for_the_sign(batch: Batch, method: str) -> None:
    classifier = toy_classifier("dense")
    expected = raw_map_of_grad_cam(classifier, batch, method)
    with classifier.frozen():
        trace = Trace(classifier, batch)
        if method == "EigenGradCAM":
            found = eigengradcam(trace, relu=False)
        else:
            found = principal_map(trace.activations, centre=True, sign="sum")
            torch.testing.assert_close(eigencam(trace, compat="pgc"), found.relu())
    for index in range(4):
        same_but_for_sign(found[index], expected[index])


def test_the_sign_is_that_of_the_channel_sum(trace: Trace) -> None:
    agreement = (eigengradcam(trace, relu=False) * hirescam(trace, relu=False)).sum((1, 2))
    assert (agreement > 0).all()
    features = trace.gradients * trace.activations
    torch.testing.assert_close(principal_map(-features, centre=True, sign="sum"), -principal_map(features, centre=True, sign="sum"))


def test_or_that_of_the_value_farthest_from_zero() -> None:
    features = torch.tensor([[[[-5.0, 1.0, 1.0, 1.0, 1.0]]]])
    found = principal_map(features, centre=False, sign="extreme")
    torch.testing.assert_close(found, -features[:, 0])
    torch.testing.assert_close(principal_map(features, centre=False, sign="sum"), features[:, 0])


def test_sums_that_are_rounding_have_no_say() -> None:
    """Behind a layer norm the channels of every place add up to nothing."""
    features = torch.nn.functional.layer_norm(torch.randn(4, 5, 5, 30, generator=torch.Generator().manual_seed(2)), (30,)).permute(
        0, 3, 1, 2
    )
    noisy = features + 1e-6 * torch.randn(features.shape, generator=torch.Generator().manual_seed(3))
    for centre in (False, True):
        expected = principal_map(features, centre=centre, sign="extreme")
        assert torch.equal(principal_map(features, centre=centre, sign="sum"), expected)
        torch.testing.assert_close(principal_map(noisy, centre=centre, sign="sum"), expected, rtol=0, atol=1e-3)


def test_a_dead_layer_gives_zeros() -> None:
    for shape in ((2, 30, 4, 3), (2, 5, 4, 3)):
        assert not principal_map(torch.zeros(shape), centre=True, sign="sum").any()


def test_segeigencam_is_that_of_grad_cam_and_has_the_known_values(batch: Batch) -> None:
    classifier = toy_classifier("dense")
    expected = raw_map_of_grad_cam(classifier, batch, "SegEigenCAM")
    with classifier.frozen():
        found = segeigencam(Trace(classifier, batch), relu=False)
        torch.testing.assert_close(segeigencam(Trace(classifier, batch)), found.relu())
    torch.testing.assert_close(found, expected.to(found), rtol=0, atol=1e-6)
    activations = torch.tensor([[[1.0, 2.0], [3.0, 4.0]], [[0.0, 1.0], [1.0, 0.0]]])
    gradients = torch.tensor([[[-1.0, 0.0], [1.0, 2.0]], [[1.0, -1.0], [0.0, 0.0]]])
    found = principal_map((gradients.abs() * activations)[None], centre=True, sign="extreme")[0]
    torch.testing.assert_close(found, torch.tensor([[-1.97369, -3.05027], [0.01994, 5.00401]]), rtol=0, atol=5e-6)
