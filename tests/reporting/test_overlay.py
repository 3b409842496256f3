"""Overlays pixel by pixel; galleries by what stands where on the page."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
from helpers.each import each
from hypothesis import given
from hypothesis import strategies as st
from matplotlib import colormaps
from PIL import Image

from camdbench.core.errors import UsageError
from camdbench.functional.map_overlay import COLOURS, overlay
from camdbench.reporting.overlay import gallery, save_picture
from camdbench.reporting.page import GAP, WIDTH, _fold

RNG = np.random.default_rng(0)
IMAGE, MAP = RNG.random((5, 7, 3)), RNG.random((5, 7))


@pytest.mark.parametrize("colours", ["viridis", "turbo", "jet"])
def test_every_pixel_is_the_blend_of_image_and_colour(colours: str):
    found = overlay(IMAGE, MAP, colours=colours, strength=0.6)
    assert found.dtype == np.uint8
    for y, x in np.ndindex(5, 7):
        opacity, colour = 0.6 * MAP[y, x], colormaps[colours](MAP[y, x])
        for channel in range(3):
            exact = 255 * ((1 - opacity) * IMAGE[y, x, channel] + opacity * colour[channel])
            assert abs(found[y, x, channel] - exact) <= 0.5 + 1e-9


def test_where_the_map_is_zero_the_image_is_untouched():
    shades = np.arange(256).reshape(16, 16, 1).repeat(3, axis=2)
    assert np.array_equal(overlay(shades / 255, np.zeros((16, 16))), shades)
    assert np.array_equal(overlay(shades / 255, np.ones((16, 16)), strength=0), shades)


def test_full_strength_shows_the_colour_alone():
    assert overlay(IMAGE, np.ones((5, 7)), colours="gray", strength=1.0).min() == 255


def test_the_default_colours_rise_in_lightness_for_any_colour_vision():
    assert np.array_equal(overlay(IMAGE, MAP), overlay(IMAGE, MAP, colours=COLOURS))
    luminance = colormaps[COLOURS](np.linspace(0, 1, 64))[:, :3] @ np.array([0.2126, 0.7152, 0.0722])
    assert (np.diff(luminance) > 0).all()


def test_single_precision_gives_the_same_picture_but_for_rounding():
    single = overlay(IMAGE.astype(np.float32), MAP.astype(np.float32))
    assert np.abs(single.astype(int) - overlay(IMAGE, MAP)).max() <= 3  # a map beside the edge of a colour may take the next one


@given(st.integers(1, 4), st.integers(1, 4), st.floats(0, 1), st.floats(0, 1), st.floats(0, 1))
def test_no_blend_leaves_the_range(height: int, width: int, shade: float, value: float, strength: float):
    found = overlay(np.full((height, width, 3), shade), np.full((height, width), value), strength=strength)
    colour = np.array(colormaps["viridis"](value)[:3])
    assert (found >= np.floor(255 * np.minimum(shade, colour)) - 1).all()
    assert (found <= np.ceil(255 * np.maximum(shade, colour)) + 1).all()


@each(
    ("image", "saliency", "options", "message"),
    [
        (IMAGE[..., 0], MAP, {}, r"shape \(5, 7\): expected \(height, width, 3\)"),
        (IMAGE.transpose(2, 0, 1), MAP, {}, r"expected \(height, width, 3\)"),
        (IMAGE, MAP[:4], {}, r"a map of shape \(4, 7\) for an image of \(5, 7\)"),
        (IMAGE * 255, MAP, {}, "the image must have values in"),
        (IMAGE, MAP - 0.5, {}, "the map must have values in"),
        (IMAGE, MAP * np.nan, {}, "the map must have values in"),
        (IMAGE, MAP, {"colours": "turbot"}, "no colour map 'turbot'; did you mean 'turbo'"),
        (IMAGE, MAP, {"strength": 1.5}, "strength = 1.5"),
    ],
)
def test_what_does_not_fit_is_refused(image, saliency, options, message):
    with pytest.raises(UsageError, match=message):
        overlay(image, saliency, **options)


def test_an_overlay_is_saved_at_the_size_of_the_image(tmp_path: Path):
    path = tmp_path / "made" / "cat-gradcam.png"
    save_picture(path, overlay(IMAGE, MAP, strength=0.4))
    with Image.open(path) as picture:
        assert (picture.format, picture.size) == ("PNG", (7, 5))
        assert np.array_equal(np.asarray(picture), overlay(IMAGE, MAP, strength=0.4))
    assert [file.name for file in path.parent.iterdir()] == ["cat-gradcam.png"]


# ------------------------------------------------------------------------------------------------ galleries

RED, BLUE = np.zeros((8, 8, 3)), np.zeros((8, 8, 3))
RED[..., 0], BLUE[..., 2] = 1, 1
OFF, ON = np.zeros((8, 8)), np.ones((8, 8))


def pixels_of(path: Path) -> np.ndarray:
    with Image.open(path) as picture:
        return np.asarray(picture.convert("RGB")).astype(int)


def test_each_picture_stands_in_its_row_and_column(tmp_path: Path):
    maps = {"left": [OFF, ON], "right": [ON, OFF]}
    gallery([RED, BLUE], maps, ["red", "blue"], tmp_path / "page.png", colours="gray", strength=1.0, dpi=100)
    page = pixels_of(tmp_path / "page.png")
    assert page.shape[1] == pytest.approx(100 * (3 * (WIDTH + GAP) + GAP), abs=1)
    centres = [round(100 * (GAP + column * (WIDTH + GAP) + WIDTH / 2)) for column in range(3)]
    white, red, blue = [255, 255, 255], [255, 0, 0], [0, 0, 255]
    columns = [page[:, centre].tolist() for centre in centres]
    reds, blues = [[index for index, pixel in enumerate(columns[0]) if pixel == colour] for colour in (red, blue)]
    assert len(reds) == pytest.approx(100 * WIDTH, abs=2)
    assert max(reds) < min(blues)
    middle = [reds[len(reds) // 2], blues[len(blues) // 2]]
    assert [columns[1][row] for row in middle] == [red, white]
    assert [columns[2][row] for row in middle] == [white, blue]


def test_more_explainers_than_columns_go_into_bands_below_that_show_the_images_again(tmp_path: Path):
    maps = {"a": [OFF, ON], "b": [ON, OFF], "c": [ON, ON]}
    gallery([RED, BLUE], maps, ["red", "blue"], tmp_path / "page.png", colours="gray", strength=1.0, columns=2, dpi=100)
    page = pixels_of(tmp_path / "page.png")
    assert page.shape[1] == pytest.approx(100 * (3 * (WIDTH + GAP) + GAP), abs=1)
    white, red, blue = [255, 255, 255], [255, 0, 0], [0, 0, 255]
    image, first, second = (page[:, round(100 * (GAP + column * (WIDTH + GAP) + WIDTH / 2))].tolist() for column in range(3))
    side = round(100 * WIDTH)
    starts = [row for row in range(1, len(image)) if image[row] in (red, blue) and image[row - 1] != image[row]]
    assert [image[row] for row in starts] == [red, blue, red, blue]
    middles = [row + side // 2 for row in starts]
    assert [first[row] for row in middles] == [red, white, white, white]
    assert [second[row] for row in middles] == [white, blue, white, white]


def test_images_keep_their_shape(tmp_path: Path):
    wide = np.zeros((4, 8, 3))
    gallery([wide, RED], {"a": [np.zeros((4, 8)), OFF]}, ["", ""], tmp_path / "page.png", dpi=100)
    page = pixels_of(tmp_path / "page.png")
    column = page[:, round(100 * (GAP + WIDTH / 4))].tolist()
    assert column.count([0, 0, 0]) == pytest.approx(100 * WIDTH / 2, abs=2)
    assert column.count([255, 0, 0]) == pytest.approx(100 * WIDTH, abs=2)


def test_a_tall_image_is_fitted_into_twice_its_width(tmp_path: Path):
    tall = np.zeros((64, 2, 3))
    gallery([tall, RED], {"a": [np.zeros((64, 2)), OFF]}, ["", ""], tmp_path / "page.png", dpi=100)
    page = pixels_of(tmp_path / "page.png")
    middle = page[:, round(100 * (GAP + WIDTH / 2))].tolist()
    assert middle.count([0, 0, 0]) == pytest.approx(100 * 2 * WIDTH, abs=2)
    assert page[:, round(100 * (GAP + WIDTH / 4))].tolist().count([0, 0, 0]) == 0


SPEC = 'opticam(iterations=50, objective="diff")'
LONG = ["a_very_long_name_without_any_blank_in_it_whatsoever", SPEC, "W" * 60, "costs $5 or $6", "a\nb"]


def test_texts_neither_leave_the_page_nor_meet(monkeypatch: pytest.MonkeyPatch, tmp_path: Path):
    """Every text's box is compared with the page, the pictures and all other texts."""
    from matplotlib.figure import Figure

    figures = list[Figure]()
    save = Figure.savefig
    monkeypatch.setattr(Figure, "savefig", lambda figure, *args, **options: (figures.append(figure), save(figure, *args, **options)))
    maps = {name: [OFF] * 5 for name in LONG[:3]}
    gallery([RED] * 5, maps, LONG, tmp_path / "page.png", captions={LONG[0]: LONG, LONG[2]: [" ".join(LONG)] * 5}, dpi=100)
    (figure,) = figures
    renderer = figure.canvas.get_renderer()
    boxes = [text.get_window_extent(renderer) for text in figure.texts if text.get_text()]
    assert len(boxes) == 4 + 5 + 10  # headings, titles, captions
    for box in boxes:
        assert 0 <= box.x0 <= box.x1 <= figure.bbox.width
        assert 0 <= box.y0 <= box.y1 <= figure.bbox.height
    boxes += [axes.get_window_extent(renderer) for axes in figure.axes]
    assert len(figure.axes) == 20
    for index, box in enumerate(boxes):
        assert not any(box.overlaps(other) for other in boxes[:index])


def test_a_heading_is_written_whole(monkeypatch: pytest.MonkeyPatch, tmp_path: Path):
    from matplotlib.figure import Figure

    written = list[str]()
    write = Figure.text
    monkeypatch.setattr(Figure, "text", lambda figure, x, y, text, **options: (written.append(text), write(figure, x, y, text, **options)))
    gallery([RED], {SPEC: [OFF]}, ["tabby\n91.2 %"], tmp_path / "page.png", captions={SPEC: ["ad 12.3  ag 4.5"]})
    assert [" ".join(text.split()) for text in written] == ["image", SPEC, "tabby 91.2 %", "ad 12.3 ag 4.5"]
    assert written[2] == "tabby\n91.2 %"


@given(st.text(st.sampled_from("ab (,_/-=W"), max_size=40), st.integers(1, 12))
def test_folding_loses_nothing_but_blanks(text: str, width: int):
    lines = _fold(text, lambda line: len(line) <= width)
    assert "".join(lines).replace(" ", "") == text.replace(" ", "")
    assert all(len(line) <= width for line in lines)


def test_a_gallery_is_written_in_the_form_of_its_suffix(tmp_path: Path):
    stack = np.stack([RED, BLUE])
    for name, head in (("page.pdf", b"%PDF"), ("page.svg", b"<?xml"), ("page.PNG", b"\x89PNG")):
        gallery(stack, {"a": np.stack([OFF, ON])}, ["x", "y"], tmp_path / "made" / name)
        assert (tmp_path / "made" / name).read_bytes().startswith(head)
    assert len(list((tmp_path / "made").iterdir())) == 3


def test_the_same_gallery_is_the_same_file(tmp_path: Path):
    for name in ("a.png", "b.png"):
        gallery([RED], {"a": [ON]}, ["x"], tmp_path / name)
    assert (tmp_path / "a.png").read_bytes() == (tmp_path / "b.png").read_bytes()


@each(
    ("change", "message"),
    [
        ({"images": []}, "needs at least one image and one explainer"),
        ({"maps": {}}, "needs at least one image and one explainer"),
        ({"titles": ["x"]}, "1 titles for 2 images"),
        ({"maps": {"a": [OFF]}}, "1 maps of a for 2 images"),
        ({"captions": {"a": ["x"]}}, "1 captions of a for 2 images"),
        ({"captions": {"b": ["x", "y"]}}, "captions: no maps of b"),
        ({"path": "page.txt"}, r"page\.txt: unknown suffix"),
        ({"maps": {"a": [OFF, ON + 1]}}, "the map must have values in"),
        ({"columns": 0}, "columns=0: a gallery needs room for one explainer"),
        ({"dpi": 20_000}, "gallery: too long with 2 images"),
        ({"images": [RED] * 400, "maps": {"a": [OFF] * 400}, "titles": ["x"] * 400}, "gallery: too long with 400 images"),
    ],
)
def test_what_fits_no_page_is_refused(tmp_path: Path, change, message):
    given_ = {"images": [RED, BLUE], "maps": {"a": [OFF, ON]}, "titles": ["x", "y"], "path": "page.png"} | change
    path = tmp_path / given_.pop("path")
    with pytest.raises(UsageError, match=message):
        gallery(**given_, path=path)
    assert list(tmp_path.iterdir()) == []


def test_pictures_need_neither_torch_nor_pyplot(tmp_path: Path):
    program = f"""
import sys
import numpy as np
from camdbench.reporting.overlay import gallery
assert "matplotlib" not in sys.modules
gallery([np.zeros((4, 4, 3))], {{"a": [np.zeros((4, 4))]}}, ["x"], {str(tmp_path / "page.png")!r})
assert not {{"torch", "matplotlib.pyplot"}} & set(sys.modules)
"""
    subprocess.run([sys.executable, "-c", program], check=True, cwd=Path(__file__).parents[2], timeout=60)
