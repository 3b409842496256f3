"""Backward rules: in place of every spelling of a function, gone after the block, and never believed unseen."""

from __future__ import annotations

import pytest
import torch
from helpers.each import each
from torch import Tensor, nn
from torch.nn import functional as F

from camdbench.core.errors import NotApplicable
from camdbench.models.backward_rules import MAXIMA, BackwardRules, check_operations, check_same_logits, guided_relu, rescale


@each(
    "spelling",
    [nn.ReLU(), nn.ReLU(inplace=True), F.relu, F.relu_, torch.relu, torch.relu_, Tensor.relu, Tensor.relu_],
    ids=["module", "module in place", "F", "F in place", "torch", "torch in place", "method", "method in place"],
)
def test_a_relu_is_replaced_in_every_spelling(spelling: nn.Module) -> None:
    leaf = torch.tensor([-1.0, 2.0, 3.0], requires_grad=True)
    with BackwardRules({"relu": guided_relu}):
        output = spelling(leaf * 1)
    (gradient,) = torch.autograd.grad(output, leaf, torch.tensor([1.0, 1.0, -1.0]))
    assert output.tolist() == [0, 2, 3]
    assert gradient.tolist() == [0, 1, 0]


def test_after_the_block_everything_is_as_before() -> None:
    with pytest.raises(ZeroDivisionError), BackwardRules({"relu": guided_relu}):
        raise ZeroDivisionError
    leaf = torch.tensor([2.0], requires_grad=True)
    assert torch.autograd.grad(leaf.relu(), leaf, torch.tensor([-1.0]))[0].item() == -1


@each("function", [torch.tanh, F.gelu, F.silu, torch.sigmoid, F.softplus, F.hardtanh, F.hardswish, F.elu])
def test_rescaled_slopes_are_differences_over_differences(function: object) -> None:
    leaf = torch.tensor([[0.3], [0.7], [-0.2], [0.7]], requires_grad=True)  # two inputs, then their references
    with BackwardRules({function.__name__: rescale}):
        output = function(leaf)
    gradient = torch.autograd.grad(output[:2].sum(), leaf)[0].squeeze(1)
    plain = torch.tensor([0.7], requires_grad=True)
    assert gradient[0].item() == pytest.approx(((function(leaf[0]) - function(leaf[2])) / 0.5).item(), rel=1e-5)
    assert gradient[1].item() == pytest.approx(torch.autograd.grad(function(plain), plain)[0].item())
    assert gradient[2:].tolist() == [0, 0]


def test_what_a_graph_holds_is_told() -> None:
    images = torch.rand(1, 3, 8, 8, requires_grad=True)
    network = nn.Sequential(nn.Conv2d(3, 4, 3), nn.BatchNorm2d(4), nn.MaxPool2d(2), nn.Flatten(), nn.Linear(36, 2)).eval()
    assert check_operations(network(images), images, "x", MAXIMA) >= {"Convolution", "NativeBatchNorm", "MaxPool2DWithIndices", "Addmm"}
    with pytest.raises(NotApplicable, match="x is not defined for the operation MaxPool2DWithIndices"):
        check_operations(network(images), images, "x", ())
    with pytest.raises(NotApplicable, match="product of two activations"):
        check_operations((images * images.mean()).sum(), images, "x", ())


def test_the_complaint_is_about_the_operation_nearest_to_the_output_every_time() -> None:
    kinds = [nn.Tanh(), nn.SiLU(), nn.Sigmoid(), nn.ELU(), nn.Softplus(), nn.GELU()]
    network = nn.Sequential(*[module for kind in kinds for module in (nn.Conv2d(3, 3, 1), kind)])
    for _ in range(20):
        images = torch.rand(1, 3, 2, 2, requires_grad=True)
        with pytest.raises(NotApplicable, match="operation Gelu "):
            check_operations(network(images), images, "x", ())


def test_a_product_with_the_image_itself_is_a_product() -> None:
    images = torch.rand(1, 3, requires_grad=True)
    with pytest.raises(NotApplicable, match="product"):
        check_operations((images * images).sum(), images, "x", ())


def test_a_value_that_is_dropped_is_noticed() -> None:
    logits = torch.tensor([[1.0, 2.0]])
    check_same_logits(logits * (1 + 1e-5), logits, "x")
    broken = torch.cat([logits, torch.full_like(logits[:1], torch.nan)])
    check_same_logits(broken, broken, "x")  # one image without finite logits refuses nothing to the others
    with pytest.raises(NotApplicable, match="its logits change"):
        check_same_logits(logits * 1.1, logits, "x")
