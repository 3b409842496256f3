"""`camdbench.audit`: audit finished runs, and write tables, text and figure."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

from camdbench.auditing.audit import AuditOptions, AuditTables, WhichTruth, audit_runs
from camdbench.auditing.audit_tables import audit_tables
from camdbench.auditing.truth import Objective
from camdbench.core.progress import Progress
from camdbench.core.written_files import write_whole
from camdbench.reporting.audit_figure import audit_figure
from camdbench.reporting.figure_files import save_figure
from camdbench.tables.render import to_markdown

FIGURE, TEXT = "audit.png", "audit.md"
_DPI = 160


def audit(
    runs: str | Path | Sequence[str | Path],
    *,
    truth: WhichTruth = "auto",
    draws: int = 32,
    objective: Objective = "centred_logit",
    players: Sequence[str] = ("object", "background"),
    cells: int = 0,
    resamples: int = 1000,
    seed: int = 0,
    resample: Sequence[str] = ("images",),
    out: str | Path | None = None,
    retest: Sequence[str | Path] = (),
    minor: Sequence[str | Path] = (),
    disruptive: Sequence[str | Path] = (),
    device: str = "auto",
    progress: Progress | bool | None = None,
) -> AuditTables:
    """Audit explainers and metrics of finished runs: reliability, and on `shortcuts` truth measured by intervention.

    The truth is the share of the object in the effects on a network's score, measured by drawing objects and backgrounds anew (3K + 1
    forward passes an image and network). Nothing is explained or scored anew. An interrupted audit resumes.

    Args:
        runs: run directories with the same data and images, and different networks, explainers or metrics. Truth needs raw maps
            (`save_maps="raw"`).
        truth: `auto` measures the truth if the data set is `shortcuts`; `none` computes reliability alone, from rows.
        draws: K references of each image, a multiple of the number of classes.
        objective: score whose truth is tabled: centred_logit, logit, log_odds or probability.
        players: parts of the image whose effects are measured: object and background, or shape, material and background.
        cells: cells per side whose effects are measured as a second opinion; 0: none.
        resamples: bootstrap resamples.
        seed: seed of references and resamples.
        resample: what intervals of tau resample: `images`, and perhaps `explainers` and training `seeds`.
        out: folder of the files; default: `audit` in the first run.
        retest: repeated runs, such as with another seed; each holds all explainers of `runs`.
        minor: runs with slightly perturbed networks or images, for meta-consistency.
        disruptive: runs with strongly perturbed ones.
        device: device of the networks.
        progress: as for `camdbench.run`.

    Returns:
        The tables, of which `directory` holds `networks.csv`, `explainers.csv`, `metrics.csv`, `truth.parquet`, `audit.md`, `audit.png`.

    Raises:
        UsageError: a run is not finished, lacks raw maps or contradicts another one, or `out` holds another audit.
        CamdbenchError: a file is damaged or cannot be written.
    """
    options = AuditOptions(truth, draws, objective, tuple(players), cells, resamples, seed, tuple(resample))
    given = [runs] if isinstance(runs, str | Path) else list(runs)
    tables = audit_runs(given, options, out=out, retest=retest, minor=minor, disruptive=disruptive, device=device, progress=progress)
    if len(tables.truth):
        save_figure(audit_figure(tables.explainers, tables.metrics), tables.directory / FIGURE, _DPI)
    write_whole(tables.directory / TEXT, to_markdown(audit_tables(tables)), resumes=True)
    return tables
