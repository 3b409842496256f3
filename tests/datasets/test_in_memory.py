"""Images in memory are checked once at the door, and never written to."""

from __future__ import annotations

import pytest
import torch

from camdbench.core.errors import UsageError
from camdbench.datasets.in_memory import make_batch


def test_images_are_numbered_and_labels_unknown() -> None:
    batch = make_batch(torch.rand(2, 3, 4, 5))
    assert batch.ids == ("0", "1")
    assert batch.labels.tolist() == [-1, -1]
    assert batch.boxes is None


def test_one_image_is_a_batch_of_one() -> None:
    assert make_batch(torch.rand(3, 4, 5)).images.shape == (1, 3, 4, 5)


@pytest.mark.parametrize("dtype", [torch.float16, torch.bfloat16, torch.float64])
def test_any_float_becomes_single_precision(dtype: torch.dtype) -> None:
    assert make_batch(torch.rand(1, 3, 4, 5).to(dtype)).images.dtype == torch.float32


def test_the_batch_is_a_copy_cut_from_any_graph() -> None:
    images = torch.rand(2, 3, 4, 5, requires_grad=True)
    batch = make_batch(images)
    batch.images.zero_()
    assert images.sum() > 0
    assert not batch.images.requires_grad


def test_images_made_in_inference_mode_can_be_differentiated_through_later() -> None:
    with torch.inference_mode():
        images = torch.rand(1, 3, 4, 5)
        batch = make_batch(images, labels=torch.tensor([1]))
    assert not batch.images.is_inference()
    assert not batch.labels.is_inference()


@pytest.mark.parametrize("labels", [[1, 2], torch.tensor([1, 2]), torch.tensor([1, 2], dtype=torch.int32), (1, 2)])
def test_labels_may_be_a_list_or_a_tensor(labels: object) -> None:
    found = make_batch(torch.rand(2, 3, 4, 5), labels=labels).labels
    assert found.tolist() == [1, 2]
    assert found.dtype == torch.int64


@pytest.mark.parametrize(
    ("given", "message"),
    [
        ({"images": torch.rand(4, 5)}, r"shape \(4, 5\); expected \(N, 3, H, W\)"),
        ({"images": torch.rand(2, 1, 4, 5)}, r"shape \(2, 1, 4, 5\)"),
        ({"images": torch.rand(2, 4, 5, 4)}, r"shape \(2, 4, 5, 4\)"),
        ({"images": torch.rand(2, 3, 4, 5, dtype=torch.complex64)}, "images are torch.complex64.* expected a dense tensor of real numbers"),
        ({"images": torch.rand(2, 3, 4, 5).to_sparse()}, "images are torch.float32, torch.sparse_coo"),
        ({"images": [torch.rand(3, 4, 5), torch.rand(3, 4, 6)]}, r"images = list: sizes \(3, 4, 5\), \(3, 4, 6\); expected a tensor"),
        ({"images": "cat.png"}, "images = str: "),
        ({"images": None}, "images = NoneType: "),
        ({"masks": torch.zeros(2, 3, 4, 5)}, r"masks of shape \(2, 3, 4, 5\): 2 images; expected \(2, h, w\)"),
        ({"images": torch.rand(0, 3, 4, 5)}, r"shape \(0, 3, 4, 5\)"),
        ({"images": torch.zeros(2, 3, 4, 5, dtype=torch.int64)}, r"images are torch.int64; expected floats in .* or bytes \(uint8\)"),
        ({"images": torch.full((2, 3, 4, 5), 255.0)}, "values from 255 to 255; expected"),
        ({"images": torch.full((2, 3, 4, 5), -0.1)}, "values from -0.1 to -0.1; expected .* before any mean/std normalisation"),
        ({"images": torch.full((2, 3, 4, 5), torch.nan)}, "values from nan to nan"),
        ({"labels": [1]}, "1 labels for 2 images"),
        ({"labels": [[1], [2]]}, "one class index per image"),
        ({"boxes": [torch.zeros(1, 4)]}, "1 sets of boxes for 2 images"),
    ],
    ids=lambda value: value if isinstance(value, str) else "",
)
def test_anything_else_is_refused_with_the_value(given: dict[str, object], message: str) -> None:
    with pytest.raises(UsageError, match=message):
        make_batch(**({"images": torch.rand(2, 3, 4, 5)} | given))


@pytest.mark.parametrize("boxes", [torch.zeros(4), torch.zeros(2, 5), torch.zeros(0)])
def test_boxes_of_another_shape_are_refused(boxes: torch.Tensor) -> None:
    with pytest.raises(UsageError, match=r"boxes .*\(n, 4\)"):
        make_batch(torch.rand(1, 3, 4, 5), boxes=[boxes])


@pytest.mark.parametrize("labels", [[1.5, 2.0], torch.tensor([1.0, 2.0])])
def test_labels_that_are_no_integers_are_refused(labels: object) -> None:
    with pytest.raises(UsageError, match="labels"):
        make_batch(torch.rand(2, 3, 4, 5), labels=labels)
