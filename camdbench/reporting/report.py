"""The report of a run: one page, in one file or in a folder, that needs no network."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from contextlib import AbstractContextManager
from dataclasses import dataclass
from html import escape
from pathlib import Path
from typing import Any, Literal

import pandas as pd

from camdbench.core.errors import UsageError
from camdbench.reporting.chart_tables import chart_tables
from camdbench.reporting.report_cards import merged_cards
from camdbench.reporting.report_charts import cost_chart, rank_charts
from camdbench.reporting.report_curves import curve_charts
from camdbench.reporting.report_data import Block, blocks_of, images_of, to_json
from camdbench.reporting.report_files import InFolder, OneFile, in_folder, one_file
from camdbench.reporting.report_images import ImageChoice, choose, pictures_of, reason_against
from camdbench.reporting.report_mosaics import mosaic_pictures
from camdbench.reporting.report_page import render
from camdbench.reporting.report_provenance import image_command, provenance
from camdbench.reporting.report_runs import ReportRun, open_runs
from camdbench.reporting.report_sweeps import sweep_charts
from camdbench.reporting.report_tables import Failure, ResultTable, copies_of, failures, result_tables
from camdbench.reporting.run_pictures import predictions_of
from camdbench.reporting.two_runs import two_runs
from camdbench.tables.comparison import compare
from camdbench.tables.load import load_missing
from camdbench.tables.pool import Pooled
from camdbench.tables.sessions import lost_line
from camdbench.tables.significance import vs_best
from camdbench.tables.summary import summarise

SECTIONS = (
    ("results", "Results"),
    ("pair", "Two runs"),
    ("distributions", "Values of images"),
    ("ranks", "Ranks"),
    ("cost", "Cost and quality"),
    ("curves", "Curves"),
    ("sweeps", "Varied options"),
    ("mosaics", "Aggregated attributions"),
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
        """The page in a frame, whose scripts cannot reach the notebook; of a folder, its address."""
        if self.file.name == "index.html":
            return f"<p>report: <code>{escape(str(self.file))}</code></p>"
        page = escape(self.file.read_text(encoding="utf-8"), quote=True)
        return f'<iframe sandbox="allow-scripts" title="report" style="width: 100%; height: 800px; border: 0" srcdoc="{page}"></iframe>'


def report(
    *runs: str | Path,
    out: str | Path | None = None,
    images: int | Literal["all"] = 256,
    image_ids: Sequence[str] = (),
    data_root: str | Path | None = None,
    pictures: bool | None = None,
) -> ReportPage:
    """Write the report of a run, of several pooled ones, or of two side by side, as one HTML file or as a folder.

    Args:
        *runs: a run directory; several whose different cells are pooled; or two others, which are compared.
        out: the file, or the folder if `images` is `all`; default: `report.html`, or `report`, in the first run.
        images: number of images that are shown; if there are more, they are chosen (`camdbench/reporting/image_choice.py`). `all`
            writes a folder that shows every image.
        image_ids: ids of images that are shown in any case.
        data_root: directory of the data set, if it has moved.
        pictures: whether inputs and maps are shown, or their values alone; default: unless the data set should not be copied.

    Returns:
        The page, which a notebook shows; `.file` is its path.

    Raises:
        UsageError: not a run, no finished part, three or more runs that cannot be pooled, an unknown image, or a place that cannot be
            written.
        CamdbenchError: a file of a run is damaged, or the page cannot be written.
    """
    if images != "all" and (type(images) is not int or images < 0):
        raise UsageError(f"images = {images!r}: expected a number from 0, or all")
    shown = open_runs(runs)
    with _place(shown, out, in_files=images == "all") as place:
        count = sum(len(run.cells.images) for run in shown) if images == "all" else images
        chosen = choose(shown, count, tuple(image_ids))
        reason = reason_against(shown) if pictures is None else ""
        found, notes = pictures_of(shown, chosen, data_root, place) if (pictures is None and not reason) or pictures else ({}, [reason])
        text, data = _page(shown, chosen, found, [*filter(None, notes)], place, data_root)
        place.write(text, data)
    return ReportPage(place.page)


def _place(shown: Sequence[ReportRun], out: str | Path | None, *, in_files: bool) -> AbstractContextManager[OneFile | InFolder]:
    home = shown[0].pooled.folders[0]
    place = None if out is None else Path(out)
    return in_folder(place, home) if in_files else one_file(place, home)


def _page(
    shown: Sequence[ReportRun],
    chosen: ImageChoice,
    pictures: Mapping[str, Mapping[str, Any]],
    notes: Sequence[str],
    place: OneFile | InFolder,
    data_root: str | Path | None = None,
) -> tuple[str, str]:
    """The page, and the data in it."""
    parts = [_of_run(run, chosen) for run in shown]
    images = images_of(chosen.reasons, [_known(run) for run in shown], chosen.facts, pictures)
    pair = two_runs(*shown) if len(shown) == 2 else None
    blocks = [block for part in parts for block in part.blocks]
    charts = {name: [chart for part in parts for chart in part.charts[name]] for name in parts[0].charts}
    numbers = chart_tables(blocks, charts)
    mosaics = [own for run in shown for own in mosaic_pictures(run, data_root)]
    data = to_json(
        blocks,
        images,
        **charts,
        copies=[text for part in parts for text in part.copies],
        command="" if pair else image_command(shown[0].about),
    )
    page = render(
        in_files=place.in_files,
        run=" · ".join(run.title for run in shown),
        results=[table for part in parts for table in part.results],
        failures=[own for part in parts for own in part.failures],
        cards=merged_cards(shown),
        provenance=[provenance(run, place.page.parent) for run in shown],
        sections=[own for own in SECTIONS if {"pair": pair, "mosaics": mosaics, **numbers}.get(own[0], True)],
        numbers=numbers,
        pair=pair,
        mosaics=mosaics,
        head=[line for run in shown for line in _head(run)],
        notes=[_chosen(len(chosen.reasons), chosen.count, two=pair is not None), *notes],
        data=data,
    )
    return page, data


@dataclass(frozen=True)
class _OfRun:
    """What the page shows of one run."""

    results: list[ResultTable]
    copies: list[dict[str, str]]
    blocks: list[Block]
    charts: dict[str, list[dict[str, Any]]]
    failures: list[Failure]


def _of_run(run: ReportRun, chosen: ImageChoice) -> _OfRun:
    summary, pairs = _with_tests(run.pooled)
    charts = {"ranks": rank_charts(run.pooled, pairs), "cost": cost_chart(summary), "curves": curve_charts(run.pooled, summary)}
    charts["sweeps"] = sweep_charts(summary)
    missing = [load_missing(folder) for folder in run.pooled.folders]
    return _OfRun(
        results=result_tables(summary, run.labelled("")),
        copies=copies_of(summary),
        blocks=blocks_of(run.cells, run.named(summary), list(chosen.reasons), run.title),
        charts={name: [own | {"model": run.labelled(own["model"])} for own in found] for name, found in charts.items()},
        failures=failures(run.named(pd.concat(missing)).assign(image=lambda own: own["image"].map(run.image)), run.cells),
    )


def _known(run: ReportRun) -> dict[str, dict[str, Any]]:
    """By image: the name of its class, and the prediction of each model."""
    names = run.about["dataset"].get("classes", ())
    found = {
        image: {"class": names[label] if 0 <= label < len(names) else ""}
        for image, label in zip(run.cells.images, run.cells.labels, strict=True)
    }
    for image, own in predictions_of(run.pooled.folders, names).items():
        found.setdefault(run.image(image), {})["predictions"] = {run.labelled(model): facts for model, facts in own.items()}
    return found


def _head(run: ReportRun) -> list[str]:
    """Lines below the name of the run."""
    config, own = run.about["config"], run.about["dataset"]
    started = [session["start"] for session in run.about["sessions"] if "start" in session]
    images = own.get("images", len(run.about["ids"]))
    data = f"{config.get('dataset', '')} {config.get('split', '')}, {images} images, target {config.get('target', '')}"
    data += f", objective {own_score}" if (own_score := config.get("objective", "logit")) != "logit" else ""
    further = [f"started {started[0]}"] if started else []
    lost = lost_line(run.about["sessions"])
    lines = [data, f"models: {', '.join(run.about['models'])}", *further]
    return (
        [run.labelled("; ".join(lines))] * bool(run.label)
        + lines * (not run.label)
        + [text if text.startswith(run.title) else run.labelled(text) for text in (run.unfinished(), lost) if text]
    )


def _with_tests(pooled: Pooled) -> tuple[pd.DataFrame, pd.DataFrame | None]:
    """The summary, with tests against the best explainer, and the comparisons; None if there is one explainer."""
    summary = summarise(pooled)
    try:
        pairs = compare(pooled)
    except UsageError:
        return summary, None
    return vs_best(summary, pairs), pairs


def _chosen(shown: int, count: int, *, two: bool) -> str:
    if shown == count:
        return f"All {count} images are shown."
    moves = "the 32 that moved most between the runs, " if two else ""
    return (
        f"{shown} of {count} images are shown: 32 at random, up to 32 with a failure or a constant map, the 32 of highest disagreement "
        f"between explainers, {moves}then the best and worst images of every explainer under every metric. Each names its reasons."
    )
