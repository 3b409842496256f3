"""The page of explained images, of the templates and scripts of a run's report."""

from __future__ import annotations

import io
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import asdict
from typing import Any

import numpy as np
import pandas as pd
from PIL import Image

from camdbench.core.registries import explainers
from camdbench.core.spec import parse_spec
from camdbench.explainers.common.explanation import Explanation
from camdbench.functional.map_placement import covered, place_map
from camdbench.models.classifier import Classifier
from camdbench.reporting.encoded_pictures import colour_webp, in_text, side_of_maps, top_of
from camdbench.reporting.given_images import GivenImage, Pixels, stems_of
from camdbench.reporting.image_disagreement import disagreement
from camdbench.reporting.report_cards import cards
from camdbench.reporting.report_data import Block, blocks_of, images_of, to_json
from camdbench.reporting.report_page import render
from camdbench.reporting.run_pictures import Picture
from camdbench.runner.record import metric_record
from camdbench.tables.cell_values import Cells, cells_of
from camdbench.tables.summary import is_control_of, metric_fact

SECTIONS = (("images", "Images"), ("cards", "Models, data, methods"))


def explained_page(
    classifier: Classifier,
    images: Sequence[GivenImage],
    found: Mapping[str, Explanation],
    values: Mapping[str, pd.DataFrame],
    pictures: Sequence[Pixels],
    *,
    preprocess: str,
    target: str,
) -> str:
    """Return the page: every picture with its maps and values, and cards of model, explainers and metrics.

    Args:
        classifier: the model.
        images: N images.
        found: explanation by spec.
        values: by spec, rows as returned by `evaluate`.
        pictures: N small copies of the whole pictures.
        preprocess: preprocessing of the images.
        target: the rule that chose the explained classes, or the class.
    """
    names = stems_of(images)
    cells = _cells(classifier, names, values, target)
    spread = dict(zip(cells.images, disagreement(cells, _controls(found)).tolist(), strict=True))
    first = next(iter(found.values()))
    labels = dict(zip(names, first.targets.tolist(), strict=True))
    side = side_of_maps(len(images))
    shown = {
        name: Picture(in_text(colour_webp(small / 255)), (small.shape[0], small.shape[1]), "", (), {classifier.name: maps})
        for name, small, maps in zip(names, pictures, _maps(images, found, side), strict=True)
    }
    classes = {name: classifier.class_names[label] if classifier.class_names else "" for name, label in labels.items()}
    entries = images_of(
        {name: _badges(classifier, first, index) for index, name in enumerate(names)},
        [{name: {"class": own} for name, own in classes.items()}],
        {name: {"label": labels[name], "disagreement": spread[name]} for name in names},
        {name: asdict(own) for name, own in shown.items()},
    )
    metrics = list(dict.fromkeys(cells.keys["metric"]))
    blocks = blocks_of(cells, _facts(cells), names, "")
    return render(
        charts=False,
        pair=None,
        run=f"Explanations of {classifier.name}",
        head=[f"{len(images)} image{'s' * (len(images) > 1)}, explained class: {target}"],
        notes=["The network sees the framed part of a picture; maps and values are those of this part."],
        cards=cards(_about(classifier, found, metrics, preprocess)),
        sections=SECTIONS,
        values=_lines(blocks[0], names, [f"{entry['class'] or entry['label']}, {entry['why'][0]}" for entry in entries]),
        data=to_json(blocks, entries),
    )


def _cells(classifier: Classifier, names: Sequence[str], values: Mapping[str, pd.DataFrame], target: str) -> Cells:
    rows = pd.concat([frame.assign(explainer=spec) for spec, frame in values.items()], ignore_index=True)
    rows["image"] = [names[index] for index in rows["image"]]
    return cells_of(rows.assign(dataset="given", split="images", model=classifier.name, target_rule=target, label=rows["target"]))


def _controls(found: Mapping[str, Explanation]) -> frozenset[str]:
    return frozenset(spec for spec in found if is_control_of(spec, {}))


def _facts(cells: Cells) -> pd.DataFrame:
    """The columns of a summary that do not depend on values."""
    names = cells.keys["metric"]
    return cells.keys.assign(
        unit=[metric_fact(name, "unit", {}) for name in names],
        higher_is_better=[metric_fact(name, "higher_is_better", {}) for name in names],
        is_control=[is_control_of(name, {}) for name in cells.keys["explainer"]],
    )


def _badges(classifier: Classifier, first: Explanation, index: int) -> list[str]:
    """Probability of the explained class, and the predicted class if it is another one."""
    found, top = [f"probability: {100 * float(first.probabilities[index]):.1f} %"], int(first.logits[index].argmax())
    if top != int(first.targets[index]):
        name = classifier.class_names[top] if classifier.class_names else f"class {top}"
        found.append(f"predicted: {name} {100 * float(first.logits[index].double().softmax(0)[top]):.1f} %")
    return found


def _maps(images: Sequence[GivenImage], found: Mapping[str, Explanation], side: int) -> Iterator[dict[str, tuple[str, float]]]:
    """By image and spec: the map on the whole picture, and the value below which 99 % of it lie; none of a map that is an error."""
    for index, image in enumerate(images):
        own = {spec: maps.maps[index].cpu().numpy() for spec, maps in found.items() if maps.status[index] != "error"}
        yield {spec: (in_text(_placed_webp(image, map_, side)), top_of(map_)) for spec, map_ in own.items()}


def _placed_webp(image: GivenImage, saliency: np.ndarray, side: int) -> bytes:
    """A map in grey with `side` pixels along its crop, transparent outside the crop."""
    (rows, columns), (height, width) = image.crop, image.placement.file
    scale = min(1.0, side / max(rows.stop - rows.start, columns.stop - columns.start))
    placement = image.placement._replace(file=(max(1, round(scale * height)), max(1, round(scale * width))))
    grey = np.rint(255 * place_map(saliency, placement)).astype(np.uint8)
    inside = np.zeros_like(grey)
    inside[covered(placement, (saliency.shape[0], saliency.shape[1]))] = 255
    content = io.BytesIO()
    Image.fromarray(np.stack([grey, grey, grey, inside], axis=2)).save(content, "WEBP", quality=75, method=6)
    return content.getvalue()


def _about(classifier: Classifier, found: Mapping[str, Explanation], metrics: Sequence[str], preprocess: str) -> dict[str, Any]:
    """What the cards read of the record of a run."""
    model = {
        "weights_hash": classifier.weights_hash(),
        "layer": classifier.layer,
        "classes": next(iter(found.values())).logits.shape[1],
        "mean": classifier.mean.flatten().tolist(),
        "std": classifier.std.flatten().tolist(),
        "preprocess": preprocess,
        "input_size": classifier.input_size,
    }
    specs = {spec: parse_spec(spec).name for spec in found}
    return {
        "models": {classifier.name: model},
        "explainers": {
            spec: {"paper": explainers.get(name).facts.paper if name in explainers else "", "control": is_control_of(spec, {})}
            for spec, name in specs.items()
        },
        "metrics": {name: metric_record(parse_spec(name)) for name in metrics},
    }


def _lines(block: Block, names: Sequence[str], titles: Sequence[str]) -> list[list[str]]:
    """The table of a page without scripts: its headings, then image, class, explainer and values of metrics."""
    lines = [["image", "class", "explainer", *(f"{own['name']} {own['unit']}".strip() for own in block.metrics)]]
    for index, (name, title) in enumerate(zip(names, titles, strict=True)):
        for place, spec in enumerate(block.explainers):
            values = [grid[place][index] for grid in vars(block)["values"]]
            lines.append([name, title, spec, *("—" if value is None else str(value) for value in values)])
    return lines
