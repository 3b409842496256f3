"""Truth of all networks of an audit: logits of coalitions, measured in parts, and the table of images."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from contextlib import ExitStack
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np
import pandas as pd

from camdbench.auditing.cell_truth import CellTruth, cell_truth_of, measure_cell_logits
from camdbench.auditing.coalition_logits import measure_all_logits
from camdbench.auditing.open_runs import AuditedRuns
from camdbench.auditing.rank_correlation import mean_defined, spearman_rows
from camdbench.auditing.reference_draws import reference_classes
from camdbench.auditing.truth import Objective, Truth, truth_of
from camdbench.auditing.truth_files import AuditFolder, Game
from camdbench.core.errors import UsageError
from camdbench.tables.intervals import mean_intervals

if TYPE_CHECKING:
    from camdbench.core.progress import Progress
    from camdbench.datasets.shortcuts.dataset import Shortcuts
    from camdbench.models.classifier import Classifier

CHUNK = 16  # images of one part
ORDERS = 20  # in which cells join
NETWORK_COLUMNS = (
    "split", "model", "n", "accuracy", "share", "share_low", "share_high", "share_positive", "se_share", "reliability",
)  # fmt: skip


@dataclass(frozen=True)
class AuditImages:
    """The N images of an audit.

    Attributes:
        data: their data set.
        indices: (N,) their positions in it.
        masks: (N, H, W) bool, the object.
        labels: (N,) classes.
        backgrounds: (N,) classes of the backgrounds.
    """

    data: Shortcuts
    indices: tuple[int, ...]
    masks: np.ndarray
    labels: np.ndarray
    backgrounds: np.ndarray

    @property
    def area(self) -> np.ndarray:
        """(N,) fraction of the image that the object covers."""
        return self.masks.mean((1, 2))


def open_images_of(runs: AuditedRuns) -> AuditImages:
    """Open the data set of the runs.

    Raises:
        UsageError: it is not `shortcuts` as it was.
    """
    from camdbench.datasets.shortcuts.dataset import Shortcuts
    from camdbench.runner.open_images import open_images

    folder, record = runs.pooled.folders[0], runs.records[0]
    with open_images(folder, record) as data:
        if not isinstance(data, Shortcuts):
            raise UsageError(f"{folder}: data set {runs.dataset}: truth needs shortcuts itself; audit reliability alone: --truth none")
        if (now := data.fingerprint()) != (made := record["dataset"]["fingerprint"]):
            raise UsageError(f"{folder}: the data set is another one now (fingerprint {now}, in the run {made}); repeat the run")
        place = {name: index for index, name in enumerate(data.ids)}
        indices = tuple(place[name] for name in runs.images)
        masks = np.stack([data.picture(index).mask for index in indices])
        backgrounds = np.array([data.background(index) for index in indices])
    return AuditImages(data, indices, masks, np.array([data.labels[index] for index in indices]), backgrounds)


@dataclass(frozen=True)
class Passes:
    """What is measured with each network.

    Attributes:
        draws: K references of each image.
        seed: seed of references and orders.
        players: names of the p players.
        cells: cells per side; 0: none.
        device: device of the networks.
    """

    draws: int
    seed: int
    players: tuple[str, ...]
    cells: int = 0
    device: str = "auto"

    def games(self) -> tuple[Game, ...]:
        """The games that are played."""
        return ("draws", "cells") if self.cells else ("draws",)

    def shape(self, game: Game) -> tuple[int, int]:
        """Shape of the logits of one image, without the classes."""
        return (self.draws, 2 ** len(self.players)) if game == "draws" else (ORDERS, self.cells**2 + 1)

    def of(self, game: Game, classifiers: Sequence[Classifier], data: Shortcuts, indices: Sequence[int]) -> Sequence[np.ndarray]:
        """Logits of a game with each network; images of draws are rendered once for all of them."""
        if game == "draws":
            return measure_all_logits(classifiers, data, indices, draws=self.draws, seed=self.seed, players=self.players)
        return [measure_cell_logits(own, data, indices, cells=self.cells, orders=ORDERS, seed=self.seed) for own in classifiers]


def measure(
    runs: AuditedRuns, images: AuditImages, folder: AuditFolder, progress: Progress, passes: Passes
) -> dict[Game, list[np.ndarray]]:
    """Measure the logits of all games with each network; finished parts are read.

    Args:
        runs: the runs.
        images: their images.
        folder: folder of the audit.
        progress: callbacks; a job is one game with one network on a chunk of images.
        passes: what is measured.

    Returns:
        By game, per network: (N, K, 2^p, C), and (N, P, G^2 + 1, C) of cells.

    Raises:
        UsageError: a network cannot be opened, or has other weights.
        CamdbenchError: a part is damaged, or cannot be written.
    """
    starts = range(0, len(images.indices), CHUNK)
    jobs: list[tuple[Game, int, str]] = [
        (game, chunk, model) for game in passes.games() for chunk in range(len(starts)) for model in runs.models
    ]
    sizes = [len(images.indices[start : start + CHUNK]) for start in starts]
    held = {
        (game, chunk, model): folder.read_logits(game, model, chunk, (sizes[chunk], *passes.shape(game))) for game, chunk, model in jobs
    }
    lacking = [job for job in jobs if held[job] is None]
    progress.start(folder.root, len(jobs), len(jobs) - len(lacking))
    with ExitStack() as stack:
        opened = {
            model: stack.enter_context(runs.open_model(model, device=passes.device)) for model in dict.fromkeys(job[2] for job in lacking)
        }
        parts: dict[tuple[Game, int], list[str]] = {}
        for game, chunk, model in lacking:
            parts.setdefault((game, chunk), []).append(model)
        for (game, chunk), models in parts.items():
            own = images.indices[starts[chunk] : starts[chunk] + CHUNK]
            found = passes.of(game, [opened[model] for model in models], images.data, own)
            for model, logits in zip(models, found, strict=True):
                folder.write_logits(game, model, chunk, logits)
                held[game, chunk, model] = logits.astype(np.float32)
            progress.advance(len(models), f"{game}, images {starts[chunk]}-{starts[chunk] + len(own) - 1}")
    return {
        game: [
            np.concatenate([part for chunk in range(len(starts)) if (part := held[game, chunk, model]) is not None])
            for model in runs.models
        ]
        for game in passes.games()
    }


def truths_of(
    logits: Sequence[np.ndarray], images: AuditImages, targets: np.ndarray, passes: Passes, objectives: Sequence[Objective]
) -> dict[Objective, list[Truth]]:
    """Truth of each network by objective; targets are (M, N)."""
    strata = reference_classes(images.data, images.indices, passes.draws, passes.seed)
    ids = [images.data.ids[index] for index in images.indices]
    return {
        objective: [
            truth_of(own, np.maximum(classes, 0), objective, ids=ids, players=passes.players, strata=strata)
            for own, classes in zip(logits, targets, strict=True)
        ]
        for objective in objectives
    }


def cell_truths_of(
    logits: Sequence[np.ndarray], images: AuditImages, targets: np.ndarray, objective: Objective, seed: int
) -> list[CellTruth]:
    """Cell truth of each network for one objective; targets are (M, N)."""
    return [
        cell_truth_of(own, images.data, images.indices, np.maximum(classes, 0), objective, seed=seed)
        for own, classes in zip(logits, targets, strict=True)
    ]


def cell_correlations(means: np.ndarray, truths: Sequence[CellTruth]) -> np.ndarray:
    """Spearman correlations (M, E, N) over cells of the means of maps (M, E, N, G, G) and the effects of the cells."""
    shape = means.shape[:3]
    phi = np.stack([own.phi for own in truths])[:, None]  # (M, 1, N, G, G)
    flat = [np.broadcast_to(part, means.shape).reshape(-1, means.shape[-1] ** 2) for part in (means, phi)]
    return spearman_rows(flat[0], flat[1]).reshape(shape)


def shares_positive(truths: Sequence[Truth], targets: np.ndarray) -> np.ndarray:
    """r+ (M, N); NaN where undefined, or where the explained class is unknown."""
    return np.where(targets < 0, np.nan, np.stack([own.share_positive for own in truths]))


def truth_table(
    runs: AuditedRuns, images: AuditImages, truths: Sequence[Truth], targets: np.ndarray, facts: Mapping[str, object]
) -> pd.DataFrame:
    """One row per network and image: values of coalitions, effects of players, their standard errors, shares and states."""
    parts = list[pd.DataFrame]()
    for model, truth, classes in zip(runs.models, truths, targets, strict=True):
        found: dict[str, object] = {"dataset": runs.dataset, "split": runs.split, "image": list(runs.images), "label": images.labels}
        found |= {"background": images.backgrounds, "model": model, "target": classes, **facts}
        values = np.mean(truth.values, axis=1)
        found |= {f"v_{name}": values[:, place] for place, name in enumerate(_coalitions(truth.players))}
        found |= {f"phi_{name}": truth.phi[:, place] for place, name in enumerate(truth.players)}
        found |= {"interaction": truth.interaction}
        found |= {f"se_{name}": truth.se[:, place] for place, name in enumerate(truth.players)}
        found |= {"share": truth.share, "share_positive": truth.share_positive, "se_share": truth.se_share}
        unknown, undefined = classes < 0, np.isnan(truth.share_positive)
        found["status"] = np.where(unknown, "error", np.where(undefined, "undefined", "ok"))
        reasons = np.where(undefined, "no player speaks for the class", "")
        found["reason"] = np.where(unknown, "the explained class is unknown", reasons)
        table = pd.DataFrame(found)
        numbers = [name for name in table if str(name).startswith(("v_", "phi_", "se_", "share", "interaction"))]
        parts.append(table.assign(**{str(name): table[name].where(table["status"] != "error") for name in numbers}))
    return pd.concat(parts, ignore_index=True)


def _coalitions(players: Sequence[str]) -> list[str]:
    """Names of the coalitions by their index: bit j is player j.

    >>> _coalitions(["object", "background"])
    ['none', 'object', 'background', 'both']
    """
    members = [[name for place, name in enumerate(players) if index >> place & 1] for index in range(2 ** len(players))]
    whole = "both" if len(players) == 2 else "all"
    return ["none" if not own else whole if len(own) == len(players) else "_".join(own) for own in members]


def network_table(
    runs: AuditedRuns, images: AuditImages, logits: Sequence[np.ndarray], truths: Sequence[Truth], targets: np.ndarray, seed: int
) -> pd.DataFrame:
    """Each network, with the columns `NETWORK_COLUMNS`: accuracy in %, mean r with its interval, mean r+, sampling error, reliability.

    `se_share` is the root mean square of the standard errors of r, `reliability` 1 - mean(se^2) / var(r) over images.
    """
    rows = list[tuple[object, ...]]()
    for model, own, truth, classes in zip(runs.models, logits, truths, targets, strict=True):
        known = classes >= 0
        share, se = np.where(known, truth.share, np.nan), np.where(known, truth.se_share, np.nan)
        both = ~(np.isnan(share) | np.isnan(se))
        error = float(np.mean(se[both] ** 2)) if both.any() else np.nan
        spread = float(np.var(share[both], ddof=1)) if both.sum() > 1 else np.nan
        low, high = mean_intervals(share[None], seed=seed)[0]
        accuracy = 100 * float(np.mean(own[:, 0, -1].argmax(-1) == images.labels))
        reliability = 1 - error / spread if spread and spread > 0 else np.nan
        mean, positive = mean_defined(share), mean_defined(np.where(known, truth.share_positive, np.nan))
        rows.append((runs.split, model, int(both.sum()), accuracy, mean, low, high, positive, error**0.5, reliability))
    return pd.DataFrame(rows, columns=list(NETWORK_COLUMNS))
