"""Pictures that are given to `explain`: image files and Pillow images are preprocessed as the model needs them."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import torch
from PIL import Image
from torch import Tensor

from camdbench.core.errors import UsageError
from camdbench.datasets.geometry import choose_preprocess, geometry_of
from camdbench.datasets.own.pictures import fit, naming, open_picture
from camdbench.datasets.transforms import Annotations, SpatialTransform
from camdbench.models.classifier import Classifier


def read_pictures(images: Any, classifier: Classifier, preprocess: str | None, size: int | None) -> tuple[Any, tuple[str, ...]]:
    """Preprocess image files and Pillow images, with a name for each; return other images as they are.

    Args:
        images: images in memory, or one or several files or Pillow images, which arrays (H, W, 3) or tensors (3, H, W) may stand
            beside; floats among these are kept.
        classifier: the model.
        preprocess: preprocessing protocol; None: the model's own, else `resize256_crop224`. If given, lists of arrays are
            preprocessed as well.
        size: side in pixels; default: the model's input size.

    Raises:
        UsageError: a file does not exist, or the images would differ in size.
        SampleError: a file cannot be decoded.
    """
    pictures = [images] if isinstance(images, str | Path | Image.Image) else images
    if not isinstance(pictures, list | tuple) or not pictures:
        return images, ()
    if preprocess is None and not any(isinstance(one, str | Path | Image.Image) for one in pictures):
        return images, ()
    for one in pictures:
        if isinstance(one, str | Path) and not Path(one).is_file():
            raise UsageError(f"images = {one}: no such file")
    chosen = choose_preprocess(preprocess, classifier.preprocess, classifier.name, size)
    if geometry_of(chosen, 224).input_size is None:
        raise UsageError(f"preprocess = {chosen}: images would differ in size; add crop=, such as fit(short=256, crop=224)")
    how = SpatialTransform(chosen, size or classifier.input_size)
    names = tuple(_name(one, index) for index, one in enumerate(pictures))
    found = [_fit(one, name, how) for one, name in zip(pictures, names, strict=True)]
    if len(shapes := {tuple(image.shape[1:]) for image in found}) > 1:
        raise UsageError(f"images have the sizes {', '.join(f'{h} x {w}' for h, w in sorted(shapes))}; give them one size")
    return torch.stack(found), names


def _fit(picture: Any, name: str, how: SpatialTransform) -> Tensor:
    try:
        found = open_picture(picture)
        return fit(found, Annotations(), None if isinstance(found, Tensor) else how, how.size).image
    except UsageError as error:
        raise naming(name, error) from None


def _name(picture: Any, index: int) -> str:
    """Stem of the file of a picture, else its number."""
    file = picture if isinstance(picture, str | Path) else getattr(picture, "filename", "")
    return Path(file).stem or str(index) if isinstance(file, str | Path) else str(index)
