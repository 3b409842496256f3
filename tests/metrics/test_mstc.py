"""MST-C: exact numbers of salient pixels, zeros, signed maps, and cases without a value."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
import torch
from helpers.scored_maps import scored
from helpers.toys import toy_batch, toy_classifier

from camdbench.datasets.samples import Batch
from camdbench.functional.compactness import compactness


def ten_by_ten() -> tuple[Batch, torch.Tensor]:
    """Four images of 10 x 10 pixels, and maps of zeros."""
    batch = toy_batch()
    return replace(batch, images=torch.rand(4, 3, 10, 10)), torch.zeros(4, 10, 10)


def test_a_block_of_distinct_values_and_scattered_pixels() -> None:
    batch, maps = ten_by_ten()
    maps[0, 2:6, 3:8] = torch.linspace(0.5, 1, 20).reshape(4, 5)
    maps[1].view(-1)[torch.from_numpy(np.random.RandomState(0).permutation(100)[:20])] = torch.linspace(0.5, 1, 20)
    maps[2] = 0.01 * torch.rand(10, 10)
    maps[2, 2:6, 3:8] = torch.linspace(0.5, 1, 20).reshape(4, 5)  # without zeros
    maps[3, :2, :2] = 1  # four pixels of a map that is zero elsewhere: 158.72 where a percentile of zero takes every pixel
    found = scored(toy_classifier(), batch, maps, "mstc").values
    assert found[:3].tolist() == pytest.approx([429.735, 124.32, 429.735], abs=5e-3)
    assert found[3].item() == pytest.approx(compactness(np.argwhere(np.ones((2, 2))), (10, 10)))


@pytest.mark.parametrize(("share", "count"), [(0.2, 20), (0.07, 7), (0.071, 8), (1.0, 100)])
def test_exactly_the_share_is_salient_though_all_pixels_of_the_block_are_equal(share: float, count: int) -> None:
    batch, maps = ten_by_ten()
    maps[:] = 0.5
    maps[:, 9, 9] = 0.1
    points = np.argwhere(np.ones((10, 10)))[:count]
    assert scored(toy_classifier(), batch, maps, f"mstc(share={share})").values[0].item() == pytest.approx(compactness(points, (10, 10)))


def test_raw_maps_are_taken_by_their_absolute_value_and_the_reason_for_no_value_is_few_pixels() -> None:
    batch, maps = ten_by_ten()
    raw = torch.randn(4, 10, 10, generator=torch.Generator().manual_seed(0))
    both = [scored(toy_classifier(), batch, maps, "mstc(protocol=raw)", raw=own).values for own in (raw, -raw)]
    torch.testing.assert_close(*both)
    maps[0, 3, 3], maps[1], maps[2, 3, 3:5] = 1, 0.5, 1
    found = scored(toy_classifier(), batch, maps, "mstc")
    assert found.undefined.tolist() == [True, True, False, True]
    assert found.values[2].item() == pytest.approx(100 * 2 / 1)
