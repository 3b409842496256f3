"""Pictures of every kind become upright RGB in [0, 1]; the named protocols do what their names say."""

from __future__ import annotations

from pathlib import Path
from tempfile import TemporaryDirectory

import numpy as np
import pytest
import torch
from helpers.each import each
from hypothesis import given, settings
from hypothesis import strategies as st
from PIL import Image

from camdbench.core.errors import SampleError
from camdbench.datasets.preprocess import prepare, read_picture

HALVES = np.zeros((20, 30, 3), dtype=np.uint8)
HALVES[:, :15] = (255, 0, 0)  # red on the left
HALVES[:, 15:] = (0, 0, 255)  # blue on the right


def left_and_right(picture: Image.Image) -> tuple[tuple[int, ...], tuple[int, ...]]:
    """The colours in the middle of both halves."""
    return picture.getpixel((5, picture.height // 2)), picture.getpixel((picture.width - 6, picture.height // 2))


class TestReading:
    def test_rgb(self, tmp_path: Path) -> None:
        Image.fromarray(HALVES).save(tmp_path / "a.png")
        assert left_and_right(read_picture(tmp_path / "a.png")) == ((255, 0, 0), (0, 0, 255))

    @each("mode", ["L", "LA", "P", "RGBA", "CMYK", "1", "YCbCr"])
    def test_other_modes_become_rgb(self, tmp_path: Path, mode: str) -> None:
        suffix = {"CMYK": "jpg", "YCbCr": "jpg"}.get(mode, "png")
        Image.fromarray(HALVES).convert(mode).save(tmp_path / f"a.{suffix}")
        found = read_picture(tmp_path / f"a.{suffix}")
        assert found.mode == "RGB"
        assert found.size == (30, 20)
        left, right = left_and_right(found)
        assert left != right
        if mode not in ("L", "LA", "1"):
            assert left[0] > 200 > right[0]
            assert right[2] > 200 > left[2]

    def test_sixteen_bit_greyscale_keeps_its_greys(self, tmp_path: Path) -> None:
        ramp = np.linspace(0, 65535, 256, dtype=np.uint16)[None].repeat(8, 0)
        Image.fromarray(ramp).save(tmp_path / "a.png")
        found = np.asarray(read_picture(tmp_path / "a.png"))
        assert found.shape == (8, 256, 3)
        assert np.abs(found[0, :, 0].astype(int) - np.arange(256)).max() <= 1

    def test_pixels_without_a_known_range_are_refused(self, tmp_path: Path) -> None:
        Image.fromarray(np.ones((8, 8), dtype=np.float32)).save(tmp_path / "a.tiff")
        with pytest.raises(SampleError, match=r"a\.tiff: cannot be decoded \(pixels of mode F have no known range\)"):
            read_picture(tmp_path / "a.tiff")

    def test_exif_rotation_is_undone(self, tmp_path: Path) -> None:
        exif = Image.Exif()
        exif[0x0112] = 6  # to be turned a quarter to the right
        Image.fromarray(HALVES).save(tmp_path / "a.jpg", exif=exif, quality=100)
        found = read_picture(tmp_path / "a.jpg")
        assert found.size == (20, 30)
        assert found.getpixel((10, 3))[0] > 200  # what was left is now on top
        assert found.getpixel((10, 26))[2] > 200

    def test_the_raster_as_it_is_stored_can_be_asked_for(self, tmp_path: Path) -> None:
        exif = Image.Exif()
        exif[0x0112] = 6
        Image.fromarray(HALVES).save(tmp_path / "a.jpg", exif=exif, quality=100)
        found = read_picture(tmp_path / "a.jpg", upright=False)
        assert found.size == (30, 20)
        assert left_and_right(found)[0][0] > 200

    def test_cmyk_has_the_colours_of_rgb(self, tmp_path: Path) -> None:
        Image.fromarray(HALVES).convert("CMYK").save(tmp_path / "a.jpg", quality=100)
        assert np.abs(np.asarray(read_picture(tmp_path / "a.jpg")).astype(int) - HALVES)[:, [5, 25]].max() <= 3

    @pytest.mark.parametrize("suffix", ["webp", "png"])
    def test_so_do_animated_webp_and_png(self, tmp_path: Path, suffix: str) -> None:
        frames = [Image.fromarray(HALVES), Image.fromarray(HALVES[:, ::-1].copy())]
        frames[0].save(tmp_path / f"a.{suffix}", save_all=True, append_images=frames[1:], lossless=True)
        assert left_and_right(read_picture(tmp_path / f"a.{suffix}")) == ((255, 0, 0), (0, 0, 255))

    def test_odd_metadata_is_no_warning(self, tmp_path: Path) -> None:
        """A palette whose colours have an alpha each: Pillow remarks on it when it converts."""
        picture = Image.fromarray(HALVES).convert("P")
        picture.save(tmp_path / "a.png", transparency=bytes([0, 128, 255]))
        assert read_picture(tmp_path / "a.png").mode == "RGB"

    @settings(max_examples=60, deadline=None)
    @given(place=st.integers(0, 2000), value=st.integers(0, 255), suffix=st.sampled_from(["jpg", "png", "tiff", "gif", "webp", "bmp"]))
    def test_one_wrong_byte_gives_a_picture_or_a_reason(self, place: int, value: int, suffix: str) -> None:
        with TemporaryDirectory() as folder:
            file = Path(folder) / f"a.{suffix}"
            Image.fromarray(np.random.default_rng(0).integers(0, 256, (16, 16, 3), dtype=np.uint8)).save(file)
            content = bytearray(file.read_bytes())
            content[place % len(content)] = value
            file.write_bytes(content)
            try:
                found = read_picture(file).mode
            except SampleError as error:
                found = "RGB" if str(error).startswith(f"a.{suffix}: ") else str(error)
            assert found == "RGB"

    def test_an_animation_gives_its_first_frame(self, tmp_path: Path) -> None:
        frames = [Image.fromarray(HALVES), Image.fromarray(HALVES[:, ::-1].copy())]
        frames[0].save(tmp_path / "a.gif", save_all=True, append_images=frames[1:])
        left, right = left_and_right(read_picture(tmp_path / "a.gif"))
        assert left[0] > 200
        assert right[2] > 200

    @each("suffix", ["jpg", "png", "webp", "bmp", "tiff", "gif", "ppm"])
    def test_a_truncated_file_is_refused_by_name(self, tmp_path: Path, suffix: str) -> None:
        file = tmp_path / f"a.{suffix}"
        Image.fromarray(np.random.default_rng(0).integers(0, 256, (64, 64, 3), dtype=np.uint8)).save(file)
        file.write_bytes(file.read_bytes()[: file.stat().st_size // 2])
        with pytest.raises(SampleError, match=rf"a\.{suffix}: cannot be decoded"):
            read_picture(file)

    @pytest.mark.parametrize(
        "content", [b"", b"<html>404</html>", b"\xff\xd8\xff", b"\x89PNG\r\n\x1a\n"], ids=["empty", "html", "jpeg magic", "png magic"]
    )
    def test_what_is_no_picture_is_refused_by_name(self, tmp_path: Path, content: bytes) -> None:
        (tmp_path / "a.jpg").write_bytes(content)
        with pytest.raises(SampleError, match=r"a\.jpg: cannot be decoded"):
            read_picture(tmp_path / "a.jpg")

    @pytest.mark.parametrize("factor", [1.5, 3], ids=["warned of by Pillow", "refused by Pillow"])
    def test_a_decompression_bomb_is_refused(self, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, factor: float) -> None:
        Image.fromarray(HALVES).save(tmp_path / "a.png")
        monkeypatch.setattr(Image, "MAX_IMAGE_PIXELS", int(600 / factor))
        with pytest.raises(SampleError, match=r"a\.png: too many pixels \(decompression bomb\)"):
            read_picture(tmp_path / "a.png")


class TestProtocols:
    @each("size", [(640, 480), (480, 640), (224, 224), (225, 1000), (30, 20), (1, 1), (3, 500)])
    @each("how", ["resize256_crop224", "resize224_distort"])
    @each("side", [224, 96])
    def test_the_result_is_square_whatever_the_picture(self, size: tuple[int, int], how: str, side: int) -> None:
        image = prepare(Image.new("RGB", size, (255, 128, 0)), how, side)
        assert image.shape == (3, side, side)
        assert image.dtype == torch.float32
        torch.testing.assert_close(image[:, side // 2, side // 2], torch.tensor([1.0, 128 / 255, 0.0]))
        assert image[0].min() > 0.99, "no border of black"

    @pytest.mark.parametrize("size", [(640, 480), (333, 500), (257, 256), (500, 375)])
    def test_the_crop_is_torchvisions_evaluation_protocol(self, size: tuple[int, int]) -> None:
        from torchvision.transforms import v2

        picture = Image.fromarray(np.random.default_rng(0).integers(0, 256, (size[1], size[0], 3), dtype=np.uint8))
        theirs = v2.Compose([v2.Resize(256), v2.CenterCrop(224), v2.PILToTensor()])(picture)
        assert torch.equal(prepare(picture, "resize256_crop224", 224), theirs.float() / 255)

    def test_distort_keeps_all_of_the_picture(self) -> None:
        image = prepare(Image.fromarray(HALVES).resize((300, 100)), "resize224_distort", 224)
        assert image[0, :, :100].min() > 0.9
        assert image[2, :, 124:].min() > 0.9

    def test_the_tensor_owns_its_memory(self) -> None:
        image = prepare(Image.fromarray(HALVES), "resize224_distort", 16)
        image.zero_()
        assert image.sum() == 0
