"""Truth of all networks of an audit: logits of coalitions, measured in parts, and the table of images."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from contextlib import ExitStack
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np
import pandas as pd

from camdbench.auditing.open_runs import AuditedRuns
from camdbench.auditing.coalition_logits import measure_all_logits
from camdbench.auditing.truth import Objective, Truth, truth_of
from camdbench.auditing.truth_files import AuditFolder
from camdbench.core.errors import UsageError
from camdbench.tables.intervals import mean_intervals

if TYPE_CHECKING:
    from camdbench.core.progress import Progress
    from camdbench.datasets.shortcuts.dataset import Shortcuts

CHUNK = 16  # images of one part
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


def measure(
    runs: AuditedRuns,
    images: AuditImages,
    folder: AuditFolder,
    progress: Progress,
    *,
    draws: int,
    seed: int,
    players: Sequence[str],
    device: str = "auto",
) -> list[np.ndarray]:
    """Measure the logits of all coalitions with each network; finished parts are read.

    Args:
        runs: the runs.
        images: their images.
        folder: folder of the audit.
        progress: callbacks; a job is one network on a chunk of images.
        draws: K references of each image.
        seed: seed of the references.
        players: names of the p players.
        device: device of the networks.

    Returns:
        Per network: (N, K, 2^p, C).

    Raises:
        UsageError: a network cannot be opened, or has other weights.
        CamdbenchError: a part is damaged, or cannot be written.
    """
    starts = range(0, len(images.indices), CHUNK)
    held = {(model, chunk): folder.read_logits(model, chunk) for model in runs.models for chunk in range(len(starts))}
    progress.start(folder.root, len(held), sum(own is not None for own in held.values()))
    lacking = [model for model in runs.models if any(held[model, chunk] is None for chunk in range(len(starts)))]
    with ExitStack() as stack:
        opened = {model: stack.enter_context(runs.open_model(model, device=device)) for model in lacking}
        for chunk, start in enumerate(starts):
            own = images.indices[start : start + CHUNK]
            models = [model for model in lacking if held[model, chunk] is None]
            found = measure_all_logits([opened[model] for model in models], images.data, own, draws=draws, seed=seed, players=players)
            for model, logits in zip(models, found, strict=True):
                folder.write_logits(model, chunk, logits.astype(np.float32))
                held[model, chunk] = folder.read_logits(model, chunk)
            if models:
                progress.advance(len(models), f"images {start}-{start + len(own) - 1}")
    return [np.concatenate([part for chunk in range(len(starts)) if (part := held[model, chunk]) is not None]) for model in runs.models]


def truths_of(logits: Sequence[np.ndarray], runs: AuditedRuns, targets: np.ndarray, objective: Objective, players: Sequence[str]) -> list[Truth]:
    """Truth of each network for one objective; targets are (M, N)."""
    return [
        truth_of(own, np.maximum(classes, 0), objective, ids=runs.images, players=players)
        for own, classes in zip(logits, targets, strict=True)
    ]


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
        found |= {f"v_{name}": truth.values[:, :, place].mean(1) for place, name in enumerate(_coalitions(truth.players))}
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
        mean, positive = _mean(share), _mean(np.where(known, truth.share_positive, np.nan))
        rows.append((runs.split, model, int(both.sum()), accuracy, mean, low, high, positive, error**0.5, reliability))
    return pd.DataFrame(rows, columns=list(NETWORK_COLUMNS))


def _mean(values: np.ndarray) -> float:
    known = values[~np.isnan(values)]
    return float(known.mean()) if len(known) else float("nan")
