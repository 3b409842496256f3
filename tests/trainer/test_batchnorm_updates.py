"""Passes that leave running statistics alone, and modes that come back."""

from __future__ import annotations

import pytest
import torch
from torch import Tensor, nn

from camdbench.trainer.batchnorm_updates import batchnorm_updates, evaluating


def network() -> nn.Sequential:
    """A tracking norm, one without statistics, and a dropout."""
    return nn.Sequential(nn.BatchNorm2d(3), nn.BatchNorm2d(3, track_running_stats=False), nn.Dropout(0.5))


def images() -> Tensor:
    return 5 + 2 * torch.randn(4, 3, 5, 6, generator=torch.Generator().manual_seed(0))


def test_a_pass_without_updates_normalises_by_its_own_batch_and_moves_nothing() -> None:
    norm, x = network()[:2].train(), images()
    with batchnorm_updates(norm, enabled=False):
        found = norm(x)
    deviation = (x - x.mean((0, 2, 3), keepdim=True)) / (x.var((0, 2, 3), correction=0, keepdim=True) + 1e-5).sqrt()
    torch.testing.assert_close(found, deviation, rtol=1e-4, atol=1e-4)
    assert norm[0].running_mean.tolist() == [0, 0, 0]
    assert norm[0].num_batches_tracked == 0
    with batchnorm_updates(norm, enabled=False), batchnorm_updates(norm, enabled=True):
        norm(x)
    torch.testing.assert_close(norm[0].running_mean, 0.1 * x.mean((0, 2, 3)))  # the usual momentum
    assert norm[0].num_batches_tracked == 1
    assert norm[1].running_mean is None


@pytest.mark.parametrize("enabled", [True, False])
def test_settings_come_back_after_an_error(enabled: bool) -> None:
    norm = network()
    with pytest.raises(ZeroDivisionError), batchnorm_updates(norm, enabled=enabled):
        raise ZeroDivisionError
    assert [module.track_running_stats for module in norm[:2]] == [True, False]


def test_modes_come_back_module_by_module() -> None:
    mixed = network().train()
    mixed[0].eval()
    with pytest.raises(ZeroDivisionError), evaluating(mixed):
        assert not any(module.training for module in mixed.modules())
        raise ZeroDivisionError
    assert [module.training for module in (mixed, *mixed)] == [True, False, True, True]
