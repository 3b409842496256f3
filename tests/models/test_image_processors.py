"""Image processors of transformers: our pictures against theirs, and what is refused."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from PIL import Image

from camdbench.core.errors import UsageError
from camdbench.datasets.preprocess import prepare, read_picture
from camdbench.models.image_processors import read_processor
from camdbench.models.network_facts import per_channel

transformers = pytest.importorskip("transformers")

SIZES = [(61, 47), (48, 75), (33, 33), (90, 52), (41, 40)]  # width, height
CASES: list[tuple[str, dict[str, Any], str]] = [
    ("ViT", {"size": {"height": 40, "width": 40}}, "fit(size=40, resample=bilinear)"),
    ("Pvt", {"size": {"height": 40, "width": 40}}, "fit(size=40, resample=bicubic)"),
    ("Siglip", {"size": {"height": 40, "width": 40}}, "fit(size=40, resample=bicubic)"),
    ("Beit", {"size": {"height": 40, "width": 40}}, "fit(size=40, resample=bicubic)"),
    ("Segformer", {"size": {"height": 40, "width": 40}}, "fit(size=40, resample=bilinear)"),
    ("CLIP", {"size": {"shortest_edge": 44}, "crop_size": 40}, "fit(short=44, crop=40, resample=bicubic)"),
    ("Bit", {"size": {"shortest_edge": 40}, "crop_size": 40}, "fit(short=40, crop=40, resample=bicubic)"),
    ("MobileNetV1", {"size": {"shortest_edge": 45}, "crop_size": 40}, "fit(short=45, crop=40, resample=bilinear)"),
    ("MobileNetV2", {"size": {"shortest_edge": 45}, "crop_size": 40}, "fit(short=45, crop=40, resample=bilinear)"),
    ("Levit", {"size": {"shortest_edge": 40}, "crop_size": 40}, "fit(short=45, crop=40, resample=bicubic)"),
    ("ConvNext", {"size": {"shortest_edge": 40}}, "fit(short=45, crop=40, resample=bicubic)"),
    ("ConvNext", {"size": {"shortest_edge": 384}}, "fit(size=384, resample=bicubic)"),
    ("PoolFormer", {"size": {"shortest_edge": 40}, "crop_size": 40}, "fit(short=44, crop=40, resample=bicubic)"),
    ("DeiT", {"size": {"height": 45, "width": 45}, "crop_size": 40}, "fit(size=45, crop=40, resample=bicubic)"),
    ("PPLCNet", {"resize_short": 45, "crop_size": 40}, "fit(short=45, crop=40, resample=bilinear)"),
    ("EfficientNet", {"size": {"height": 40, "width": 40}}, "fit(size=40, resample=bicubic)"),
    ("EfficientNet", {"size": {"height": 40, "width": 40}, "include_top": False}, "fit(size=40, resample=bicubic)"),
    (
        "EfficientNet",
        {"size": {"height": 40, "width": 40}, "rescale_offset": True, "rescale_factor": 1 / 127.5},
        "fit(size=40, resample=bicubic)",
    ),
    ("MobileViT", {"size": {"shortest_edge": 45}, "crop_size": 40}, "fit(short=45, crop=40, resample=bicubic)"),
    ("MobileViT", {"size": {"shortest_edge": 40}, "crop_size": 48}, "fit(short=40, crop=48, resample=bicubic)"),  # padded
    ("ViT", {"size": {"height": 40, "width": 40}, "do_normalize": False}, "fit(size=40, resample=bilinear)"),
]


@pytest.fixture(scope="module")
def pictures(tmp_path_factory: pytest.TempPathFactory) -> list[Path]:
    """Smooth pictures with colours of their own: odd sizes, one grey, one rotated by EXIF."""
    folder, found = tmp_path_factory.mktemp("pictures"), list[Path]()
    for index, (width, height) in enumerate(SIZES):
        y, x = np.mgrid[0:height, 0:width] / 12
        waves = np.stack([np.sin(x + index), np.cos(y - x), np.sin(y * 0.7 + x * 0.2)], -1)
        picture = Image.fromarray((127.5 + 120 * waves).round().astype(np.uint8))
        exif = Image.Exif()
        if index == 1:
            exif[0x0112] = 6
        found.append(folder / f"{index}.png")
        (picture.convert("L") if index == 3 else picture).save(found[-1], exif=exif)
    return found


@pytest.mark.parametrize(("kind", "options", "geometry"), CASES, ids=lambda item: item if isinstance(item, str) else "")
def test_our_input_is_that_of_the_processor(kind: str, options: dict[str, Any], geometry: str, pictures: list[Path]) -> None:
    processor = getattr(transformers, f"{kind}ImageProcessor")(**options)
    found = read_processor(processor.to_dict(), "hf/./net")
    assert found.geometry == geometry
    mean, std = per_channel(found.mean, "mean"), per_channel(found.std, "std")
    for file in pictures if found.size < 100 else pictures[:1]:
        theirs = processor(transformers.image_utils.load_image(str(file)), return_tensors="pt")["pixel_values"]
        ours = (prepare(read_picture(file), found.geometry, 224)[None] - mean) / std
        ours = ours.flip(1) if found.channels == "bgr" else ours
        assert ours.shape == theirs.shape
        assert ours.shape[-1] == found.size
        assert ((ours - theirs) * std.flip(1) if found.channels == "bgr" else (ours - theirs) * std).abs().mean() < 2 / 255


def test_efficientnet_divides_by_std_twice_and_mobilevit_takes_bgr() -> None:
    grey = torch.tensor([0.2, 0.4, 0.6]).mul(255).round()
    picture = Image.fromarray(grey.to(torch.uint8).expand(40, 40, 3).numpy())
    for kind, options in (("EfficientNet", {"image_std": [0.3, 0.4, 0.5]}), ("MobileViT", {})):
        processor = getattr(transformers, f"{kind}ImageProcessor")(**options)
        found = read_processor(processor.to_dict(), "hf/./net")
        theirs = processor(picture, return_tensors="pt")["pixel_values"][0, :, 20, 20]
        ours = (grey / 255 - torch.tensor(found.mean)) / torch.tensor(found.std)
        assert torch.allclose(ours.flip(0) if found.channels == "bgr" else ours, theirs, atol=1e-5)
    assert found.channels == "bgr"


@pytest.mark.parametrize("kind", ["ImageGPT", "Donut", "Perceiver", "TextNet", "Fuyu"])
def test_others_are_refused_by_name(kind: str) -> None:
    with pytest.raises(UsageError, match=rf"^hf/./net: {kind}ImageProcessor cannot be used: .+; load the network yourself$"):
        read_processor({"image_processor_type": f"{kind}ImageProcessor"}, "hf/./net")


def test_sizes_that_are_not_square_and_other_filters_are_refused() -> None:
    settings = transformers.ViTImageProcessor().to_dict()
    for other in ({"size": {"height": 40, "width": 30}}, {"resample": 1}, {"size": {"longest_edge": 3}}):
        with pytest.raises(UsageError, match=r"^hf/./net: its ViTImageProcessor is not of the known form"):
            read_processor(settings | other, "hf/./net")
