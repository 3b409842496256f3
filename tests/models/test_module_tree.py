"""Modules and weights against torch's own iterators, and modes and flags before and after a frozen context."""

from __future__ import annotations

import sys
from collections import Counter
from collections.abc import Callable
from pathlib import Path
from types import FrameType
from typing import Any

import pytest
import torch
from helpers.toys import toy_classifier
from torch import Tensor, nn

import camdbench
from camdbench.models.classifier import Classifier
from camdbench.models.module_tree import tree_of

IMAGES = torch.rand(2, 3, 8, 8, generator=torch.Generator().manual_seed(0))


def deep(depth: int) -> nn.Sequential:
    torch.manual_seed(0)
    body = [layer for _ in range(depth) for layer in (nn.Conv2d(4, 4, 1), nn.BatchNorm2d(4), nn.Sequential(nn.Tanh()))]
    return nn.Sequential(nn.Conv2d(3, 4, 3), *body, nn.AdaptiveAvgPool2d(1), nn.Flatten(), nn.Linear(4, 5)).eval()


def state(classifier: Classifier) -> tuple[list[bool], list[bool]]:
    return [module.training for module in classifier.modules()], [weight.requires_grad for weight in classifier.parameters()]


@pytest.mark.filterwarnings("ignore:`torch.jit.script` is deprecated")
@pytest.mark.parametrize("shared", [False, True])
def test_the_tree_is_that_of_torch(shared: bool) -> None:
    network = deep(3)
    if shared:
        network.append(network[2]).append(nn.ModuleDict({"a": network[0], "b": nn.Linear(2, 2, bias=False)}))
        network[0].weight = network[-1]["b"].weight
        network.register_module("none", None)
    network.append(torch.jit.script(nn.Sequential(nn.Linear(2, 3), nn.BatchNorm1d(3))))
    found = tree_of(network)
    assert set(map(id, found.parameters)) == set(map(id, network.parameters()))
    assert set(map(id, found.buffers)) == set(map(id, network.buffers()))
    assert len(found.modules) == len(set(found.modules)) == len(list(network.modules()))
    assert {module for module in found.modules if not isinstance(module, torch.jit.ScriptModule)} == {
        module for module in network.modules() if not isinstance(module, torch.jit.ScriptModule)
    }


def test_frozen_restores_mixed_modes_and_flags_also_nested_and_after_errors() -> None:
    classifier = toy_classifier()
    network = classifier.network.train()
    network.norm1.eval()
    next(network.parameters()).requires_grad_(False)
    before = state(classifier)
    with pytest.raises(RuntimeError, match="inside"), classifier.frozen():
        frozen = state(classifier)
        assert not any(map(any, frozen))
        with pytest.raises(RuntimeError, match="deeper"), classifier.frozen():
            network.train().requires_grad_(True)  # what a foreign explainer may do
            raise RuntimeError("deeper")
        assert state(classifier) == frozen
        network.relu1.train()
        raise RuntimeError("inside")
    assert state(classifier) == before
    assert not classifier.training


def test_a_mode_that_cannot_be_left_restores_what_was_set() -> None:
    class Stubborn(nn.Module):
        def train(self, mode: bool = True) -> Stubborn:
            raise RuntimeError("no")

    classifier = toy_classifier()
    classifier.network.train()
    classifier.network.add_module("stubborn", Stubborn())
    before = state(classifier)
    with pytest.raises(RuntimeError, match="no"), classifier.frozen():
        pass
    assert state(classifier) == before


@pytest.mark.parametrize("frozen", [True, False])
def test_the_second_explanation_costs_as_many_steps_however_deep_the_network_is(monkeypatch: pytest.MonkeyPatch, frozen: bool) -> None:
    """Modules and weights that are right are neither touched nor walked over; the number of Python's steps does not depend on theirs."""
    set_attribute, set_flag, writes, seen = nn.Module.__setattr__, Tensor.requires_grad_, Counter[str](), list[Counter[str]]()
    monkeypatch.setattr(nn.Module, "__setattr__", lambda *given: writes.update(["module"]) or set_attribute(*given))
    monkeypatch.setattr(Tensor, "requires_grad_", lambda own, flag=True: writes.update(["weight"]) or set_flag(own, flag))
    for depth in (2, 40):
        classifier = Classifier(deep(depth).requires_grad_(not frozen), layer="0", mean=0.5, std=0.5)
        for _ in range(2):  # what is imported and parsed once
            camdbench.explain(classifier, IMAGES, "gradcam")
        writes.clear()
        seen.append(_steps(lambda classifier=classifier: camdbench.explain(classifier, IMAGES, "gradcam")))
        weights = 0 if frozen else 2 * len(list(classifier.parameters()))  # taken away and given back
        assert writes["weight"] <= weights + 1  # the captured output
        assert writes["module"] <= 20  # counts and flags of the classifier
    shallow, deeper = seen
    assert shallow["call"] == deeper["call"] <= 301
    assert 0 < deeper["line"] <= 1020 if frozen else shallow["line"] < deeper["line"]
    assert not frozen or shallow["line"] == deeper["line"]


def _steps(run: Callable[[], object]) -> Counter[str]:
    """Calls and lines of the package in a run."""
    seen, before, package = Counter[str](), sys.gettrace(), str(Path(camdbench.__file__).parent)

    def count(frame: FrameType, event: str, argument: object) -> Any:
        del argument
        if not frame.f_code.co_filename.startswith(package):
            return None
        if event != "call" or not frame.f_code.co_name.startswith("<"):
            seen[event] += 1
        return count

    sys.settrace(count)
    try:
        run()
    finally:
        sys.settrace(before)
    return seen
