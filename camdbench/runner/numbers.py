"""The numbers that a table would give, of judgements that are in memory and in no run directory."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field

import numpy as np

from camdbench.core.catalogue import metrics as registry
from camdbench.core.catalogue import protocol_of
from camdbench.core.rows import SCORED
from camdbench.core.spec import Spec
from camdbench.runner.judge import Judged
from camdbench.tables.aggregates import CellData, aggregate, unit_factor


def numbers_of(specs: Sequence[Spec], parts: Mapping[int, Sequence[Judged]], labels: np.ndarray) -> dict[str, dict[str, float]]:
    """What the reduction of each metric's protocol makes of the images, as MaxBoxAcc's maximum of means.

    Args:
        specs: the metrics.
        parts: what was judged of the images from each place on.
        labels: (N,) classes of all images.

    Returns:
        By metric: `number`, NaN where no image has a value, and of how many images, `n`, `n_undefined` and `n_failed`.
    """
    held = {spec: _Held(np.full(len(labels), np.nan)) for spec in specs}
    for start, judged in ((start, judged) for start, part in parts.items() for judged in part):
        for verdict in judged.verdicts:
            own = held[verdict.metric]
            own.values[start + verdict.image] = verdict.value if verdict.status in SCORED else np.nan
            own.undefined += verdict.status == "undefined"
        for item in judged.points:
            x, y = (side.detach().cpu().double().numpy() for side in (item.curve.x, item.curve.y))
            curve = held[item.metric].curves.setdefault(item.part, (x, np.full((len(labels), len(x)), np.nan)))[1]
            curve[start + np.asarray(item.images, dtype=np.int64)] = y
    return {str(spec): _number(spec, own, labels) for spec, own in held.items()}


@dataclass
class _Held:
    """What was found of one metric: a value for each image, how many are undefined, and the curves behind the values."""

    values: np.ndarray
    undefined: int = 0
    curves: dict[str, tuple[np.ndarray, np.ndarray]] = field(default_factory=dict[str, tuple[np.ndarray, np.ndarray]])


def _number(spec: Spec, held: _Held, labels: np.ndarray) -> dict[str, float]:
    count, reduction = int(np.isfinite(held.values).sum()), protocol_of(spec).reduction
    counts = {"n": count, "n_undefined": held.undefined, "n_failed": len(labels) - count - held.undefined}
    if not count:
        return {"number": np.nan, **counts}
    [number] = aggregate(reduction, CellData(held.values, held.curves, labels), np.ones((1, len(labels))))
    return {"number": float(number) * unit_factor(reduction, registry.get(spec.name).facts.unit), **counts}
