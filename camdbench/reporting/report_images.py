"""Which images a report shows, and the pictures of each; of one run, or of two side by side."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from contextlib import ExitStack
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import numpy as np

from camdbench.core.errors import UsageError
from camdbench.reporting.image_choice import Reasons, choose_images
from camdbench.reporting.image_disagreement import disagreement
from camdbench.reporting.report_cards import data_facts
from camdbench.reporting.report_files import InFolder, OneFile
from camdbench.reporting.report_runs import ReportRun
from camdbench.reporting.run_pictures import RunPictures
from camdbench.reporting.two_runs import moved
from camdbench.tables.cell_values import Cells, join_cells
from camdbench.tables.summary import is_control_of, metric_fact, reductions_of


@dataclass(frozen=True)
class ImageChoice:
    """Images of a report.

    Attributes:
        reasons: why each was chosen.
        facts: numbers of each: label, disagreement, how far it moved between two runs.
        count: number of all images.
    """

    reasons: Reasons
    facts: dict[str, dict[str, Any]]
    count: int


def choose(shown: Sequence[ReportRun], limit: int, further: tuple[str, ...]) -> ImageChoice:
    """Choose images by the cells of all runs."""
    metrics = {name: facts for run in reversed(shown) for name, facts in run.about.get("metrics", {}).items()}
    explainers = {name: facts for run in reversed(shown) for name, facts in run.about.get("explainers", {}).items()}
    about = shown[0].about | {"metrics": metrics, "explainers": explainers}
    averaged = join_cells([_means(run.cells, run.about) for run in shown])
    if unknown := sorted(set(further) - set(averaged.images)):
        raise UsageError(f"--image-ids = {unknown[0]}: no image of the run {' or '.join(run.title for run in shown)}")
    controls = frozenset(name for name in averaged.keys["explainer"].unique() if is_control_of(name, about))
    spread = disagreement(averaged, controls)
    moves = _moves(shown)
    reasons = choose_images(
        averaged,
        limit,
        rises={name: metric_fact(name, "higher_is_better", about) for name in averaged.keys["metric"].unique()},
        controls=controls,
        disagreement=spread,
        moved=np.array([moves.get(name, np.nan) for name in averaged.images]) if moves else None,
        seed=int(about["config"].get("seed", 0)),
        further=further,
    )
    facts = {
        name: {"label": int(label), "disagreement": float(own)} | ({"moved": moves.get(name, math.nan)} if moves else {})
        for name, label, own in zip(averaged.images, averaged.labels, spread, strict=True)
    }
    if len(shown) > 1:
        common = set.intersection(*(set(run.cells.images) for run in shown))
        for name, own in facts.items():
            own["common"] = name in common
    return ImageChoice(reasons, facts, len(averaged.images))


def _moves(shown: Sequence[ReportRun]) -> dict[str, float]:
    """How far each image moved between two runs on the same data; empty otherwise."""
    return {} if len(shown) < 2 or shown[0].apart else moved(*(_means(run.pooled.cells, run.about) for run in shown))


def _means(cells: Cells, about: Mapping[str, Any]) -> Cells:
    means = [name for name, reduction in reductions_of(cells.keys["metric"].unique(), about).items() if reduction == "mean"]
    return cells.select(cells.keys["metric"].isin(means).to_numpy())


def reason_against(shown: Sequence[ReportRun]) -> str:
    """Why pictures are not shown by default; empty if they are."""
    reasons = [reason for run in shown if (reason := data_facts(run.about).get("no_copies"))]
    return f"Inputs and maps are not shown: {reasons[0]}; --show-images shows them." if reasons else ""


def pictures_of(
    shown: Sequence[ReportRun], chosen: ImageChoice, data_root: str | Path | None, place: OneFile | InFolder
) -> tuple[dict[str, dict[str, Any]], list[str]]:
    """Facts of the pictures of each image, and sentences on what is missing."""
    found = dict[str, dict[str, Any]]()
    with ExitStack() as stack:
        count = 1 if place.in_files else len(chosen.reasons)
        sources = [stack.enter_context(RunPictures(run.pooled.folders, run.about, data_root=data_root, count=count)) for run in shown]
        for image in chosen.reasons:
            own = [_picture(run, source, image) for run, source in zip(shown, sources, strict=True)]
            first = next((facts for facts in own if facts["input"]), own[0])
            maps = {model: texts for facts in own for model, texts in facts["maps"].items()}
            found[image] = place.keep(first | {"maps": maps})
        missing = [run.labelled(text) for run, source in zip(shown, sources, strict=True) for text in source.missing]
        return found, [*missing, *_licences(shown)]


def _picture(run: ReportRun, source: RunPictures, image: str) -> dict[str, Any]:
    models, explainers = (run.pooled.cells.keys[kind].unique().tolist() for kind in ("model", "explainer"))
    facts = asdict(source.picture(run.own_image(image), models, explainers))
    return facts | {"maps": {run.labelled(model): own for model, own in facts["maps"].items()}}


def _licences(shown: Sequence[ReportRun]) -> list[str]:
    """The terms under which the pictures of known data sets are used."""
    found = {str(run.about["config"]["dataset"]): data_facts(run.about).get("licence", "") for run in shown}
    return [f"Licence of {name}: {licence}. The page holds copies of its pictures." for name, licence in found.items() if licence]
