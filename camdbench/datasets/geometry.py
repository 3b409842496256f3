"""Named preprocessing protocols and `fit(…)` as numbers: resize, then centre crop."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal, get_args

from camdbench.core.errors import UsageError
from camdbench.core.option_types import Resample
from camdbench.core.spec import Spec, parse_spec

Named = Literal["resize256_crop224", "resize224_distort", "short448", "keep"]
_SCALED = {"resize256_crop224": 256 / 224, "short448": 448 / 224}  # short side over `size`
_USE = f"use {', '.join(get_args(Named))}, model or fit(short=256, crop=224, resample=bicubic)"


@dataclass(frozen=True)
class Geometry:
    """Resize and centre crop of an image.

    `fit(short=256, crop=224)` keeps the aspect ratio, `fit(size=256, crop=224)` does not; `resample=bicubic` is the other filter.

    Attributes:
        short: length of the short side in pixels, aspect ratio kept.
        size: side of the square to which the image is resized, aspect ratio not kept.
        crop: side of the centre crop.
        resample: filter of the resize, with antialiasing.
        corner: corner of a crop whose margin is odd: `round` half to even (torchvision) or `down` (transformers).
    """

    short: int | None = None
    size: int | None = None
    crop: int | None = None
    resample: Resample = "bilinear"
    corner: Literal["round", "down"] = "down"

    @property
    def input_size(self) -> int | None:
        """Side of the square that results; None if the images keep their aspect ratio."""
        return self.crop or self.size

    def top_left(self, height: int, width: int) -> tuple[int, int]:
        """Corner of the crop in a resized image; negative if the image is smaller."""
        if self.crop is None:
            return 0, 0
        whole = round if self.corner == "round" else int
        return whole((height - self.crop) / 2), whole((width - self.crop) / 2)

    def __str__(self) -> str:
        sides = {name: getattr(self, name) for name in ("short", "size", "crop") if getattr(self, name) is not None}
        return "fit(" + ", ".join([*(f"{name}={value}" for name, value in sides.items()), f"resample={self.resample}"]) + ")"


def geometry_of(how: str, size: int) -> Geometry:
    """Geometry of a named protocol for inputs of `size` pixels, or of `fit(short=|size=, crop=, resample=)`.

    >>> geometry_of("resize256_crop224", 112).short
    128
    >>> str(geometry_of("fit(size=256, crop=224)", 224))
    'fit(size=256, crop=224, resample=bilinear)'

    Raises:
        UsageError: neither, or `model`, whose geometry only the model knows.
    """
    if how == "keep":
        return Geometry()
    if how == "resize224_distort":
        return Geometry(size=size)
    if how in _SCALED:
        return Geometry(short=round(size * _SCALED[how]), crop=size if how == "resize256_crop224" else None, corner="round")
    if how == "model":
        raise UsageError("preprocess = model: there is no model here; name the preprocessing, such as fit(short=256, crop=224)")
    spec = parse_spec(how) if how.startswith("fit(") else Spec(how)
    return _checked(spec, how)


def choose_preprocess(given: str | None, own: str | None, name: str, size: int | None = None) -> str:
    """Preprocessing of image files for a model: as given, else the model's own, else `resize256_crop224`.

    Args:
        given: a protocol, `model`, or None.
        own: that which the model states.
        name: the model, in messages.
        size: side in pixels that is asked for.

    Raises:
        UsageError: `model`, and it states none; or `size` contradicts `fit(…)`.
    """
    if given == "model" and own is None:
        raise UsageError(f"preprocess = model: {name} states no preprocessing; name it, such as fit(short=256, crop=224)")
    how = (own if given in (None, "model") else given) or "resize256_crop224"
    if size is not None and how.startswith("fit("):
        whose = "--preprocess" if given == how else f"{name}: the preprocessing"
        raise UsageError(f"--size = {size}: {whose} {how} states its size; use --preprocess resize256_crop224, or omit --size")
    return how


def _checked(spec: Spec, how: str) -> Geometry:
    given = spec.arguments
    sides = [name for name in ("short", "size", "crop") if name in given]
    good = all(type(given[name]) is int and int(str(given[name])) > 0 for name in sides)
    known = set(given) <= {"short", "size", "crop", "resample"} and given.get("resample", "bilinear") in get_args(Resample)
    if spec.name != "fit" or spec.wrapped or not (good and known) or ("short" in given) == ("size" in given):
        raise UsageError(f"preprocess = {how}: unknown; {_USE}")
    return Geometry(**given)  # pyright: ignore[reportArgumentType]
