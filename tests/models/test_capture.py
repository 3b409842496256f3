"""Forward hooks: captured, replaced and recorded outputs, and a survey; all hooks are removed on exit."""

from __future__ import annotations

from collections.abc import Callable, Generator
from contextlib import AbstractContextManager

import pytest
import torch
from torch import Tensor, nn

from camdbench.models.capture import capture_output, record_outputs, replace_output, survey

IMAGES = torch.rand(2, 3, 6, 5, generator=torch.Generator().manual_seed(0))


@pytest.fixture
def network() -> Generator[nn.Sequential]:
    torch.manual_seed(0)
    network = nn.Sequential(nn.Conv2d(3, 4, 3), nn.ReLU(inplace=True), nn.AdaptiveAvgPool2d(1), nn.Flatten(), nn.Linear(4, 5))
    yield network
    assert not [module for module in network.modules() if module._forward_hooks]


def test_the_leaf_survives_in_place_operations_and_has_the_tails_gradient(network: nn.Sequential) -> None:
    with capture_output(network[0], "0") as seen:
        logits = network(IMAGES)
    assert torch.equal(seen.output(), network[0](IMAGES))
    (found,) = torch.autograd.grad(logits[:, 1].sum(), seen.output())
    expected = (seen.output() > 0) * network[4].weight[1].reshape(1, 4, 1, 1) / 12
    torch.testing.assert_close(found, expected)
    assert seen.output().grad_fn is None


def test_an_attached_output_reaches_the_weights(network: nn.Sequential) -> None:
    with capture_output(network[0], "0", attached=True) as seen:
        logits = network(IMAGES)
    assert seen.output().grad_fn is not None
    (found,) = torch.autograd.grad(logits.sum(), network[0].weight)
    assert bool(found.any())


def test_a_replaced_output_determines_the_logits(network: nn.Sequential) -> None:
    grid = torch.rand(2, 4, 4, 3)
    with replace_output(network[1], grid):
        found = network(IMAGES)
    torch.testing.assert_close(found, network[4](grid.mean((2, 3))))
    assert not torch.equal(network(IMAGES), found)


def test_records_are_in_order_and_unchanged_by_in_place_operations(network: nn.Sequential) -> None:
    with record_outputs([network[0], network[4]]) as recorded:
        logits = network(IMAGES)
    assert [module for module, _ in recorded] == [network[0], network[4]]
    assert torch.equal(recorded[0][1], network[0](IMAGES))
    assert torch.equal(recorded[1][1], logits)


def test_a_survey_counts_calls_and_summarises_gradients(network: nn.Sequential) -> None:
    with survey(network, lambda name, gradient: gradient.sum() if name == "4" else None) as records:
        network(IMAGES).sum().backward()
    assert {name: record.calls for name, record in records.items()} == dict.fromkeys("01234", 1)
    assert records["2"].shape == (2, 4, 1, 1)
    assert records["4"].gradient == 10
    assert records["0"].gradient is None


@pytest.mark.parametrize(
    "context",
    [
        lambda network: capture_output(network[0], "0"),
        lambda network: replace_output(network[0], torch.zeros(2, 4, 4, 3)),
        lambda network: record_outputs(network.modules()),
        lambda network: survey(network, lambda name, gradient: None),
    ],
    ids=["capture", "replace", "record", "survey"],
)
def test_hooks_are_removed_after_an_exception(
    network: nn.Sequential, context: Callable[[nn.Module], AbstractContextManager[object]]
) -> None:
    before: Tensor = network(IMAGES)
    with pytest.raises(ZeroDivisionError), context(network):
        _ = 1 / 0
    assert torch.equal(network(IMAGES), before)
