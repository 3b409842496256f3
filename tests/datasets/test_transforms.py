"""A box drawn into a picture and its coordinates stay together through every protocol, and so does a mask."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
import torch
from helpers.each import each
from hypothesis import given, settings
from hypothesis import strategies as st
from PIL import Image

from camdbench.core.errors import SampleError
from camdbench.datasets.samples import Batch, Sample
from camdbench.datasets.transforms import Annotations, SpatialTransform, box_of

PROTOCOLS = ["resize256_crop224", "resize224_distort", "short448", "keep"]


@st.composite
def drawn(draw: st.DrawFn) -> tuple[Image.Image, list[int]]:
    """A black picture with a white box of at least a third of each side, and the box."""
    width, height = draw(st.integers(24, 120)), draw(st.integers(24, 120))
    wide, high = draw(st.integers(width // 3, width)), draw(st.integers(height // 3, height))
    left, top = draw(st.integers(0, width - wide)), draw(st.integers(0, height - high))
    pixels = np.zeros((height, width, 3), dtype=np.uint8)
    pixels[top : top + high, left : left + wide] = 255
    return Image.fromarray(pixels), [left, top, left + wide, top + high]


def known(picture: Image.Image, box: list[int]) -> Annotations:
    mask = torch.from_numpy(np.asarray(picture)[..., 0] > 0)
    return Annotations(boxes=torch.tensor([box]).float(), mask=mask, class_map=mask.to(torch.uint8) * 3)


class TestTogether:
    @settings(max_examples=60, deadline=None)
    @given(case=drawn(), how=st.sampled_from(PROTOCOLS), size=st.sampled_from([16, 32, 48]))
    def test_box_picture_and_mask_agree(self, case: tuple[Image.Image, list[int]], how: str, size: int) -> None:
        picture, box = case
        image, found, lost = SpatialTransform(how, size).fit(picture, known(picture, box))
        seen = box_of(image[0] >= 0.5)
        assert found.boxes is not None
        assert found.mask is not None
        assert found.class_map is not None
        assert found.mask.shape == found.class_map.shape == image.shape[1:]
        assert torch.equal(found.class_map == 3, found.mask)
        if not len(seen):  # the crop has cut it away, but for a blurred edge
            assert lost == 1 or (found.boxes[:, 2:] - found.boxes[:, :2]).min() < 2
            return
        if lost:  # less than a pixel is left, which the blur may still paint
            assert (seen[:, 2:] - seen[:, :2]).min() == 1
            return
        assert (found.boxes - seen).abs().max() <= 1.01  # rounding of a cell on either side
        assert (box_of(found.mask) - seen).abs().max() <= 1

    @settings(max_examples=40, deadline=None)
    @given(case=drawn(), how=st.sampled_from(PROTOCOLS))
    def test_mirrored_too(self, case: tuple[Image.Image, list[int]], how: str) -> None:
        picture, box = case
        image, found, _ = SpatialTransform(how, 32).fit(picture, known(picture, box))
        batch = Batch.of([Sample("a", image, 0, found.boxes, found.mask, class_masks=(found.class_map == 3)[None])])
        there, back = batch.mirrored(), batch.mirrored().mirrored()
        assert there.boxes is not None
        assert there.masks is not None
        assert there.class_masks is not None
        assert torch.equal(there.class_masks[0, 0], there.masks[0])
        seen = box_of(there.images[0, 0] >= 0.5)
        if len(seen) and len(there.boxes[0]):
            assert (there.boxes[0] - seen).abs().max() <= 1.01
        assert back.boxes is not None
        torch.testing.assert_close(back.boxes, batch.boxes)

    @settings(max_examples=60, deadline=None)
    @given(case=drawn(), size=st.integers(8, 64))
    def test_coordinates_by_hand(self, case: tuple[Image.Image, list[int]], size: int) -> None:
        """The scale of each side, then the crop's offset, as the protocols' names say."""
        picture, box = case
        width, height = picture.size
        exact = torch.tensor(box).float()
        distorted = SpatialTransform("resize224_distort", size).fit(picture, known(picture, box)).annotations.boxes
        expected = exact * torch.tensor([size / width, size / height, size / width, size / height])
        torch.testing.assert_close(distorted, expected[None], rtol=1e-5, atol=1e-4)
        short = round(size * 256 / 224)
        wide, high = (short, int(short * height / width)) if width <= height else (int(short * width / height), short)
        scaled = exact * torch.tensor([wide / width, high / height, wide / width, high / height])
        left, top = round((wide - size) / 2), round((high - size) / 2)
        expected = (scaled - torch.tensor([left, top, left, top])).clamp(0, size)
        found = SpatialTransform("resize256_crop224", size).fit(picture, known(picture, box))
        whole = bool((expected[2:] - expected[:2] >= 1.001).all())
        if whole:
            torch.testing.assert_close(found.annotations.boxes, expected[None], rtol=1e-5, atol=1e-3)
        if bool((expected[2:] - expected[:2] < 0.999).any()):
            assert found.boxes_dropped == 1


class TestLost:
    def test_a_box_that_the_crop_cuts_away_is_dropped_and_counted(self) -> None:
        picture = Image.new("RGB", (400, 100))
        boxes = torch.tensor([[0.0, 0, 50, 100], [180, 10, 220, 90], [360, 0, 400, 100]])
        _, found, lost = SpatialTransform("resize256_crop224", 64).fit(picture, Annotations(boxes=boxes))
        assert lost == 2
        assert found.boxes is not None
        assert found.boxes.shape == (1, 4)

    @pytest.mark.parametrize("how", ["resize224_distort", "short448", "keep"])
    def test_nothing_is_lost_where_nothing_is_cropped(self, how: str) -> None:
        boxes = torch.tensor([[0.0, 0, 50, 100], [360, 0, 400, 100]])
        assert SpatialTransform(how, 64).fit(Image.new("RGB", (400, 100)), Annotations(boxes=boxes)).boxes_dropped == 0

    def test_a_box_that_reaches_out_of_the_picture_is_cut_off_at_its_edge(self) -> None:
        boxes = torch.tensor([[-5.0, -5, 20, 300]])
        found = SpatialTransform("keep").fit(Image.new("RGB", (40, 30)), Annotations(boxes=boxes)).annotations.boxes
        assert found.tolist() == [[0, 0, 20, 30]]

    def test_no_boxes_stay_no_boxes(self) -> None:
        found = SpatialTransform("resize256_crop224", 32).fit(Image.new("RGB", (40, 30)), Annotations(boxes=torch.zeros(0, 4)))
        assert found.annotations.boxes.shape == (0, 4)
        assert found.boxes_dropped == 0
        assert SpatialTransform().fit(Image.new("RGB", (40, 30)), Annotations()).annotations.boxes is None


class TestSizes:
    @pytest.mark.parametrize(
        ("how", "expected"),
        [("resize256_crop224", (64, 64)), ("resize224_distort", (64, 64)), ("short448", (128, 170)), ("keep", (30, 40))],
    )
    def test_of_each_protocol(self, how: str, expected: tuple[int, int]) -> None:
        assert SpatialTransform(how, 64).fit(Image.new("RGB", (40, 30)), Annotations()).image.shape == (3, *expected)

    def test_keep_changes_no_byte(self) -> None:
        pixels = np.random.default_rng(0).integers(0, 256, (30, 41, 3), dtype=np.uint8)
        image = SpatialTransform("keep").fit(Image.fromarray(pixels), Annotations()).image
        assert np.array_equal((image * 255).round().byte().permute(1, 2, 0).numpy(), pixels)

    @each("size", [(333, 500), (61, 40), (50, 50), (20, 90)])
    @each(
        ("how", "sides", "crop", "kind"),
        [
            ("short448", [112], None, "bilinear"),
            ("fit(short=37, crop=50, resample=bicubic)", [37], 50, "bicubic"),
            ("fit(size=64, crop=32)", [64, 64], 32, "bilinear"),
            ("fit(size=50)", [50, 50], None, "bilinear"),
        ],
    )
    def test_pixels_masks_and_boxes_are_torchvisions(
        self, how: str, sides: list[int], crop: int | None, kind: str, size: tuple[int, int]
    ) -> None:
        from torchvision.transforms import InterpolationMode
        from torchvision.transforms.v2 import functional as theirs
        from torchvision.tv_tensors import BoundingBoxes

        def through(given: Any, kind: str) -> Any:
            given = theirs.resize(given, sides, interpolation=InterpolationMode(kind))
            corner = [int((side - (crop or 0)) / 2) for side in theirs.get_size(given)]
            return given if crop is None else theirs.crop(given, *corner, crop, crop)

        draw = np.random.default_rng(0)
        picture = Image.fromarray(draw.integers(0, 256, (*size, 3), dtype=np.uint8))
        classes = torch.from_numpy(draw.integers(0, 9, size, dtype=np.uint8))
        boxes = torch.tensor([[3.2, -2.0, 30.1, 18.9], [0.0, 0.0, size[1], size[0] + 4]])
        given = theirs.clamp_bounding_boxes(BoundingBoxes(boxes, format="XYXY", canvas_size=size))  # pyright: ignore[reportCallIssue]
        found = SpatialTransform(how, 56).fit(picture, Annotations(boxes=boxes, class_map=classes))
        moved = theirs.clamp_bounding_boxes(through(given, "nearest")).as_subclass(torch.Tensor)
        assert torch.equal(found.image, theirs.pil_to_tensor(through(picture, kind)).float() / 255)
        assert torch.equal(found.annotations.class_map, through(classes[None], "nearest-exact")[0])
        assert torch.equal(found.annotations.boxes, moved[((moved[:, 2:] - moved[:, :2]) >= 1).all(1)])

    def test_a_mask_of_another_size_is_an_error_of_the_sample(self) -> None:
        with pytest.raises(SampleError, match="the mask has 30 x 40 pixels, the image 40 x 30"):
            SpatialTransform("keep").fit(Image.new("RGB", (40, 30)), Annotations(mask=torch.zeros(40, 30, dtype=torch.bool)))

    @pytest.mark.parametrize("how", ["resize256_crop224", "short448"])
    def test_a_strip_that_would_become_gigabytes_is_an_error_of_the_sample(self, how: str) -> None:
        with pytest.raises(SampleError, match="1 x 9000 pixels is too narrow"):
            SpatialTransform(how, 224).fit(Image.new("RGB", (1, 9000)), Annotations())


def test_masks_are_sampled_at_the_middle_of_the_new_pixels() -> None:
    """Four columns to two: the older nearest rule takes columns 0 and 2, the middle of a new pixel is 1 and 3."""
    mask = torch.tensor([[False, True, False, True]] * 4)
    found = SpatialTransform("resize224_distort", 2).fit(Image.new("RGB", (4, 4)), Annotations(mask=mask)).annotations.mask
    assert found.tolist() == [[True, True], [True, True]]


def test_the_tight_box() -> None:
    mask = torch.zeros(5, 7, dtype=torch.bool)
    assert box_of(mask).shape == (0, 4)
    mask[2, 3] = True
    assert box_of(mask).tolist() == [[3, 2, 4, 3]]
