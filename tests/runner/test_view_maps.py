"""Maps that are stored to be seen: which, how exact, and what a damaged file says."""

from __future__ import annotations

import io
from pathlib import Path

import numpy as np
import pytest
import torch
from helpers.each import each
from PIL import Image
from safetensors.torch import load_file, save_file
from torch import Tensor
from torch.nn.functional import avg_pool2d

from camdbench.core.errors import CamdbenchError
from camdbench.explainers.common.saliency import Saliency, finish
from camdbench.runner.view_maps import FEW, SIDE, decoded, has_views, kept_maps, pack_views, view_of_part


def maps_of(raw: Tensor, size: tuple[int, int] = (224, 224)) -> Saliency:
    return finish(raw, size, "range")


def waves(height: int, width: int) -> Tensor:
    rows, columns = torch.linspace(0, 6, height)[:, None], torch.linspace(0, 9, width)
    return torch.stack([rows.sin() + columns.cos(), rows.cos() * columns.sin()])


@each(
    ("how", "given", "size", "kind"),
    [
        ("view", False, (32, 32), "raw"),
        ("view", False, (7, 7), "raw"),
        ("view", False, (25, 41), "view"),  # 1,025 values
        ("view", True, (7, 7), ""),
        ("view", True, (224, 224), ""),
        ("raw", False, (224, 224), "raw"),
        ("raw", True, (224, 224), "raw"),
        ("none", False, (7, 7), ""),
    ],
)
def test_a_map_is_kept_raw_or_as_a_picture_or_not_at_all(how: str, given: bool, size: tuple[int, int], kind: str):
    maps = maps_of(waves(*size))
    raw, views = kept_maps(maps, how, given=given)
    assert FEW == 1024
    assert (raw is not None, bool(views)) == (kind == "raw", kind == "view")
    if raw is not None:
        assert torch.equal(raw, maps.raw)
    assert len(views) in (0, 2)


def test_a_picture_is_the_finished_map_averaged():
    maps = maps_of(waves(224, 224))
    _, views = kept_maps(maps, "view", given=False)
    for view, own in zip(views, avg_pool2d(maps.maps[:, None], 2)[:, 0].numpy(), strict=True):
        found = decoded(view)
        assert found.shape == (SIDE, SIDE)
        assert np.abs(found - own).mean() < 0.01
        assert np.abs(found - own).max() < 0.1
    for size, shape in (((300, 451), (75, 112)), ((40, 96), (40, 96)), ((2000, 3), (112, 1))):
        _, views = kept_maps(maps_of(torch.rand(1, 40, 40), size), "view", given=False)
        assert decoded(views[0]).shape == shape
    noise = maps_of(torch.rand(1, 224, 224))  # the worst case
    assert len(kept_maps(noise, "view", given=False)[1][0]) < 8_000
    broken = maps_of(torch.full((1, 40, 40), torch.nan))
    assert (broken.status, decoded(kept_maps(broken, "view", given=False)[1][0]).max()) == (("error",), 0)


def test_pictures_come_back_from_a_part(tmp_path: Path):
    views = {name: kept_maps(maps_of(waves(40, 40)[:1] * factor), "view", given=False)[1][0] for name, factor in (("c", 1), ("a", -1))}
    assert pack_views({}, ["a"]) == {}
    save_file(pack_views(views, ["a", "b", "c"]), tmp_path / "part.safetensors")
    assert [view_of_part(tmp_path / "part.safetensors", place) for place in range(3)] == [views["a"], None, views["c"]]
    assert has_views(tmp_path / "part.safetensors")
    assert view_of_part(tmp_path / "none.safetensors", 0) is None
    save_file({"maps.2x2": torch.ones(1, 2, 2)}, tmp_path / "raw.safetensors")
    assert view_of_part(tmp_path / "raw.safetensors", 0) is None
    assert not has_views(tmp_path / "raw.safetensors")


def test_a_damaged_picture_is_named(tmp_path: Path):
    (view,) = kept_maps(maps_of(waves(40, 40)[:1]), "view", given=False)[1]
    large, bitmap = io.BytesIO(), io.BytesIO()
    Image.new("L", (SIDE + 1, 2)).save(large, "WEBP")
    Image.new("L", (2, 2)).save(bitmap, "BMP")
    file = tmp_path / "part.safetensors"
    for damaged, reason in (
        (view[:40], ""),
        (b"nothing", "no WebP"),
        (bitmap.getvalue(), "no WebP"),
        (large.getvalue(), "113"),
    ):
        save_file(pack_views({"a": damaged}, ["a"]), file)
        with pytest.raises(CamdbenchError) as caught:
            view_of_part(file, 0)
        assert str(caught.value).startswith(f"{file}: damaged (")
        assert reason in str(caught.value)
        assert "\n" not in str(caught.value)
    tensors = load_file(file)
    del tensors["view.offset"]
    save_file(tensors, file)
    with pytest.raises(CamdbenchError, match="damaged"):
        view_of_part(file, 0)
