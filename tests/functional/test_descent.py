"""Steps of Adam and of gradient descent equal those of torch.optim's classes bit for bit, without torch._dynamo."""

from __future__ import annotations

import subprocess
import sys
from collections.abc import Callable
from typing import Any

import pytest
import torch
from torch import Tensor

from camdbench.functional.descent import Adam, Sgd

PAIRS: dict[str, tuple[Callable[[Tensor], Any], Callable[[Tensor], torch.optim.Optimizer]]] = {
    "adam": (lambda own: Adam(own, 0.1), lambda theirs: torch.optim.Adam([theirs], lr=0.1)),
    "sgd": (
        lambda own: Sgd(own, 0.05, momentum=0.9, dampening=0.8),
        lambda theirs: torch.optim.SGD([theirs], lr=0.05, momentum=0.9, dampening=0.8),
    ),
}


@pytest.mark.parametrize("dtype", [torch.float32, torch.float64])
@pytest.mark.parametrize("name", PAIRS)
def test_steps_are_those_of_torchs_classes(name: str, dtype: torch.dtype) -> None:
    start = torch.randn(3, 7, generator=torch.Generator().manual_seed(0), dtype=dtype)
    own, theirs = start.clone().requires_grad_(), start.clone().requires_grad_()
    descent, optimiser = PAIRS[name][0](own), PAIRS[name][1](theirs)
    for _ in range(30):
        (gradient,) = torch.autograd.grad(_valley(own), own)
        descent.step(gradient)
        optimiser.zero_grad()
        _valley(theirs).backward()
        optimiser.step()
        assert torch.equal(own, theirs)
    assert float((own - start).abs().max().detach()) > 0.1


def _valley(values: Tensor) -> Tensor:
    return (values.square() * torch.linspace(0.1, 3, values.shape[1], dtype=values.dtype)).sum() + values.sin().sum()


def test_kept_rows_go_on_as_if_they_had_been_alone() -> None:
    start = torch.randn(3, 7, generator=torch.Generator().manual_seed(1), dtype=torch.float64)
    chosen = torch.tensor([True, False, True])
    both, alone = Adam(start.clone().requires_grad_(), 0.1), Adam(start[chosen].requires_grad_(), 0.1)
    for step in range(6):
        if step == 3:
            both.keep(chosen)
        for descent in (both, alone):
            descent.step(torch.autograd.grad(_valley(descent.values), descent.values)[0])
    assert both.values.is_leaf
    assert torch.equal(both.values, alone.values)


def test_a_step_does_not_import_the_compiler() -> None:
    program = """
import sys, torch
from camdbench.functional.descent import Adam, Sgd
values = torch.ones(2, requires_grad=True)
Adam(values, 0.1).step(torch.ones(2))
Sgd(values, 0.1, momentum=0.5, dampening=0.5).step(torch.ones(2))
print(values.detach().tolist(), "torch._dynamo" in sys.modules)
torch.optim.Adam([values])
print("torch._dynamo" in sys.modules)
"""
    done = subprocess.run([sys.executable, "-c", program], check=True, capture_output=True, text=True)
    own, theirs = done.stdout.splitlines()
    assert own.endswith("False")
    assert theirs == "True", "torch.optim.Adam no longer imports torch._dynamo; use it and delete descent.py"
