"""Audit of finished runs: reliability of metrics, and explainers and metrics against truth measured by intervention."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Literal, cast

import numpy as np
import pandas as pd

from camdbench.auditing.cell_truth import CellTruth, check_cells
from camdbench.auditing.coalition_logits import DEFAULT_PLAYERS, check_players
from camdbench.auditing.explainer_truth import ExplainerInputs, explainer_table, same_explainers
from camdbench.auditing.map_shares import MapShares, map_shares, refuse_other_maps
from camdbench.auditing.measured import (
    ORDERS,
    AuditImages,
    Passes,
    cell_correlations,
    cell_truths_of,
    measure,
    network_table,
    open_images_of,
    shares_positive,
    truth_table,
    truths_of,
)
from camdbench.auditing.metric_table import Audited, metric_table
from camdbench.auditing.metric_truth import TruthInputs
from camdbench.auditing.open_runs import AuditedRuns, missing_values, open_runs
from camdbench.auditing.rank_correlation import mean_defined
from camdbench.auditing.reference_draws import check_draws
from camdbench.auditing.reliability import reliability_table
from camdbench.auditing.repeated_runs import agreement_table, meta_table
from camdbench.auditing.truth import Objective, Truth, check_objective
from camdbench.auditing.truth_files import AuditFolder
from camdbench.core import provenance
from camdbench.core.errors import UsageError
from camdbench.core.network_options import check_choice
from camdbench.core.progress import Progress, showing
from camdbench.runner.saved_maps import fingerprint
from camdbench.tables.summary import metric_fact
from camdbench.tables.ties import tie_tolerance

WhichTruth = Literal["auto", "none"]
Unit = Literal["images", "explainers", "seeds"]
AGREEING: tuple[Objective, ...] = ("centred_logit", "logit", "log_odds")
"""Scores that must agree before a conclusion is printed."""


@dataclass(frozen=True)
class AuditOptions:
    """Options of an audit on which its numbers depend.

    Attributes:
        truth: `auto` measures the truth where the data allow it, `none` does not.
        draws: K references of each image, a multiple of the number of classes.
        objective: score whose truth is tabled.
        players: parts of the image whose effects are measured.
        cells: cells per side of the second opinion; 0: none.
        resamples: bootstrap resamples.
        seed: seed of references and resamples.
        resample: what intervals of tau resample: images, and perhaps explainers and training seeds.
    """

    truth: WhichTruth = "auto"
    draws: int = 32
    objective: Objective = "centred_logit"
    players: tuple[str, ...] = DEFAULT_PLAYERS
    cells: int = 0
    resamples: int = 1000
    seed: int = 0
    resample: tuple[str, ...] = ("images",)

    def check(self) -> None:
        """Refuse values out of range.

        Raises:
            UsageError: a value is out of range.
        """
        check_choice("truth", self.truth, WhichTruth)
        check_objective(self.objective)
        check_players(self.players)
        for unit in self.resample:
            check_choice("resample", unit, Unit)
        for name, least in (("draws", 2), ("cells", 0), ("resamples", 1), ("seed", 0)):
            if getattr(self, name) < least:
                raise UsageError(f"--{name} = {getattr(self, name)}: out of range; use {least} or more")


@dataclass(frozen=True)
class AuditTables:
    """Tables of an audit; without truth, only `metrics`, `agreement` and `meta` have rows.

    Attributes:
        directory: folder of the files.
        networks: accuracy, shares of the object and reliability of each network.
        explainers: explainers against the truth, per network, and over all as model `*`.
        metrics: metrics against the truth with their reliability, per network, truth and set, and over all as model `*`.
        truth: truth of each image with each network.
        agreement: agreement of metrics with their other protocols and with repeated runs.
        meta: meta-consistency of metrics, if perturbed runs are given.
        notes: sentences on what was computed.
        missing: values and maps that are missing, each with the number of images.
    """

    directory: Path
    networks: pd.DataFrame
    explainers: pd.DataFrame
    metrics: pd.DataFrame
    truth: pd.DataFrame
    agreement: pd.DataFrame
    meta: pd.DataFrame
    notes: tuple[str, ...] = ()
    missing: tuple[tuple[str, int], ...] = field(default=())


@dataclass(frozen=True)
class _Measured:
    """Truth of all networks, and what maps show."""

    images: AuditImages
    targets: np.ndarray
    logits: Sequence[np.ndarray]
    truths: Sequence[Truth]
    shares: MapShares
    share_true: dict[str, np.ndarray]
    halves: np.ndarray
    cells: Sequence[CellTruth]

    @property
    def cell_spearman(self) -> np.ndarray | None:
        """(M, E, N) Spearman correlations with the effects of cells, if these are measured."""
        return cell_correlations(self.shares.cells, self.cells) if self.cells else None


def audit_runs(
    runs: Sequence[str | Path],
    options: AuditOptions,
    *,
    out: str | Path | None = None,
    retest: Sequence[str | Path] = (),
    minor: Sequence[str | Path] = (),
    disruptive: Sequence[str | Path] = (),
    device: str = "auto",
    progress: Progress | bool | None = None,
) -> AuditTables:
    """Audit finished runs and write the tables; arguments and errors as of `camdbench.audit`."""
    options.check()
    if bool(minor) != bool(disruptive):
        raise UsageError(f"--{'minor' if minor else 'disruptive'}: meta-consistency needs both kinds of perturbed runs; give the other too")
    found = open_runs(runs)
    others = {"retest": retest, "minor": minor, "disruptive": disruptive}
    opened = {name: [open_runs([folder]) for folder in folders] for name, folders in others.items()}
    measures = options.truth == "auto" and found.is_drawn
    images = None
    if measures:
        refuse_other_maps(found)
        images = open_images_of(found)
        check_draws(options.draws, images.data.n_classes)
        if options.cells:
            check_cells(options.cells, ORDERS, images.data.size)
    folder = AuditFolder(Path(out) if out is not None else found.pooled.folders[0] / "audit")
    folder.claim(_record(found, options, opened))
    with showing(progress) as shown:
        measured = None if images is None else _measure(found, images, options, folder, shown, device)
    tables = _tables(found, options, opened, measured, folder)
    _write(tables, folder)
    return tables


def _record(runs: AuditedRuns, options: AuditOptions, others: dict[str, list[AuditedRuns]]) -> dict[str, object]:
    """Everything on which the files depend."""
    named = {name: [fingerprint(folder) for own in opened for folder in own.pooled.folders] for name, opened in others.items()}
    return {
        "runs": [[folder.name, fingerprint(folder)] for folder in runs.pooled.folders],
        **{name: hashes for name, hashes in named.items() if hashes},
        "options": {**vars(options), "players": list(options.players), "resample": list(options.resample)},
        "explainers": list(runs.explainers),
        "metrics": list(runs.metrics),
        "code": provenance.code_hash("auditing", "tables"),
        "revision": provenance.git_revision(),
    }


def _measure(
    runs: AuditedRuns, images: AuditImages, options: AuditOptions, folder: AuditFolder, progress: Progress, device: str
) -> _Measured:
    targets = np.stack([runs.targets(model) for model in runs.models])
    passes = Passes(options.draws, options.seed, options.players, options.cells, device)
    games = measure(runs, images, folder, progress, passes)
    logits = games["draws"]
    truths = truths_of(logits, images, targets, passes, list(dict.fromkeys((options.objective, *AGREEING))))
    main = truths[options.objective]
    halves = np.stack([shares_positive([own.half(place) for own in main], targets) for place in (0, 1)])
    shares = map_shares(runs, images.masks, options.cells)
    cells = cell_truths_of(games["cells"], images, targets, options.objective, options.seed) if options.cells else []
    return _Measured(
        images, targets, logits, main, shares, {name: shares_positive(own, targets) for name, own in truths.items()}, halves, cells
    )


def _tables(
    runs: AuditedRuns, options: AuditOptions, others: dict[str, list[AuditedRuns]], measured: _Measured | None, folder: AuditFolder
) -> AuditTables:
    values = {metric: runs.values(metric) for metric in runs.metrics}
    tolerances = {metric: tie_tolerance(metric_fact(metric, "unit", runs.about), own) for metric, own in values.items()}
    share_map = None if measured is None else measured.shares.share
    same_as = same_explainers(runs.explainers, share_map, list(values.values()), list(tolerances.values()))
    audited = Audited(explainers=runs.explainers, networks=runs.models, sets=runs.sets, same_as=same_as, recipes=runs.recipes)
    kept = audited.distinct("real")
    settings: dict[str, int] = {"resamples": options.resamples, "seed": options.seed}
    reliability = reliability_table({name: own[:, kept] for name, own in values.items()}, runs.models, **settings)
    agreement = agreement_table(values, kept, runs, others["retest"])
    meta = meta_table(values, kept, runs, others["minor"], others["disruptive"]) if others["minor"] else pd.DataFrame()
    missing = missing_values(runs)
    empty, notes = pd.DataFrame(), _notes(runs, options, audited, measured)
    if measured is None or share_map is None:
        metrics = _with_facts(runs, reliability)
        return AuditTables(folder.root, empty, empty, metrics, empty, agreement, meta, notes, tuple(missing))
    main = measured.share_true[options.objective]
    place = {name: index for index, name in enumerate(options.players)}["background"]
    cell_spearman = measured.cell_spearman
    inputs = ExplainerInputs(
        share_map=share_map,
        share_true=main,
        area=measured.images.area,
        cell_spearman=cell_spearman,
        outside=np.where(measured.shares.signed[None, :, None], measured.shares.outside, np.nan),
        phi_background=np.stack([own.phi[:, place] for own in measured.truths]),
        se_background=np.stack([own.se[:, place] for own in measured.truths]),
    )
    explainers = explainer_table(runs.explainers, runs.models, inputs, sets=runs.sets, same_as=same_as, **settings)
    truths = TruthInputs(share_map=share_map, share_true=measured.share_true, halves=measured.halves, cell_spearman=cell_spearman)
    taus = metric_table(
        values, audited, truths, tolerances=tolerances, sets=("real", "real+controls"), resample=options.resample, **settings
    )
    facts = {"score": options.objective, "draws": options.draws, "seed": options.seed}
    if lost := measured.shares.missing():
        missing.append(("saved maps", lost))
    return AuditTables(
        directory=folder.root,
        networks=_networks(runs, options, measured),
        explainers=explainers.assign(split=runs.split)[["split", *explainers.columns]],
        metrics=_with_facts(runs, taus.merge(reliability.drop(columns="reason"), on=["model", "metric"], how="left")),
        truth=truth_table(runs, measured.images, measured.truths, measured.targets, facts),
        agreement=agreement,
        meta=meta,
        notes=notes,
        missing=tuple(missing),
    )


def _networks(runs: AuditedRuns, options: AuditOptions, measured: _Measured) -> pd.DataFrame:
    """The table of networks, with split-half reliability and object's share of the cells if these are measured."""
    found = network_table(runs, measured.images, measured.logits, measured.truths, measured.targets, options.seed)
    if not measured.cells:
        return found
    shares = [mean_defined(own.object_share(measured.images.masks)) for own in measured.cells]
    return found.assign(cell_reliability=[mean_defined(own.reliability) for own in measured.cells], cell_share=shares)


def _with_facts(runs: AuditedRuns, table: pd.DataFrame) -> pd.DataFrame:
    """Rows of metrics with split, protocol and its hash."""
    named = {name: runs.about["metrics"][name] for name in runs.metrics}
    facts = {
        "split": runs.split,
        "protocol": table["metric"].map({name: own.get("protocol", "") for name, own in named.items()}),
        "protocol_hash": table["metric"].map({name: own.get("protocol_hash", "") for name, own in named.items()}),
    }
    first = ["split", "model", "metric", "protocol", "protocol_hash"]
    found = table.assign(**facts)
    return found[[*first, *(name for name in found if name not in first)]]


def _notes(runs: AuditedRuns, options: AuditOptions, audited: Audited, measured: _Measured | None) -> tuple[str, ...]:
    kept = len(audited.distinct("real"))
    equal = [f"{name} = {same}" for name, same in zip(runs.explainers, audited.same_as, strict=True) if same]
    notes = [
        f"{len(runs.models)} network{'s' * (len(runs.models) > 1)}, {len(runs.images)} images of {runs.split}, {kept} distinct explainers."
    ]
    if equal:
        notes.append(f"Equal on every image, counted once: {', '.join(equal)}.")
    if left := runs.left_out:
        notes.append(f"Left out, as a network lacks them: {', '.join(left)}.")
    if measured is not None:
        intervals = f"intervals: 95 %, {options.resamples} resamples of {' and '.join(options.resample)}"
        notes.append(f"Score {options.objective}, {options.draws} draws, seed {options.seed}; {intervals}.")
    elif options.truth == "none":
        notes.append("Reliability alone (--truth none); it does not say whether a metric is right.")
    else:
        notes.append(
            f"Reliability alone, as truth needs the data set shortcuts, not {runs.dataset}; it does not say whether a metric is right."
        )
    return tuple(notes)


def _write(tables: AuditTables, folder: AuditFolder) -> None:
    """Write the tables that have rows."""
    if len(tables.truth):
        folder.write_table("truth.parquet", tables.truth)
    for name in ("networks", "explainers", "metrics", "agreement", "meta"):
        table = cast("pd.DataFrame", getattr(tables, name))
        if len(table):
            folder.write_table(f"{name}.csv", table)
