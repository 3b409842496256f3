"""The contrastive loss against its sum written out, and its golden values."""

from __future__ import annotations

import math

import pytest
import torch

from camdbench.functional.contrastive import contrast_loss, cosine


def test_the_loss_is_the_sum_written_out() -> None:
    generator = torch.Generator().manual_seed(0)
    right, wrong = torch.rand(3, generator=generator).double(), torch.rand(3, 4, generator=generator).double()
    for tau in (0.1, 0.5, 2.0):
        for index, found in enumerate(contrast_loss(right, wrong, tau).tolist()):
            r = math.exp(right[index].item() / tau)
            assert found == pytest.approx(-math.log(r / (r + sum(math.exp(w / tau) for w in wrong[index].tolist()))))


@pytest.mark.parametrize(("right", "wrong", "expected"), [(1.0, 1.0, 3.4657), (0.3, 0.3, 3.4657), (1.0, 0.0, 1.6478), (0.0, 1.0, 5.4383)])
def test_golden_values_for_32_maps_at_one_half(right: float, wrong: float, expected: float) -> None:
    # chance is ln 32, the floor log(1 + 31 e^-2), the ceiling log(1 + 31 e^2)
    assert contrast_loss(torch.tensor([right]), torch.full((1, 31), wrong), 0.5).item() == pytest.approx(expected, abs=5e-5)


def test_small_temperatures_do_not_overflow() -> None:
    assert contrast_loss(torch.zeros(1), torch.ones(1, 3), 1e-4).isfinite().all()


def test_cosine_of_maps() -> None:
    first = torch.rand(2, 3, 4, generator=torch.Generator().manual_seed(0))
    second = torch.rand(2, 3, 4, generator=torch.Generator().manual_seed(1))
    a, b = first.flatten(1).double(), second.flatten(1).double()
    torch.testing.assert_close(cosine(first, second), (a * b).sum(1) / a.norm(dim=1) / b.norm(dim=1))
    torch.testing.assert_close(cosine(1e-12 * first, second), cosine(first, second))
    assert cosine(first, torch.zeros_like(first)).tolist() == [0, 0]
