"""Image processors of transformers, read from preprocessor_config.json: geometry, mean, std and channel order for camdbench."""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from camdbench.core.errors import UsageError
from camdbench.core.network_options import Channels

Settings = Mapping[str, Any]


@dataclass(frozen=True)
class Preprocessing:
    """Preprocessing of a network.

    Attributes:
        geometry: as in `--preprocess`, such as `fit(short=256, crop=224, resample=bicubic)`.
        size: side of the input in pixels.
        mean: mean per channel of RGB images in [0, 1].
        std: standard deviation per channel.
        channels: order of the channels that the network takes.
    """

    geometry: str
    size: int
    mean: tuple[float, ...]
    std: tuple[float, ...]
    channels: Channels = "rgb"


_REFUSED = {
    "ImageGPT": "it turns colours into clusters",
    "Donut": "it pads to the aspect ratio of a page",
    "Perceiver": "its crop depends on the size of the image",
    "TextNet": "its size depends on the aspect ratio of the image",
    "TimmWrapper": "use timm/NAME",
}
_RESAMPLE = {2: "bilinear", 3: "bicubic"}  # numbers of Pillow


def read_processor(settings: Settings, what: str) -> Preprocessing:
    """Preprocessing of the settings of an image processor, all defaults included.

    Args:
        settings: `to_dict()` of the processor.
        what: name of the model in messages.

    Raises:
        UsageError: the processor does more than resize, crop and normalise.
    """
    kind = str(settings.get("image_processor_type", "")).removesuffix("Fast").removesuffix("Pil").removesuffix("ImageProcessor")
    if kind in _REFUSED or kind not in _SIDES:
        raise UsageError(f"{what}: {kind}ImageProcessor cannot be used: {_REFUSED.get(kind, 'it is not known')}; load the network yourself")
    try:
        sides = _SIDES[kind](settings) if settings.get("do_resize", True) else {}
        crop = _side(settings["crop_size"]) if settings.get("do_center_crop") else sides.get("crop")
        resample = _RESAMPLE[int(settings.get("resample", 2))]
        size = int(crop or sides["size"])
        mean, std = _statistics(settings, kind)
    except (KeyError, TypeError, ValueError) as error:
        raise UsageError(f"{what}: its {kind}ImageProcessor is not of the known form ({error!r}); load the network yourself") from None
    named = {name: sides[name] for name in ("short", "size") if name in sides} | ({} if crop is None else {"crop": crop})
    geometry = "fit(" + ", ".join([*(f"{name}={value}" for name, value in named.items()), f"resample={resample}"]) + ")"
    bgr = kind == "PPLCNet" or (kind == "MobileViT" and settings.get("do_flip_channel_order", True))
    return Preprocessing(geometry, size, mean, std, "bgr" if bgr else "rgb")


def _side(size: Any) -> int:
    """Side of a square.

    >>> _side({"height": 224, "width": 224}), _side(224)
    (224, 224)
    """
    if isinstance(size, int):
        return size
    if size["height"] != size["width"]:
        raise ValueError(f"{size['height']} x {size['width']} is not square")
    return int(size["height"])


def _by_keys(settings: Settings) -> dict[str, int]:
    """Short side or square, as the keys of `size` state."""
    size = settings["size"]
    return {"short": int(size["shortest_edge"])} if "shortest_edge" in size else {"size": _side(size)}


def _convnext(settings: Settings) -> dict[str, int]:
    """Short side size / crop_pct and a crop to size; from 384 pixels distorted."""
    side = int(settings["size"]["shortest_edge"])
    return {"size": side} if side >= 384 else {"short": int(side / settings["crop_pct"]), "crop": side}


def _poolformer(settings: Settings) -> dict[str, int]:
    """Short side size / crop_pct."""
    if settings.get("crop_pct") is None:
        return _by_keys(settings)
    (side,) = _by_keys(settings).values()
    return {"short": int(side / settings["crop_pct"])}


def _levit(settings: Settings) -> dict[str, int]:
    """Short side size * 256 / 224."""
    sides = _by_keys(settings)
    return {"short": int(256 / 224 * sides["short"])} if "short" in sides else sides


def _siglip2(settings: Settings) -> dict[str, int]:
    """The square with the most patches; its processor keeps the aspect ratio, so that square pictures alone are equal."""
    side = math.isqrt(int(settings["max_num_patches"])) * int(settings["patch_size"])
    return {"short": side, "crop": side}


def _pp_lcnet(settings: Settings) -> dict[str, int]:
    """Short side resize_short."""
    if settings.get("resize_short") is None:
        return _by_keys(settings)
    if (settings.get("size_divisor") or 1) != 1:
        raise ValueError(f"size_divisor {settings['size_divisor']}")
    return {"short": int(settings["resize_short"])}


_SIDES: dict[str, Callable[[Settings], dict[str, int]]] = {
    **dict.fromkeys(("ViT", "Pvt", "Siglip", "Beit", "Segformer", "DeiT", "EfficientNet"), _by_keys),
    **dict.fromkeys(("CLIP", "Bit", "MobileNetV1", "MobileNetV2", "MobileViT"), _by_keys),
    "ConvNext": _convnext,
    "Levit": _levit,
    "PoolFormer": _poolformer,
    "PPLCNet": _pp_lcnet,
    "Siglip2": _siglip2,
}


def _statistics(settings: Settings, kind: str) -> tuple[tuple[float, ...], tuple[float, ...]]:
    """Mean and std of images in [0, 1]: pixels of 0 to 255 are first multiplied by `rescale_factor`.

    MobileViT's processor never normalises. EfficientNet's may subtract 1 and, with `include_top`, divides by std once more.
    """
    scale = 255 * float(settings["rescale_factor"]) if settings.get("do_rescale", True) else 255.0
    normalised = settings.get("do_normalize", True) and kind != "MobileViT"
    mean = _channels(settings["image_mean"]) if normalised else (0.0,) * 3
    std = _channels(settings["image_std"]) if normalised else (1.0,) * 3
    if kind == "EfficientNet":
        mean = tuple(value + bool(settings.get("rescale_offset")) for value in mean)
        if settings.get("include_top"):
            std = tuple(value * again for value, again in zip(std, _channels(settings["image_std"]), strict=True))
    return tuple(value / scale for value in mean), tuple(value / scale for value in std)


def _channels(value: float | Sequence[float]) -> tuple[float, ...]:
    return (float(value),) * 3 if isinstance(value, int | float) else tuple(map(float, value))
