"""Images, masks and boxes mean the same in every container."""

from __future__ import annotations

import numpy as np
import pandas as pd
import pytest
import torch
from PIL import Image

from camdbench.core.errors import UsageError
from camdbench.datasets.containers import to_planes, to_tensor
from camdbench.datasets.in_memory import make_batch

BYTES = np.random.default_rng(0).integers(0, 256, (2, 4, 5, 3), dtype=np.uint8)
FLOATS = torch.from_numpy(BYTES.transpose(0, 3, 1, 2) / np.float32(255))
MASKS = np.arange(40).reshape(2, 4, 5) % 3 == 0


@pytest.mark.parametrize(
    "images",
    [
        BYTES,
        BYTES.transpose(0, 3, 1, 2),
        torch.from_numpy(BYTES),
        list(BYTES),
        [Image.fromarray(own) for own in BYTES],
        pd.Series([Image.fromarray(own) for own in BYTES]),
        pd.Series(list(FLOATS.numpy()), index=[7, 3]),
        list(FLOATS),
        tuple(FLOATS.numpy()),
        FLOATS.permute(0, 2, 3, 1),
        FLOATS.tolist(),
        np.ascontiguousarray(FLOATS.numpy()[:, ::-1])[:, ::-1],
        FLOATS.numpy().astype(">f4"),
        FLOATS.numpy().astype(object),
    ],
    ids=lambda images: type(images).__name__,
)
def test_images_in_any_container_are_the_same_batch(images: object) -> None:
    torch.testing.assert_close(make_batch(images).images, FLOATS, rtol=0, atol=0)


def test_channels_come_first_where_both_readings_are_possible() -> None:
    images = torch.rand(1, 3, 5, 3)
    assert torch.equal(make_batch(images).images, images)


@pytest.mark.parametrize(
    "masks",
    [
        MASKS,
        MASKS[:, None],
        MASKS[..., None],
        list(MASKS),
        [torch.from_numpy(own)[None] for own in MASKS],
        MASKS.astype(np.float32) / 2,
        np.ascontiguousarray(MASKS[..., ::-1])[..., ::-1],
        [Image.fromarray(own) for own in MASKS],
        pd.Series(list(MASKS)),
    ],
    ids=lambda masks: type(masks).__name__,
)
def test_masks_in_any_container_are_the_same_batch(masks: object) -> None:
    assert make_batch(FLOATS, masks=masks).masks.tolist() == MASKS.tolist()
    assert make_batch(FLOATS[0], masks=MASKS[0]).masks.tolist() == MASKS[:1].tolist()


def test_boxes_may_be_lists_arrays_or_missing() -> None:
    boxes = np.array([[[0.0, 1.0, 2.0, 3.0]], [[1.0, 1.0, 4.0, 2.0]]])
    for given in (boxes, boxes.tolist(), list(boxes[:, ::-1]), pd.Series(list(boxes)), torch.from_numpy(boxes)):
        assert [own.tolist() for own in make_batch(FLOATS, boxes=given).boxes] == boxes.tolist()
    assert [own.shape for own in make_batch(FLOATS, boxes=[[], boxes[0]]).boxes] == [(0, 4), (1, 4)]


@pytest.mark.parametrize(
    ("given", "message"),
    [
        ([np.zeros(2), np.zeros(3)], r"maps = list: sizes \(2,\), \(3,\); expected a tensor, an array, or a list of equal sizes"),
        (["a"], "maps = list: holds str"),
        ([], "maps = list"),
        ({"a": 1}, "maps = dict: holds dict"),
        (np.zeros(2, dtype=complex), "maps are torch.complex128"),
        (torch.zeros(2, device="meta"), "maps are torch.float32, torch.strided, on meta"),
    ],
    ids=lambda value: type(value).__name__,
)
def test_what_holds_no_numbers_is_refused_by_name(given: object, message: str) -> None:
    with pytest.raises(UsageError, match=message):
        to_tensor(given, "maps")


def test_a_plane_of_a_single_image_needs_no_axis_of_images() -> None:
    assert to_planes(np.eye(3), 1, "maps").shape == (1, 3, 3)
    with pytest.raises(UsageError, match=r"maps of shape \(3, 3\): 3 images; expected \(3, h, w\)"):
        to_planes(np.eye(3), 3, "maps")
