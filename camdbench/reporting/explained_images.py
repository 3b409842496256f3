"""Explain single images: overlays as PNG, saliency maps as NPZ, a sheet and a page."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pandas as pd
import torch
from torch import Tensor

from camdbench.core.errors import UsageError
from camdbench.core.objective_names import explained_by, scored_objective
from camdbench.core.registries import parse_explainers, parse_metrics
from camdbench.core.written_files import make_folder, write_whole
from camdbench.datasets.geometry import choose_preprocess, geometry_of
from camdbench.datasets.transforms import SpatialTransform
from camdbench.explainers.common.explain import explain
from camdbench.explainers.common.explanation import Explanation
from camdbench.explainers.common.own_explainers import own_explainers
from camdbench.explainers.common.own_objectives import read_objective
from camdbench.explainers.common.scored_objectives import classifier_of
from camdbench.functional.map_overlay import COLOURS, check_colours
from camdbench.functional.objectives import Objective
from camdbench.metrics.common.own_metrics import own_metrics
from camdbench.models.classifier import Classifier
from camdbench.models.photograph_note import photograph_note
from camdbench.reporting.explained import Explained, distinct
from camdbench.reporting.explained_files import write_files
from camdbench.reporting.explained_page import explained_page
from camdbench.reporting.given_images import GivenImage, read_images, stems_of
from camdbench.runner.evaluate import evaluate

LONGEST = 2048  # pixels along the long side of an overlay, unless more are asked for


@dataclass(frozen=True)
class ExplainedImages:
    """What was explained and written.

    Attributes:
        items: one per image and explainer, image by image.
        damaged: the reason for every unreadable image.
        refused: the reason for every explainer that does not apply to the model.
        page: the page of all images and explainers.
    """

    items: list[Explained]
    damaged: dict[str, str]
    refused: dict[str, str]
    page: Path


def explain_images(
    classifier: Classifier,
    names: Sequence[str],
    explainers: Any,
    *,
    target: str | int = "predicted",
    objective: Any = "logit",
    metrics: Any = "ad,ag,ai",
    preprocess: str | None = None,
    size: int | None = None,
    out: Path = Path("explanations"),
    seed: int = 0,
    colours: str = COLOURS,
    longest: int = LONGEST,
    log: Callable[[str], object] | None = None,
) -> ExplainedImages:
    """Explain images and write OUT/STEM-EXPLAINER.png, OUT/STEM.npz, OUT/gallery.png and OUT/report.html.

    Overlays show the whole picture at its own resolution, with the map in the crop that the network sees.

    Args:
        classifier: the model.
        names: image files, or names of images bundled with scikit-image such as `chelsea`.
        explainers: explainer specs, comma-separated, references `[NAME=]FILE.py:FUNCTION` included; or `all`.
        target: predicted, runner_up, least_likely, a class index or a class name.
        objective: what is explained of that class, as for `explain`.
        metrics: metric specs, comma-separated, references included, whose values are shown beside the maps.
        preprocess: preprocessing to a square; default: the model's own, else `resize256_crop224`.
        size: side length in pixels; default: the model's input size.
        out: output folder.
        seed: seed of explainers that draw random numbers.
        colours: name of a matplotlib colour map.
        longest: pixels along the long side of an overlay, at most; larger pictures are reduced.
        log: receives a line about images that are reduced, and about a model that knows no photographs.

    Raises:
        UsageError: unknown name, or no image can be read.
    """
    check_colours(colours)
    if (scored := scored_objective(objective)) is not None:
        if target != "predicted":
            raise UsageError(f"--target = {target}: --objective {scored} states what is explained; omit it")
        classifier, target = classifier_of(classifier, scored, preprocess)
        objective = Objective(str(scored), scored)
    transform = SpatialTransform(_preprocess(preprocess, size, classifier), size or classifier.input_size)
    with own_explainers(explainers) as chosen, own_metrics(metrics) as scored:
        explained, _ = read_objective(objective)
        specs = [str(spec) for spec in parse_explainers(chosen, (), explained_by(explained.named))]
        parse_metrics(scored, gives=(), explains=False)
        images, damaged = read_images(names, transform, longest)
        if not images:
            raise UsageError("; ".join(f"{name}: {reason}" for name, reason in damaged.items()))
        if log is not None:
            for line in _notes(classifier, images):
                log(line)
        make_folder(out, "--out")
        batch = torch.stack([image.input for image in images])
        found = explain(classifier, batch, specs, targets=target, objective=objective, seed=seed)
        if not found:
            raise UsageError("; ".join(f"{spec}: {reason}" for spec, reason in found.refused.items()))
        values = {spec: _values(classifier, batch, own, scored) for spec, own in found.items()}
        items = _items(classifier, images, found, values, out)
        pictures = write_files(images, found, items, out, colours)
        about = str(target) if explained.is_logit else f"{target}, objective: {explained.name}"
        text = explained_page(classifier, images, found, values, pictures, preprocess=transform.how, target=about)
        write_whole(out / "report.html", text)
        return ExplainedImages(items, damaged, found.refused, out / "report.html")


def _preprocess(given: str | None, size: int | None, classifier: Classifier) -> str:
    """The given preprocessing, else the model's own, else `resize256_crop224`.

    Raises:
        UsageError: the model states none, the images would have different sizes, or `size` contradicts pixels.
    """
    how = choose_preprocess(given, classifier.preprocess, classifier.name, size)
    if geometry_of(how, 224).input_size is None:
        raise UsageError(f"--preprocess = {how}: images would differ in size; add crop=, such as fit(short=256, crop=224)")
    return how


def _values(classifier: Classifier, batch: Tensor, maps: Explanation, metrics: Any) -> pd.DataFrame:
    """Rows of `evaluate`; those of an image whose map is an error have no value."""
    rows = evaluate(classifier, batch, maps.targets.cpu(), maps.maps.cpu(), metrics)
    failed = [index for index, status in enumerate(maps.status) if status == "error"]
    rows.loc[rows["image"].isin(failed), ["value", "status"]] = float("nan"), "error"
    return rows


def _notes(classifier: Classifier, images: Sequence[GivenImage]) -> list[str]:
    drawing = (classifier.input_size, classifier.input_size)
    note = photograph_note(classifier) if any(image.size != drawing for image in images) else ""
    large = [image for image in images if image.placement.file != image.size]
    if not large:
        return [note] if note else []
    first = max(large, key=lambda image: max(image.size))
    (height, width), (tall, wide) = first.size, first.placement.file
    count = f"; {len(large)} images are reduced" if len(large) > 1 else ""
    reduced = f"{first.name}: the overlay has {wide} x {tall} of {width} x {height} pixels{count}; --max-side {max(first.size)} keeps all"
    return [*([note] if note else []), reduced]


def _items(
    classifier: Classifier,
    images: Sequence[GivenImage],
    found: Mapping[str, Explanation],
    values: Mapping[str, pd.DataFrame],
    out: Path,
) -> list[Explained]:
    stems = stems_of(images)
    pairs = [(index, spec) for index in range(len(images)) for spec in found]
    files = distinct([f"{stems[index]}-{_file_name(spec)}" for index, spec in pairs])
    scores = {
        spec: [dict(zip(own["metric"], own["value"], strict=True)) for _, own in frame.groupby("image")] for spec, frame in values.items()
    }
    return [
        Explained(
            image=images[index].name,
            explainer=spec,
            target=(target := int(found[spec].targets[index])),
            class_name=classifier.class_names[target] if classifier.class_names else "",
            probability=float(found[spec].probabilities[index]),
            scores=scores[spec][index],
            status=found[spec].status[index],
            overlay=str(out / f"{file}.png"),
        )
        for (index, spec), file in zip(pairs, files, strict=True)
    ]


def _file_name(spec: str) -> str:
    return "".join(character if character.isalnum() or character in "-_." else "_" for character in spec).strip("_")
