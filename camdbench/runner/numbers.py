"""The numbers that a table would give, of judgements that are in memory and in no run directory."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import numpy as np

from camdbench.core.catalogue import metrics as registry
from camdbench.core.catalogue import protocol_of
from camdbench.core.rows import SCORED
from camdbench.core.spec import Spec
from camdbench.runner.judge import Judged
from camdbench.tables.aggregates import SHARES, CellData, aggregate


def numbers_of(specs: Sequence[Spec], parts: Mapping[int, Sequence[Judged]], labels: np.ndarray) -> dict[str, dict[str, float]]:
    """What the reduction of each metric's protocol makes of the images, as MaxBoxAcc's maximum of means.

    Args:
        specs: the metrics.
        parts: what was judged of the images from each place on.
        labels: (N,) classes of all images.

    Returns:
        By metric: `number`, NaN where no image has a value, and of how many images, `n`, `n_undefined` and `n_failed`.
    """
    return {str(spec): _number(spec, parts, labels) for spec in specs}


def _number(spec: Spec, parts: Mapping[int, Sequence[Judged]], labels: np.ndarray) -> dict[str, float]:
    values, undefined = np.full(len(labels), np.nan), 0
    curves = dict[str, tuple[np.ndarray, np.ndarray]]()
    for start, judged in ((start, judged) for start, part in parts.items() for judged in part):
        for verdict in (verdict for verdict in judged.verdicts if verdict.metric == spec):
            values[start + verdict.image] = verdict.value if verdict.status in SCORED else np.nan
            undefined += verdict.status == "undefined"
        for item in (item for item in judged.points if item.metric == spec):
            x, y = (side.detach().cpu().double().numpy() for side in item.curve)
            held = curves.setdefault(item.part, (x, np.full((len(labels), len(x)), np.nan)))[1]
            held[start + np.asarray(item.images, dtype=np.int64)] = y
    count = int(np.isfinite(values).sum())
    counts = {"n": count, "n_undefined": undefined, "n_failed": len(labels) - count - undefined}
    return {"number": _reduced(spec, CellData(values, curves, labels)) if count else np.nan, **counts}


def _reduced(spec: Spec, cell: CellData) -> float:
    reduction = protocol_of(spec).reduction
    number = float(aggregate(reduction, cell, np.ones((1, len(cell.values))))[0])
    return 100 * number if reduction in SHARES and registry.get(spec.name).facts.unit == "%" else number
