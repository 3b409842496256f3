"""What raw maps show: the share of their positive mass on the object, the sign outside it, and means of grid cells."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from shlex import quote
from typing import Any

import numpy as np
import torch
from torch import Tensor

from camdbench.auditing.open_runs import AuditedRuns
from camdbench.core.errors import UsageError
from camdbench.functional.normalise import is_constant, upsample
from camdbench.runner.run_directory import PartKey, part_file
from camdbench.runner.saved_maps import maps_of_part
from camdbench.runner.view_maps import has_views

OK, NO_MAP, NOT_FINITE, CONSTANT, NOT_POSITIVE = "ok", "no_map", "not_finite", "constant_map", "not_positive"
STATES = (OK, NO_MAP, NOT_FINITE, CONSTANT, NOT_POSITIVE)  # of a map; all but the first have no share


@dataclass(frozen=True)
class MapShares:
    """Raw maps of E explainers on N images with M networks, in numbers.

    Attributes:
        share: (M, E, N) s = mass of max(map, 0) on the object over the whole mass, in [0, 1]; NaN where the state is not ok.
        outside: (M, E, N) sum of the signed map outside the object over the sum of its magnitude, in [-1, 1]; NaN as in `share`.
        signed: (E,) whether a map of the explainer has negative values.
        cells: (M, E, N, G, G) means of the signed map in a grid of cells; of size 0 without cells.
        state: (M, E, N) index in `STATES`.
    """

    share: np.ndarray
    outside: np.ndarray
    signed: np.ndarray
    cells: np.ndarray
    state: np.ndarray

    def missing(self) -> int:
        """Number of maps that are not there or not finite."""
        return int(np.isin(self.state, [STATES.index(NO_MAP), STATES.index(NOT_FINITE)]).sum())


def map_shares(runs: AuditedRuns, masks: np.ndarray, cells: int = 0) -> MapShares:
    """Read the raw maps of all explainers.

    Args:
        runs: the runs.
        masks: (N, H, W) bool, the object of each image of the runs.
        cells: G, cells per side; 0: none.

    Raises:
        CamdbenchError: a file of maps is damaged.
    """
    shape = len(runs.models), len(runs.explainers), len(runs.images)
    share, outside, state = np.full(shape, np.nan), np.full(shape, np.nan), np.full(shape, STATES.index(NO_MAP), dtype=np.uint8)
    means, signed = np.full((*shape, cells, cells), np.nan), np.zeros(shape[1], dtype=bool)
    objects = torch.from_numpy(masks)
    for m, model in enumerate(runs.models):
        for e, explainer in enumerate(runs.explainers):
            for places, raw in _maps_of(runs, model, explainer):
                found = _numbers(raw, objects[places], cells)
                share[m, e, places], outside[m, e, places], state[m, e, places], negative, means[m, e, places] = found
                signed[e] |= negative
    return MapShares(share, outside, signed, means, state)


def _maps_of(runs: AuditedRuns, model: str, explainer: str) -> list[tuple[list[int], Tensor]]:
    """Positions of images and their raw maps (B, h, w), those of one size and file together."""
    if (where := runs.folder_of(model, explainer)) is None:
        return []
    folder, record = where
    found, size = list[tuple[list[int], Tensor]](), record["chunk_size"]
    for chunk, start in enumerate(range(0, len(runs.images), size)):
        stop = min(start + size, len(runs.images))
        file = part_file(folder, "maps", PartKey(model, explainer, chunk))
        groups = dict[tuple[int, ...], dict[int, Tensor]]()
        for place, own in sorted(maps_of_part(file, range(stop - start)).items()):
            groups.setdefault(tuple(own.shape), {})[start + place] = own
        found += [(list(group), torch.stack(list(group.values()))) for group in groups.values()]
    return found


def _numbers(raw: Tensor, objects: Tensor, cells: int) -> tuple[np.ndarray, np.ndarray, np.ndarray, bool, np.ndarray]:
    """Shares (B,), signs outside (B,), states (B,), whether a value is negative, and means of cells (B, G, G) of raw maps (B, h, w)."""
    size = int(objects.shape[-2]), int(objects.shape[-1])
    finite, constant = raw.flatten(1).isfinite().all(1), is_constant(raw.nan_to_num())
    signed = upsample(raw.double(), size)
    positive = upsample(raw.double().clamp_min(0), size)
    total, magnitude = positive.sum((1, 2)), signed.abs().sum((1, 2))
    state = torch.zeros(len(raw), dtype=torch.uint8)
    for name, wrong in ((NOT_POSITIVE, total <= 0), (CONSTANT, constant), (NOT_FINITE, ~finite)):
        state[wrong] = STATES.index(name)
    good = state == 0
    share = torch.where(good, (positive * objects).sum((1, 2)) / total, torch.nan)
    outside = torch.where(good, (signed * ~objects).sum((1, 2)) / magnitude, torch.nan)
    means = torch.nn.functional.adaptive_avg_pool2d(signed[:, None], cells)[:, 0] if cells else torch.empty(len(raw), 0, 0)
    negative = bool((raw[finite] < 0).any())
    return share.numpy(), outside.numpy(), state.numpy(), negative, means.numpy()


def refuse_other_maps(runs: AuditedRuns) -> None:
    """Check that every map was stored raw.

    Raises:
        UsageError: a run has no maps, or maps for viewing; names the command that would work.
    """
    for folder, record in zip(runs.pooled.folders, runs.records, strict=True):
        kept = record["config"].get("save_maps", "none")
        viewed = _viewed(folder, record) if kept == "view" else []
        if kept == "none" or viewed or (kept == "view" and record.get("given")):
            what = f"maps of {', '.join(viewed)} are kept for viewing" if viewed else "the run has no saved maps"
            command = f"camdbench run --config {quote(str(folder / 'run.yaml'))} --save-maps raw --out NEW"
            raise UsageError(
                f"{folder}: {what}, and truth needs raw ones; repeat the run: {command}; or audit reliability alone: --truth none"
            )


def _viewed(folder: Path, record: Mapping[str, Any]) -> list[str]:
    """Explainers of a run with maps that are to be seen."""
    return [
        explainer
        for explainer in record["explainers"]
        if any(
            has_views(file)
            for model in record["models"]
            for file in sorted(part_file(folder, "maps", PartKey(model, explainer, 0)).parent.glob("part-*.safetensors"))
        )
    ]
