"""KPCA-CAM against scikit-learn and pytorch-grad-cam, which leave the sign open, and what its kernel does to scales."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from helpers.other_libraries import raw_map_of_grad_cam
from helpers.toys import toy_classifier
from pytorch_grad_cam.utils.svd_on_activations import get_2d_projection_kernel
from sklearn.decomposition import KernelPCA
from torch import Tensor

from camdbench.datasets.samples import Batch
from camdbench.explainers.common.trace import Trace
from camdbench.explainers.eigencam import principal_map
from camdbench.explainers.kpcacam import Kernel, kernel_component, kpcacam

pytestmark = pytest.mark.usefixtures("float64")

FEATURES = torch.from_numpy(np.random.RandomState(1).rand(1, 6, 4, 4))


def centred(features: Tensor) -> Tensor:
    matrix = features.flatten(2).transpose(1, 2)
    return matrix - matrix.mean(1, keepdim=True)


def component(features: Tensor, kernel: Kernel = "sigmoid") -> Tensor:
    return kernel_component(centred(features), kernel, 1 / features.shape[1])[0]


def correlation(first: Tensor, second: Tensor) -> float:
    return float(np.corrcoef(first.flatten(), second.flatten())[0, 1])


@pytest.mark.parametrize("kernel", ["sigmoid", "rbf", "linear"])
def test_is_scikit_learns_but_for_the_sign(kernel: Kernel) -> None:
    reference = torch.from_numpy(KernelPCA(1, kernel=kernel).fit_transform(centred(FEATURES)[0].numpy())[:, 0])
    found = component(FEATURES, kernel)
    torch.testing.assert_close(found * (found @ reference).sign(), reference, rtol=0, atol=1e-10)


def test_the_linear_kernel_gives_centred_eigencam_and_the_sigmoid_nearly_so() -> None:
    eigen = principal_map(FEATURES, centre=True, sign="sum").flatten()
    linear = component(FEATURES, "linear")
    torch.testing.assert_close(linear * (linear @ eigen).sign(), eigen, rtol=0, atol=1e-10)
    assert abs(correlation(component(FEATURES), eigen)) == pytest.approx(0.99999, abs=2e-5)


def test_tanh_saturates_so_the_map_depends_on_the_scale_of_large_activations() -> None:
    assert abs(correlation(component(FEATURES), component(50 * FEATURES))) == pytest.approx(0.9519, abs=2e-4)


def test_small_activations_are_rounding_noise_in_pytorch_grad_cam_and_not_here() -> None:
    theirs = [get_2d_projection_kernel((scale * FEATURES).float().numpy())[0] for scale in (1.0, 1e-3)]
    assert correlation(*map(torch.from_numpy, theirs)) == pytest.approx(-0.947, abs=2e-3)  # and the sign has turned
    assert abs(correlation(component(FEATURES), component(1e-3 * FEATURES.float().double()))) == pytest.approx(0.99999, abs=2e-5)


def test_the_sigmoid_kernel_matrix_is_indefinite_and_the_largest_eigenvalue_counts_by_value() -> None:
    matrix = centred(FEATURES)[0]
    kernel = torch.tanh(matrix @ matrix.T / 6 + 1)
    rows = torch.eye(16) - torch.ones(16, 16) / 16
    values, vectors = torch.linalg.eigh(rows @ kernel @ rows)
    assert (values[0].item(), values[-1].item()) == pytest.approx((-0.005, 0.214), abs=5e-4)
    expected = vectors[:, -1] * values[-1].sqrt()
    found = component(FEATURES)
    torch.testing.assert_close(found * (found @ expected).sign(), expected, rtol=0, atol=1e-12)


def test_on_a_network_it_is_pytorch_grad_cams_with_the_sign_of_the_channel_sum(batch: Batch) -> None:
    classifier = toy_classifier("dense")
    expected = raw_map_of_grad_cam(classifier, batch, "KPCA_CAM")
    trace = Trace(classifier.requires_grad_(False), batch)
    found = kpcacam(trace, relu=False)
    sums = trace.activations.sum(1) - trace.activations.sum(1).mean((1, 2), keepdim=True)
    assert ((found * sums).sum((1, 2)) > 0).all()
    sign = (found * expected).sum((1, 2), keepdim=True).sign()
    torch.testing.assert_close(found, sign * expected, rtol=0, atol=1e-6)
    torch.testing.assert_close(kpcacam(trace), found.relu())


def test_equal_places_give_zero() -> None:
    assert not component(torch.ones(1, 6, 4, 4)).any()
