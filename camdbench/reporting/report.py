"""The report of a run: one page, in one file, that needs no network."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from html import escape
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd

from camdbench.core.errors import UsageError
from camdbench.core.written_files import write_whole
from camdbench.reporting.chart_tables import chart_tables
from camdbench.reporting.image_choice import Reasons, choose_images
from camdbench.reporting.image_disagreement import disagreement
from camdbench.reporting.report_charts import cost_chart, rank_charts
from camdbench.reporting.report_curves import curve_charts
from camdbench.reporting.report_data import blocks_of, images_of, to_json
from camdbench.reporting.report_page import render
from camdbench.reporting.report_sweeps import sweep_charts
from camdbench.reporting.report_tables import cards, failures, result_tables, sessions
from camdbench.reporting.run_pictures import Picture, RunPictures
from camdbench.tables.comparison import compare
from camdbench.tables.load import load_missing
from camdbench.tables.pool import Pooled, load_pooled
from camdbench.tables.significance import vs_best
from camdbench.tables.summary import is_control_of, metric_fact, reductions_of, summarise

SECTIONS = (
    ("results", "Results"),
    ("distributions", "Values of images"),
    ("ranks", "Ranks"),
    ("cost", "Cost and quality"),
    ("curves", "Curves"),
    ("sweeps", "Varied options"),
    ("images", "Images"),
    ("failures", "Missing values"),
    ("cards", "Models, data, methods"),
    ("provenance", "Provenance"),
)


@dataclass(frozen=True)
class ReportPage:
    """A written report; a notebook shows it.

    Attributes:
        file: the HTML file.
    """

    file: Path

    def __fspath__(self) -> str:
        return str(self.file)

    def _repr_html_(self) -> str:
        """The page in a frame, whose scripts cannot reach the notebook."""
        page = escape(self.file.read_text(encoding="utf-8"), quote=True)
        return f'<iframe sandbox="allow-scripts" title="report" style="width: 100%; height: 800px; border: 0" srcdoc="{page}"></iframe>'


def report(
    *runs: str | Path,
    out: str | Path | None = None,
    images: int = 256,
    image_ids: Sequence[str] = (),
    data_root: str | Path | None = None,
    pictures: bool = True,
) -> ReportPage:
    """Write the report of a run, or of several pooled ones, as one HTML file.

    Args:
        *runs: a run directory, or several whose different cells are pooled.
        out: the file; default: `report.html` in the first run.
        images: number of images that are shown; if there are more, they are chosen (`camdbench/reporting/image_choice.py`).
        image_ids: ids of images that are shown in any case.
        data_root: directory of the data set, if it has moved.
        pictures: whether inputs and maps are shown, or their values alone.

    Returns:
        The page, which a notebook shows; `.file` is its path.

    Raises:
        UsageError: not a run, no finished part, runs that cannot be pooled, or an unknown image.
        CamdbenchError: a file of the run is damaged, or the page cannot be written.
    """
    pooled = load_pooled(runs)
    file = Path(out) if out is not None else pooled.folders[0] / "report.html"
    reasons, spread = _choice(pooled, images, tuple(image_ids))
    shown, missing = _pictures(pooled, reasons, data_root) if pictures else ({}, [])
    text = _page(pooled, reasons, spread, shown, missing)
    write_whole(file, text)
    return ReportPage(file)


def _choice(pooled: Pooled, limit: int, further: tuple[str, ...]) -> tuple[Reasons, dict[str, float]]:
    """Choose images; return their reasons, and the disagreement about every image."""
    about, cells = pooled.about, pooled.cells
    if unknown := sorted(set(further) - set(cells.images)):
        raise UsageError(f"--image-ids = {unknown[0]}: no image of the run {about['run']}")
    names = cells.keys["metric"].unique()
    means = [name for name, reduction in reductions_of(names, about).items() if reduction == "mean"]
    averaged = cells.select(cells.keys["metric"].isin(means).to_numpy())
    controls = frozenset(name for name in cells.keys["explainer"].unique() if is_control_of(name, about))
    spread = disagreement(averaged, controls)
    reasons = choose_images(
        averaged,
        limit,
        rises={name: metric_fact(name, "higher_is_better", about) for name in means},
        controls=controls,
        disagreement=spread,
        seed=int(about["config"].get("seed", 0)),
        further=further,
    )
    return reasons, dict(zip(averaged.images, np.asarray(spread).tolist(), strict=True))


def _pictures(pooled: Pooled, reasons: Reasons, data_root: str | Path | None) -> tuple[dict[str, Picture], list[str]]:
    models = [str(name) for name in pooled.cells.keys["model"].unique()]
    explainers = [str(name) for name in pooled.cells.keys["explainer"].unique()]
    with RunPictures(pooled.folders, pooled.about, data_root=data_root, count=len(reasons)) as source:
        found = {image: source.picture(image, models, explainers) for image in reasons}
        return found, source.missing


def _page(pooled: Pooled, reasons: Reasons, spread: Mapping[str, float], shown: Mapping[str, Picture], missing: Sequence[str]) -> str:
    about, cells = pooled.about, pooled.cells
    summary, pairs = _with_tests(pooled)
    labels = dict(zip(cells.images, cells.labels.tolist(), strict=True))
    pictures = images_of(reasons, labels, about["dataset"].get("classes", ()), shown, spread)
    charts: dict[str, Any] = {"ranks": rank_charts(pooled, pairs), "cost": cost_chart(summary), "curves": curve_charts(pooled, summary)}
    charts["sweeps"] = sweep_charts(summary)
    blocks = blocks_of(cells, summary, list(reasons))
    numbers = chart_tables(blocks, charts)
    data = to_json(blocks, pictures, **charts)
    absent = [load_missing(folder) for folder in pooled.folders]
    return render(
        run=about["run"],
        results=result_tables(summary),
        failures=[own for rows in absent[:1] for own in failures(rows, cells)],
        cards=cards(about),
        sessions=sessions(about),
        numbers=numbers,
        sections=[own for own in SECTIONS if numbers.get(own[0], True)],
        head=_head(about),
        notes=[_chosen(len(reasons), len(cells.images)), *missing],
        data=data,
    )


def _head(about: Mapping[str, Any]) -> list[str]:
    """Lines below the name of the run."""
    config, own = about["config"], about["dataset"]
    started = [session["start"] for session in about["sessions"] if "start" in session]
    images = own.get("images", len(about["ids"]))
    data = f"{config.get('dataset', '')} {config.get('split', '')}, {images} images, target {config.get('target', '')}"
    return [data, f"models: {', '.join(about['models'])}", *([f"started {started[0]}"] if started else [])]


def _with_tests(pooled: Pooled) -> tuple[pd.DataFrame, pd.DataFrame | None]:
    """The summary, with tests against the best explainer, and the comparisons; None if there is one explainer."""
    summary = summarise(pooled)
    try:
        pairs = compare(pooled)
    except UsageError:
        return summary, None
    return vs_best(summary, pairs), pairs


def _chosen(shown: int, count: int) -> str:
    if shown == count:
        return f"All {count} images are shown."
    return (
        f"{shown} of {count} images are shown: 32 at random, up to 32 with a failure or a constant map, the 32 of highest disagreement "
        "between explainers, then the best and worst images of every explainer under every metric. Each names its reasons."
    )
