"""Maps come back from the file as they went into it, and errors of the disk are one line."""

from __future__ import annotations

from pathlib import Path
from unittest.mock import patch

import pytest
import torch
from torch import Tensor

from camdbench.core.errors import CamdbenchError
from camdbench.runner import map_spool
from camdbench.runner.map_spool import MapSpool
from camdbench.runner.results import BatchResult


def result(explainer: str, ids: tuple[str, ...], raw: Tensor | None) -> BatchResult:
    return BatchResult(explainer, ids, (0,) * len(ids), (0,) * len(ids), {}, raw=raw)


def test_maps_of_batches_and_explainers_are_kept_apart(tmp_path: Path) -> None:
    spool = MapSpool(tmp_path)
    wide, small, half = torch.randn(2, 5, 7)[:, :, ::2], torch.randn(1, 2, 2), torch.randn(2, 3, 3).half()
    given = [result("a", ("1", "2"), wide), result("b", ("1", "2"), half), result("a", ("3",), small), result("c", ("1",), None)]
    assert [spool.take(own).raw for own in given] == [None] * 4
    assert not list(tmp_path.iterdir())
    found = spool.maps("a")
    assert list(found) == ["1", "2", "3"]
    for own, expected in zip(found.values(), (*wide, *small), strict=True):
        assert torch.equal(own, expected)
    assert torch.equal(torch.stack(list(spool.maps("b").values())), half.float())
    assert spool.maps("c") == {}
    spool.close()
    assert MapSpool(None).take(given[0]) is given[0]


def test_a_full_disk_is_one_line(tmp_path: Path) -> None:
    with (
        patch.object(map_spool, "TemporaryFile", side_effect=OSError(28, "No space left on device")),
        pytest.raises(CamdbenchError, match=r"maps cannot be written \(No space left on device\); finished work is kept"),
    ):
        MapSpool(tmp_path).take(result("a", ("1",), torch.zeros(1, 2, 2)))
