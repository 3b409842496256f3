"""Explain single images: overlays as PNG, saliency maps as NPZ."""

from __future__ import annotations

import io
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import torch
from PIL import Image
from torch import Tensor

from camdbench.core.errors import SampleError, UsageError
from camdbench.core.registries import parse_explainers, parse_metrics
from camdbench.core.written_files import make_folder, write_whole
from camdbench.datasets.geometry import choose_preprocess, geometry_of
from camdbench.datasets.preprocess import prepare, read_picture
from camdbench.explainers.common.explain import explain
from camdbench.explainers.common.explanation import Explanation
from camdbench.explainers.common.own_explainers import own_explainers
from camdbench.metrics.common.own_metrics import own_metrics
from camdbench.models.classifier import Classifier
from camdbench.reporting.overlay import gallery, save_overlay
from camdbench.runner.evaluate import evaluate


@dataclass(frozen=True)
class Explained:
    """One image explained by one explainer.

    Attributes:
        image: name of the image.
        explainer: canonical spec.
        target: index of the explained class.
        class_name: name of the class; empty if the model has no class names.
        probability: probability of that class.
        scores: value by metric.
        status: ok, constant_map or error.
        overlay: PNG file.
    """

    image: str
    explainer: str
    target: int
    class_name: str
    probability: float
    scores: dict[str, float]
    status: str
    overlay: str


def explain_images(
    classifier: Classifier,
    names: Sequence[str],
    explainers: Any,
    *,
    target: str | int = "predicted",
    metrics: Any = "ad,ag,ai",
    preprocess: str | None = None,
    size: int | None = None,
    out: Path = Path("explanations"),
    seed: int = 0,
) -> tuple[list[Explained], dict[str, str], dict[str, str]]:
    """Explain images and write OUT/STEM-EXPLAINER.png, OUT/gallery.png and OUT/STEM.npz.

    Args:
        classifier: the model.
        names: image files, or names of images bundled with scikit-image such as `chelsea`.
        explainers: explainer specs, comma-separated, references `[NAME=]FILE.py:FUNCTION` included; or `all`.
        target: predicted, runner_up, least_likely, a class index or a class name.
        metrics: metric specs, comma-separated, references included, whose values are shown beside the maps.
        preprocess: preprocessing to a square; default: the model's own, else `resize256_crop224`.
        size: side length in pixels; default: the model's input size.
        out: output folder.
        seed: seed of explainers that draw random numbers.

    Returns:
        The explained images, the reason for every unreadable image, and the reason for every explainer that does not apply to
        the model.

    Raises:
        UsageError: unknown name, or no image can be read.
    """
    with own_explainers(explainers) as chosen, own_metrics(metrics) as scored:
        specs = [str(spec) for spec in parse_explainers(chosen, gives=())]
        parse_metrics(scored, gives=(), explains=False)
        return _explain_images(classifier, names, specs, target, scored, preprocess, size, out, seed)


def _explain_images(
    classifier: Classifier,
    names: Sequence[str],
    specs: Sequence[str],
    target: str | int,
    metrics: Any,
    preprocess: str | None,
    size: int | None,
    out: Path,
    seed: int,
) -> tuple[list[Explained], dict[str, str], dict[str, str]]:
    images, damaged = _read(names, _preprocess(preprocess, size, classifier), size or classifier.input_size)
    if not images:
        raise UsageError("; ".join(f"{name}: {reason}" for name, reason in damaged.items()))
    make_folder(out, "--out")
    batch = torch.stack(list(images.values()))
    found = explain(classifier, batch, specs, targets=target, seed=seed)
    if not found:
        raise UsageError("; ".join(f"{spec}: {reason}" for spec, reason in found.refused.items()))
    scores = {spec: _scores(classifier, batch, maps, metrics) for spec, maps in found.items()}
    stems = _stems(list(images))
    explained = [
        _summarise(classifier, name, spec, found[spec], index, scores[spec][index], out / f"{stems[index]}-{_file_name(spec)}.png")
        for index, name in enumerate(images)
        for spec in found
    ]
    _write(batch, found, explained, [out / f"{stem}.npz" for stem in stems], out / "gallery.png")
    return explained, damaged, found.refused


def _preprocess(given: str | None, size: int | None, classifier: Classifier) -> str:
    """The given preprocessing, else the model's own, else `resize256_crop224`.

    Raises:
        UsageError: the model states none, the images would have different sizes, or `size` contradicts pixels.
    """
    how = choose_preprocess(given, classifier.preprocess, classifier.name, size)
    if geometry_of(how, 224).input_size is None:
        raise UsageError(f"--preprocess = {how}: images would differ in size; add crop=, such as fit(short=256, crop=224)")
    return how


def _scores(classifier: Classifier, batch: Tensor, maps: Explanation, metrics: Any) -> list[dict[str, float]]:
    """Return value by metric for each image."""
    values = evaluate(classifier, batch, maps.targets.cpu(), maps.maps.cpu(), metrics)
    return [dict(zip(own["metric"], own["value"], strict=True)) for _, own in values.groupby("image")]


def _write(batch: Tensor, found: Mapping[str, Explanation], explained: Sequence[Explained], archives: Sequence[Path], page: Path) -> None:
    """Write overlays, one archive of maps per image, and the gallery."""
    pixels = batch.permute(0, 2, 3, 1).numpy()
    for number, item in enumerate(explained):
        index = number // len(found)
        save_overlay(Path(item.overlay), pixels[index], found[item.explainer].maps[index].cpu().numpy())
    for index, path in enumerate(archives):
        _save_maps(path, batch[index], {spec: (maps.maps[index], maps.raw[index]) for spec, maps in found.items()})
    captions: dict[str, list[str]] = {spec: [_caption(item) for item in explained if item.explainer == spec] for spec in found}
    titles = [_title(item) for item in explained[:: len(found)]]
    gallery(pixels, {spec: maps.maps.cpu().numpy() for spec, maps in found.items()}, titles, page, captions=captions)


def _read(names: Sequence[str], preprocess: str, size: int) -> tuple[dict[str, Tensor], dict[str, str]]:
    images, damaged = dict[str, Tensor](), dict[str, str]()
    for name in names:
        try:
            images[name] = prepare(_picture(name), preprocess, size)
        except SampleError as error:
            damaged[name] = str(error)
    return images, damaged


def _picture(name: str) -> Image.Image:
    """Read a file, or an image bundled with scikit-image."""
    path = Path(name)
    if path.is_file():
        return read_picture(path)
    import skimage.data

    bundled = sorted(file for file in Path(skimage.data.__file__).parent.glob("*.*") if file.suffix in (".png", ".jpg"))
    by_stem = {file.stem: file for file in bundled}
    if name in by_stem:
        return read_picture(by_stem[name])
    raise UsageError(f"image {name}: no such file; give a file or an image of scikit-image: {', '.join(by_stem)}")


def _summarise(
    classifier: Classifier, name: str, spec: str, maps: Explanation, index: int, scores: dict[str, float], path: Path
) -> Explained:
    target = int(maps.targets[index])
    return Explained(
        image=name,
        explainer=spec,
        target=target,
        class_name=classifier.class_names[target] if classifier.class_names else "",
        probability=float(maps.logits[index].double().softmax(0)[target]),
        scores=scores,
        status=maps.status[index],
        overlay=str(path),
    )


def _title(item: Explained) -> str:
    return f"{item.class_name or f'class {item.target}'}\n{100 * item.probability:.1f} %"


def _caption(item: Explained) -> str:
    return "  ".join(f"{name} {value:.1f}" for name, value in item.scores.items())


def _save_maps(path: Path, image: Tensor, maps: dict[str, tuple[Tensor, Tensor]]) -> None:
    arrays: dict[str, Any] = {"image": image.numpy()}
    for name, (finished, raw) in maps.items():
        arrays |= {f"{name}": finished.cpu().numpy(), f"{name}/raw": raw.cpu().numpy()}
    content = io.BytesIO()
    np.savez_compressed(content, **arrays)
    write_whole(path, content.getbuffer())


def _stems(names: Sequence[str]) -> list[str]:
    """Return file names without suffix, numbered if not unique."""
    stems = [Path(name).stem for name in names]
    return [stem if stems.count(stem) == 1 else f"{stem}-{index}" for index, stem in enumerate(stems)]


def _file_name(spec: str) -> str:
    return "".join(character if character.isalnum() or character in "-_." else "_" for character in spec).strip("_")
