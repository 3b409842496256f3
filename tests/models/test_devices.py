"""Devices by name."""

from __future__ import annotations

import pytest
import torch
from helpers.each import each

from camdbench.core.errors import UsageError
from camdbench.models.devices import pick_device


def test_auto_is_a_device_of_this_machine() -> None:
    assert pick_device("auto").type in {"cpu", "cuda", "mps"}
    assert pick_device("cpu") == torch.device("cpu")


@each("name", ["gpu", "", "cuda:x", "xla", "meta", "cpu:1", "cpu 0"])
def test_a_name_that_means_nothing_here_is_refused(name: str) -> None:
    with pytest.raises(UsageError, match="--device"):
        pick_device(name)


def test_a_device_that_is_not_there_is_refused_with_the_fix() -> None:
    with pytest.raises(UsageError, match=r"this machine has \d+ cuda device\(s\); use --device auto or cpu"):
        pick_device(f"cuda:{torch.cuda.device_count()}")
