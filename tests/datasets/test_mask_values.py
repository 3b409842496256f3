"""Any value but zero is object, in any colour and however the mask comes in; a file that can be read in two ways is refused."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
import torch
from helpers.each import each
from PIL import Image

from camdbench.core.errors import SampleError, UsageError
from camdbench.datasets.class_maps import as_class_map
from camdbench.datasets.folder import folder
from camdbench.datasets.in_memory import make_batch
from camdbench.datasets.mask_generation import make_masks
from camdbench.datasets.mask_values import read_mask, read_values
from camdbench.datasets.samples import Batch, Sample, object_pixels

OBJECT = np.zeros((6, 8), dtype=bool)
OBJECT[1:4, 2:7] = True


def painted(colour: tuple[int, ...], ground: tuple[int, ...] = (0, 0, 0)) -> np.ndarray:
    """The object in a colour (6, 8, C)."""
    return np.where(OBJECT[..., None], np.array(colour), np.array(ground)).astype(np.uint8)


def palette(object_index: int, colours: list[int]) -> Image.Image:
    """The object as an index of a palette, on index 0."""
    found = Image.frombytes("P", (8, 6), np.where(OBJECT, object_index, 0).astype(np.uint8).tobytes())
    found.putpalette(colours)
    return found


GREY = np.where(OBJECT, 1, 0)
MASKS = {
    "green": Image.fromarray(painted((0, 255, 0))),
    "blue, faint": Image.fromarray(painted((0, 0, 1))),
    "grey": Image.fromarray(GREY.astype(np.uint8)),
    "two values": Image.fromarray(OBJECT),
    "16 bits": Image.fromarray((256 * GREY).astype(np.uint16)),
    "32 bits, negative": Image.fromarray((-3 * GREY).astype(np.int32)),
    "float, negative": Image.fromarray((-0.25 * GREY).astype(np.float32)),
    "palette": palette(2, [0, 0, 0, 255, 0, 0, 0, 0, 9]),
    "opaque": Image.fromarray(painted((0, 9, 0, 255), (0, 0, 0, 255)), "RGBA"),
    "on a transparent ground": Image.fromarray(painted((0, 0, 9, 255), (255, 255, 255, 0)), "RGBA"),
    "grey with transparency": Image.fromarray(painted((9, 128), (0, 0)), "LA"),
    "inks": Image.fromarray(painted((0, 255, 0))).convert("CMYK"),
}


@each("name", MASKS)
def test_every_door_of_files_finds_the_object(tmp_path: Path, name: str) -> None:
    file = tmp_path / "masks" / "a" / "0.tif"
    file.parent.mkdir(parents=True)
    MASKS[name].save(file)
    assert np.array_equal(read_mask(file), OBJECT)
    (tmp_path / "images" / "a").mkdir(parents=True)
    Image.new("RGB", (8, 6)).save(tmp_path / "images" / "a" / "0.png")
    own = folder(tmp_path, preprocess="keep")[0]
    assert np.array_equal(own.mask, OBJECT)
    assert own.boxes.tolist() == [[2, 1, 7, 4]]
    if MASKS[name].mode in ("I;16", "I", "F", "CMYK"):
        return  # no PNG, or another mode there
    MASKS[name].save(file.with_suffix(".png"))
    file.unlink()
    (tmp_path / "masks").rename(tmp_path / "other")
    assert np.array_equal(folder(tmp_path, preprocess="keep", masks=str(tmp_path / "other"))[0].mask, OBJECT)


@pytest.mark.parametrize(
    ("picture", "message"),
    [
        (palette(1, [255, 255, 255, 0, 0, 0]), "another index than 0 for black"),
        (Image.fromarray(painted((0, 0, 0, 255), (0, 0, 0, 0)), "RGBA"), "black pixels beside transparent ones"),
        (Image.fromarray(painted((9, 9, 9, 0), (0, 0, 0, 0)), "RGBA"), "transparent everywhere"),
        (Image.fromarray(np.where(OBJECT, np.nan, 0).astype(np.float32)), "not finite"),
    ],
)
def test_a_file_with_two_readings_is_refused(tmp_path: Path, picture: Image.Image, message: str) -> None:
    picture.save(tmp_path / "a.tif")
    with pytest.raises(SampleError, match=rf"a\.tif: cannot be decoded \(.*{message}"):
        read_mask(tmp_path / "a.tif")


def test_colours_of_16_bits_are_refused_as_a_mask(tmp_path: Path) -> None:
    """Pillow keeps the high byte, in which values below 256 are zero."""
    import cv2

    cv2.imwrite(str(tmp_path / "a.png"), np.where(OBJECT[..., None], 9, 0).astype(np.uint16).repeat(3, 2))
    with pytest.raises(SampleError, match="16 bits per colour"):
        read_mask(tmp_path / "a.png")


@each("dtype", [torch.bool, torch.uint8, torch.int8, torch.int64, torch.float16, torch.float64])
def test_arrays_and_samples(dtype: torch.dtype) -> None:
    values = torch.from_numpy(OBJECT) if dtype == torch.bool else torch.from_numpy(OBJECT).to(dtype) * (1 if dtype == torch.uint8 else -1)
    assert np.array_equal(make_batch(torch.zeros(1, 3, 6, 8), masks=values[None]).masks[0], OBJECT)
    assert np.array_equal(make_batch(torch.zeros(1, 3, 6, 8), masks=values[None].numpy()).masks[0], OBJECT)
    stacked = Batch.of([Sample("a", torch.zeros(3, 6, 8), 0, mask=values)]).masks
    assert stacked.dtype == torch.bool
    assert np.array_equal(stacked[0], OBJECT)


@pytest.mark.parametrize(
    ("value", "message"),
    [(torch.nan, "expected zero for the background"), (torch.inf, "expected zero"), (1j, "a dense tensor of real")],
)
def test_values_that_are_no_numbers_are_refused(value: complex, message: str) -> None:
    with pytest.raises(UsageError, match=message):
        make_batch(torch.zeros(1, 3, 6, 8), masks=torch.full((1, 6, 8), value))


def test_a_made_mask_is_read_back(tmp_path: Path) -> None:
    (tmp_path / "images" / "a").mkdir(parents=True)
    Image.new("RGB", (8, 6)).save(tmp_path / "images" / "a" / "0.png")
    (tmp_path / "boxes.csv").write_text("image,x0,y0,x1,y1\na/0.png,2,1,7,4\n")
    data = folder(tmp_path, preprocess="keep")
    make_masks(data, tmp_path / "made", lambda picture, boxes: torch.from_numpy(-2.0 * OBJECT))
    assert np.array_equal(folder(tmp_path, preprocess="keep", masks=str(tmp_path / "made"))[0].mask, OBJECT)


def test_a_threshold_may_be_another() -> None:
    assert object_pixels(torch.tensor([126, 128]), above=127).tolist() == [False, True]


def test_numbers_are_not_read_from_colours(tmp_path: Path) -> None:
    for mode in ("RGB", "RGBA", "LA", "L"):
        Image.fromarray((2 * GREY).astype(np.uint8)).convert(mode).save(tmp_path / "a.png")
        assert np.array_equal(read_values(tmp_path / "a.png"), 2 * GREY)
    MASKS["green"].save(tmp_path / "a.png")
    with pytest.raises(SampleError, match=r"colours \(RGB\), where one number per pixel is expected"):
        read_values(tmp_path / "a.png")


@pytest.mark.parametrize("value", [256, -1, 0.5, np.nan])
def test_a_class_map_holds_whole_numbers_up_to_255(value: float) -> None:
    assert as_class_map(np.array([[0.0, 255.0]]), Path("a.mat")).tolist() == [[0, 255]]
    with pytest.raises(SampleError, match=r"a\.mat: the class map has a value other than a whole number from 0 to 255"):
        as_class_map(np.array([[value]]), Path("a.mat"))
    with pytest.raises(SampleError, match="not numbers"):
        as_class_map(np.array([["x"]]), Path("a.mat"))
