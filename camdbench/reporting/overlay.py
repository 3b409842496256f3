"""Overlays of saliency maps as files: single, or as a gallery."""

from __future__ import annotations

import io
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path

from camdbench.core.errors import UsageError
from camdbench.core.signs import encodable
from camdbench.core.written_files import write_whole
from camdbench.functional.map_overlay import COLOURS, Array, check_picture, overlay
from camdbench.reporting.figure_files import save_figure
from camdbench.reporting.page import TALLEST, WIDTH, Page, PageRow, PageSection, folder

Stack = Sequence[Array] | Array  # N arrays, or one with an axis more

_LONGEST = 2**16  # pixels that the Agg canvas can draw along a side


def save_picture(path: str | Path, pixels: Array, description: str = "") -> None:
    """Write pixels (H, W, 3) uint8 as a PNG, atomically, with a description among its metadata."""
    from PIL import Image
    from PIL.PngImagePlugin import PngInfo

    facts = PngInfo()
    if description:
        facts.add_itxt("Description", encodable(description))
    content = io.BytesIO()
    Image.fromarray(pixels).save(content, format="PNG", pnginfo=facts)
    write_whole(Path(path), content.getbuffer())


def gallery(
    images: Stack,
    maps: Mapping[str, Stack],
    titles: Sequence[str],
    path: str | Path,
    *,
    captions: Mapping[str, Sequence[str]] | None = None,
    colours: str = COLOURS,
    strength: float = 0.7,
    columns: int = 9,
    dpi: int = 150,
) -> None:
    """Draw one row per image: the image with its title below it, then one overlay per explainer.

    Long texts are folded into the width of their picture, never cut off. More explainers than fit side by side go into
    further bands below, in which the images stand again.

    Args:
        images: N images (H, W, 3) in [0, 1]; they may differ in size.
        maps: by explainer, N maps (H, W) in [0, 1].
        titles: N texts that stand below the images: class, probability, ….
        path: the file to write: .png, .pdf or .svg; its folder is made.
        captions: by explainer, N texts that stand below its overlays: values of metrics, ….
        colours: as for `overlay`.
        strength: as for `overlay`.
        columns: explainers side by side, at most.
        dpi: pixels per inch; a picture is 1.7 inches wide.

    Raises:
        UsageError: numbers, shapes or ranges do not fit, the suffix is unknown, or the page would be too long.
    """
    file, notes = Path(path), captions or {}
    if columns < 1:
        raise UsageError(f"columns={columns}: a gallery needs room for one explainer at least")
    _check(images, maps, titles, notes, file)
    blend = {
        name: (lambda line, own=own: overlay(images[line], own[line], colours=colours, strength=strength)) for name, own in maps.items()
    }
    draw_sheet(images, blend, titles, file, captions=notes, columns=columns, dpi=dpi)


def draw_sheet(
    images: Stack,
    overlays: Mapping[str, Callable[[int], Array]],
    titles: Sequence[str],
    file: Path,
    *,
    captions: Mapping[str, Sequence[str]],
    columns: int = 9,
    dpi: int = 150,
) -> None:
    """Draw a gallery of finished overlays.

    Args:
        images: as for `gallery`; or uint8.
        overlays: by explainer, a function that returns the overlay of the image of a number.
        titles: as for `gallery`.
        file: the file to write.
        captions: as for `gallery`.
        columns: as for `gallery`.
        dpi: as for `gallery`.

    Raises:
        UsageError: the page would be too long.
    """
    from matplotlib.backends.backend_agg import FigureCanvasAgg
    from matplotlib.figure import Figure

    figure = Figure(figsize=(1, 1), dpi=dpi)
    fold = folder(FigureCanvasAgg(figure), dpi)
    names = list(overlays)
    groups = [names[start : start + columns] for start in range(0, len(names), columns)]
    page = Page(figure, [_band(images, group, titles, captions, fold) for group in groups])
    _check_length(max(page.width, page.height) * dpi, len(images))
    for number, group in enumerate(groups):
        for line, image in enumerate(images):
            page.draw(number, line, [image, *(overlays[name](line) for name in group)])
    save_figure(figure, file, dpi)


def _band(
    images: Stack, names: Sequence[str], titles: Sequence[str], captions: Mapping[str, Sequence[str]], fold: Callable[[str], list[str]]
) -> PageSection:
    """Return one band of a gallery: images, and maps of some explainers."""
    below = [titles, *(captions.get(name, [""] * len(titles)) for name in names)]
    texts = [[fold(text) for text in line] for line in zip(*below, strict=True)]
    rows = [PageRow(min(image.shape[0] / image.shape[1], TALLEST) * WIDTH, line) for image, line in zip(images, texts, strict=True)]
    return PageSection([fold(text) for text in ("image", *names)], rows)


def _check(images: Stack, maps: Mapping[str, Stack], titles: Sequence[str], captions: Mapping[str, Sequence[str]], file: Path) -> None:
    if not len(images) or not maps:
        raise UsageError("gallery: needs at least one image and one explainer")
    if file.suffix.lower() not in (".png", ".pdf", ".svg"):
        raise UsageError(f"{file}: unknown suffix; choose .png, .pdf or .svg")
    if foreign := sorted(set(captions) - set(maps)):
        raise UsageError(f"captions: no maps of {', '.join(foreign)}")
    many = (
        {"titles": titles}
        | {f"maps of {name}": own for name, own in maps.items()}
        | {f"captions of {name}": own for name, own in captions.items()}
    )
    for what, own in many.items():
        if len(own) != len(images):
            raise UsageError(f"{len(own)} {what} for {len(images)} images; give one for each")
    for own in maps.values():
        for image, saliency in zip(images, own, strict=True):
            check_picture(image, saliency)


def _check_length(pixels: float, count: int) -> None:
    if pixels >= _LONGEST:
        raise UsageError(f"gallery: too long with {count} images; use fewer images or a lower dpi")
