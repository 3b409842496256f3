"""Seconds per pass are measured within their time, by a clock that only the passes move."""

from __future__ import annotations

import pytest
from torch import Tensor, nn

from camdbench.core.cost import PassEstimate
from camdbench.models.classifier import Classifier
from camdbench.runner import timing
from camdbench.runner.timing import Pace, measure, paces


class _Network(nn.Module):
    """Takes 0.02 s forward and 0.06 s backward, and 5 s more in its first pass."""

    def __init__(self) -> None:
        super().__init__()
        self.rounds, self.now, self.pool = 0, 0.0, nn.Identity()

    def forward(self, images: Tensor) -> Tensor:
        self.now += 0.02 + 5 * (self.rounds == 0)
        self.rounds += 1
        found = self.pool(images).mean((2, 3))
        found.register_hook(self._backward)
        return found

    def _backward(self, gradient: Tensor) -> None:
        self.now += 0.06


@pytest.mark.parametrize(("seconds", "rounds", "forward"), [(11.0, 74, 0.01), (1.0, 1, 2.51)])
def test_passes_are_measured_within_the_time_without_the_first(
    monkeypatch: pytest.MonkeyPatch, seconds: float, rounds: int, forward: float
):
    network = _Network()
    classifier = Classifier(network, mean=0.0, std=1.0, name="slow")
    monkeypatch.setattr(timing, "monotonic", lambda: network.now)
    assert measure(classifier, (4, 4), batch_size=2, seconds=seconds) == pytest.approx((forward, 0.03))
    assert network.rounds == rounds
    assert network.now <= max(seconds, 5.08)
    assert classifier.passes.total() == 0


def test_a_pass_through_the_tail_counts_as_a_whole_one():
    assert Pace(1.0, 10.0).seconds(PassEstimate(1, 2, 3, 4)) == 64.0


def test_networks_of_the_zoo_are_measured():
    [pace] = paces(["resnet18"], device="cpu", seconds=0.2).values()
    assert 1e-5 < min(pace) <= max(pace) < 10
