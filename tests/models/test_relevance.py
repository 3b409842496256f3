"""Relevance propagation through functions: what is folded, split, passed on and refused, however it is written."""

from __future__ import annotations

from collections.abc import Callable

import pytest
import torch
from helpers.each import each
from torch import Tensor, nn
from torch.nn import functional as F

from camdbench.core.errors import NotApplicable
from camdbench.models.relevance import Composite, Relevance, check_relevance
from camdbench.models.relevance_rules import LinearRule, alpha_beta_rule, box_rule, epsilon_rule, flat_rule, gamma_rule

pytestmark = pytest.mark.usefixtures("float64")

EPSILON, PLUS = epsilon_rule(1e-9), alpha_beta_rule(1, 0)
BOX = box_rule(torch.tensor(-2.0), torch.tensor(2.0))
COMPOSITE = Composite(PLUS, EPSILON)


def back(network: Callable[[Tensor], Tensor], images: Tensor, composite: Composite = COMPOSITE, *, biases: bool = True) -> Tensor:
    """Relevance of the images, from a one at the first output of each."""
    leaf = images.clone().requires_grad_()
    with Relevance(composite, biases=biases):
        output = network(leaf)
    if biases:
        assert torch.equal(output.detach(), network(images))
    check_relevance(output, leaf, "lrp")
    return torch.autograd.grad(output.flatten(1)[:, 0].sum(), leaf)[0]


@pytest.fixture
def images() -> Tensor:
    return torch.randn(2, 3, 6, 5, generator=torch.Generator().manual_seed(0))


@pytest.fixture
def conv() -> nn.Conv2d:
    torch.manual_seed(1)
    return nn.Conv2d(3, 4, 3, padding=1).requires_grad_(False)


@pytest.fixture
def norm() -> nn.BatchNorm2d:
    torch.manual_seed(2)
    norm = nn.BatchNorm2d(4).eval()
    for values in (norm.weight.data, norm.bias.data, norm.running_mean):
        values.normal_()
    norm.running_var.uniform_(0.5, 2)
    return norm.requires_grad_(False)


def merged(conv: nn.Conv2d, norm: nn.BatchNorm2d) -> nn.Conv2d:
    """The convolution and the batch norm as one convolution, by their equation."""
    found = nn.Conv2d(3, 4, 3, padding=1).requires_grad_(False)
    scale = norm.weight / (norm.running_var + norm.eps).sqrt()
    found.weight.data = conv.weight * scale[:, None, None, None]
    found.bias.data = (conv.bias - norm.running_mean) * scale + norm.bias
    return found


def test_a_residual_sum_shares_relevance() -> None:
    """y = W2 relu(W1 x + x) = 6; without a rule for the sum the relevance would be 12."""
    first, second = torch.tensor([[1.0, -1.0], [2.0, 1.0]]), torch.tensor([[1.0, 1.0]])
    found = back(lambda x: 6 * F.linear(F.relu(F.linear(x, first) + x), second), torch.tensor([[1.0, 2.0]]))
    assert 6 * found.sum().item() == pytest.approx(6, rel=1e-5)


@each(
    "add",
    [
        lambda x, y: x + y,
        lambda x, y: torch.add(input=x, other=y),
        lambda x, y: x.clone().add_(y),
        lambda x, y: x - (-y),
        lambda x, y: torch.add(x, y / 2, alpha=2),
        lambda x, y: torch.stack([x, y]).sum(0),
        lambda x, y: sum([x, y]),
    ],
    ids=["+", "torch.add", "in place", "-", "alpha", "sum", "sum of Python"],
)
def test_a_sum_in_every_spelling_shares_in_proportion(add: Callable[[Tensor, Tensor], Tensor]) -> None:
    found = back(lambda x: add(x[:, :2], x[:, 2:] * 0.5), torch.tensor([[1.0, 3.0, 6.0, 4.0]]))
    torch.testing.assert_close(found, torch.tensor([[0.25, 0, 0.75, 0]]), rtol=1e-5, atol=0)


class TestBatchNorm:
    def test_is_folded_into_the_convolution_before_it(self, images: Tensor, conv: nn.Conv2d, norm: nn.BatchNorm2d) -> None:
        expected = back(nn.Sequential(merged(conv, norm), nn.ReLU()), images)
        assert not torch.allclose(expected, back(nn.Sequential(conv, nn.ReLU()), images))
        torch.testing.assert_close(back(nn.Sequential(conv, norm, nn.ReLU(inplace=True)), images), expected)
        statistics = norm.running_mean, norm.running_var, norm.weight, norm.bias
        torch.testing.assert_close(
            back(lambda x: F.relu_(F.batch_norm(F.conv2d(x, conv.weight, conv.bias, padding=1), *statistics)), images), expected
        )

    def test_of_one_dimension_is_folded_into_the_linear_layer(self) -> None:
        torch.manual_seed(0)
        dense, norm, images = nn.Linear(5, 3), nn.BatchNorm1d(3).eval(), torch.randn(2, 5)
        norm.running_mean.normal_()
        norm.weight.data.normal_()
        both = nn.Sequential(dense, norm).requires_grad_(False)
        scale = norm.weight / (1 + norm.eps) ** 0.5
        weight, bias = dense.weight * scale[:, None], (dense.bias - norm.running_mean) * scale + norm.bias
        torch.testing.assert_close(back(both, images), back(lambda x: F.linear(x, weight, bias), images))

    def test_elsewhere_passes_relevance_on(self, images: Tensor, conv: nn.Conv2d, norm: nn.BatchNorm2d) -> None:
        before = nn.BatchNorm2d(3).eval().requires_grad_(False)
        before.running_mean.fill_(0.3)
        torch.testing.assert_close(back(nn.Sequential(before, conv), images), back(conv, before(images)))

        def changed(x: Tensor) -> Tensor:
            found = conv(x)
            found[:, 0] = 0  # so that it is not the output of the convolution
            return norm(found)

        leaf = images.clone().requires_grad_()
        with Relevance(COMPOSITE):
            output = changed(leaf)
        assert "_Passed" in output.grad_fn.name()
        torch.testing.assert_close(output.detach(), changed(images))

    def test_by_statistics_of_the_batch_is_refused(self, images: Tensor, conv: nn.Conv2d) -> None:
        with pytest.raises(NotApplicable, match="statistics of the batch"):
            back(nn.Sequential(conv, nn.BatchNorm2d(4, track_running_stats=False)), images)


def test_without_biases_relevance_is_conserved(images: Tensor, conv: nn.Conv2d, norm: nn.BatchNorm2d) -> None:
    network = nn.Sequential(conv, norm, nn.ReLU(), nn.AvgPool2d(2), nn.Flatten(), nn.Linear(24, 3).requires_grad_(False))
    assert not torch.allclose(back(network, images).sum((1, 2, 3)), torch.ones(2), atol=1e-2)
    torch.testing.assert_close(back(network, images, biases=False).sum((1, 2, 3)), torch.ones(2), rtol=0, atol=1e-4)


def test_every_layer_that_reads_the_image_follows_the_rule_of_the_first(images: Tensor, conv: nn.Conv2d) -> None:
    flat = Composite(PLUS, EPSILON, flat_rule, flat_rule)
    torch.manual_seed(4)
    other, last = nn.Conv2d(3, 4, 1).requires_grad_(False), nn.Conv2d(8, 2, 3).requires_grad_(False)

    def network(x: Tensor) -> Tensor:
        x = (x - 0.1) / 2  # as input normalisation
        return last(torch.cat([conv(x), other(x)], 1).relu())

    joined = torch.cat([conv((images - 0.1) / 2), other((images - 0.1) / 2)], 1).relu()
    received = back(last, joined)
    counts = F.conv2d(torch.ones(1, 3, 6, 5), torch.ones(1, 3, 3, 3), padding=1)
    expected = F.conv_transpose2d(received[:, :4] / counts, torch.ones(4, 3, 3, 3), padding=1) + received[:, 4:].sum(1, keepdim=True) / 3
    torch.testing.assert_close(back(network, images, flat), expected, rtol=1e-5, atol=1e-9)


class TestPadding:
    """Zeros around an activation are a part of the convolution that reads them, so they receive no relevance."""

    @pytest.mark.parametrize("pad", [lambda x: F.pad(x, (1, 1, 1, 1)), nn.ZeroPad2d(1), nn.ConstantPad2d(1, 0.0)])
    @pytest.mark.parametrize("rule", [flat_rule, BOX, gamma_rule(0.25), PLUS, EPSILON])
    def test_before_a_convolution_equals_that_of_the_convolution(
        self, rule: LinearRule, pad: Callable[[Tensor], Tensor], images: Tensor, conv: nn.Conv2d, norm: nn.BatchNorm2d
    ) -> None:
        composite = Composite(EPSILON, EPSILON, rule)
        expected = back(lambda x: norm(conv(x)), images, composite)
        found = back(lambda x: norm(F.conv2d(pad(x), conv.weight, conv.bias)), images, composite)
        assert torch.allclose(found, expected, rtol=0, atol=1e-12)

    def test_the_flat_rule_conserves_relevance(self, images: Tensor, conv: nn.Conv2d) -> None:
        found = back(lambda x: F.conv2d(F.pad(x, (0, 1, 0, 1)), conv.weight), images, Composite(PLUS, EPSILON, flat_rule))
        assert found.sum((1, 2, 3)).tolist() == pytest.approx([1, 1], abs=1e-5)

    def test_of_a_value_that_is_not_zero_keeps_its_share(self, images: Tensor, conv: nn.Conv2d) -> None:
        found = back(lambda x: F.conv2d(F.pad(x, (1, 1, 1, 1), value=1.0), conv.weight), images, Composite(PLUS, EPSILON, flat_rule))
        assert found.sum((1, 2, 3)).tolist() == pytest.approx([4 / 9, 4 / 9], abs=1e-5)  # 4 of the 9 places in the corner's window


def test_values_that_are_copied_or_moved_keep_their_relevance() -> None:
    images = torch.arange(1.0, 13).reshape(1, 3, 2, 2)
    found = back(lambda x: F.max_pool2d(F.interpolate(x.flip(1), scale_factor=2).mT, 2).sum((1, 2, 3), keepdim=True), images)
    torch.testing.assert_close(found, images / images.sum(), rtol=1e-5, atol=0)


@pytest.mark.parametrize(
    ("network", "message"),
    [
        (lambda x: x * x.mean((2, 3), keepdim=True), "product or quotient of two activations"),
        (lambda x: 1 / x, "product or quotient of two activations"),
        (lambda x: x.softmax(1), "the operation Softmax"),
        (lambda x: F.layer_norm(x, x.shape[1:]), "the operation NativeLayerNorm"),
        (lambda x: F.conv2d(x, x[:1, :, :1, :1]), "weights that depend on the image"),
        (lambda x: x[:, :1] * torch.ones(1, 4, 1, 1), "a constant that changes the shape"),
        (lambda x: x.flatten(1) @ torch.ones(90, 2), "the operation Mm"),
        (lambda x: x.clamp(0, 1), "the operation Clamp"),
    ],
)
def test_an_operation_without_a_rule_is_refused_by_name(network: Callable[[Tensor], Tensor], message: str, images: Tensor) -> None:
    with pytest.raises(NotApplicable, match=message):
        back(network, images)


def test_functions_of_constants_stay_as_they_are(images: Tensor, conv: nn.Conv2d) -> None:
    def standardised(x: Tensor) -> Tensor:
        weight = F.batch_norm(conv.weight.reshape(1, 4, -1), None, None, training=True).reshape_as(conv.weight)
        return F.conv2d(x, weight * 2 + 1)

    with torch.no_grad():
        weight = F.batch_norm(conv.weight.reshape(1, 4, -1), None, None, training=True).reshape_as(conv.weight) * 2 + 1
    torch.testing.assert_close(back(standardised, images), back(lambda x: F.conv2d(x, weight), images))
