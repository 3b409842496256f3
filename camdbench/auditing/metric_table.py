"""Table of metrics against the truth: tau with intervals, worst network, ceiling, controls, conclusion."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np
import pandas as pd

from camdbench.auditing.above_controls import CONTROLS, above_control, fooled_by, of_control
from camdbench.auditing.conclusions import FOOLED, conclude
from camdbench.auditing.metric_truth import Level, LevelTaus, TruthInputs, TruthSigns, metric_taus, truth_signs
from camdbench.auditing.rank_correlation import ALL, mean_defined
from camdbench.auditing.resampling import draw_resamples, rank_intervals

SETS = {"real": ("real",), "real+controls": ("real", "control")}
"""Sets of explainers over which tau is computed; oracles are in none, because localisation metrics are made from what they know."""
METRIC_COLUMNS = (
    "model", "metric", "truth", "set", "explainers", "n", "tau", "tau_low", "tau_high", "tau_worst", "worst_model", "tau_image", "ceiling",
    *(f"above_{name}" for name in CONTROLS), "fooled_by", "conclusion", "reason", "resampled",
)  # fmt: skip


@dataclass(frozen=True, kw_only=True)
class Audited:
    """Explainers and networks of an audit.

    Attributes:
        explainers: E names.
        networks: M names.
        sets: `real`, `control` or `oracle` of each explainer.
        same_as: the earlier explainer that each one equals, or empty.
        recipes: training recipe of each network; networks of one recipe differ in the seed.
    """

    explainers: Sequence[str]
    networks: Sequence[str]
    sets: Sequence[str]
    same_as: Sequence[str]
    recipes: Sequence[str] = ()

    def distinct(self, chosen: str) -> np.ndarray:
        """Places of the distinct explainers of a set of `SETS`."""
        kept = [kind in SETS[chosen] and not same for kind, same in zip(self.sets, self.same_as, strict=True)]
        return np.flatnonzero(kept)


def metric_table(
    values: Mapping[str, np.ndarray],
    audited: Audited,
    truths: TruthInputs,
    *,
    tolerances: Mapping[str, float] | None = None,
    sets: Sequence[str] = ("real",),
    resample: Sequence[str] = ("images",),
    resamples: int = 1000,
    seed: int = 0,
) -> pd.DataFrame:
    """Kendall's tau-b of each metric with each truth, per network and over all networks.

    Args:
        values: (M, E, N) per metric, turned so that more is better, NaN where undefined.
        audited: explainers and networks.
        truths: truths of the same networks, explainers and images.
        tolerances: largest difference of tied values per metric; default: 0.
        sets: sets of explainers, names of `SETS`.
        resample: what intervals resample: `images`, and perhaps `explainers` and `seeds`.
        resamples: bootstrap resamples.
        seed: seed of the resamples.

    Returns:
        One row per metric, truth, set and model with the columns `METRIC_COLUMNS`; model `*` is all networks. `n` counts the images with a
        value of two explainers. The interval concerns these explainers unless they are resampled. `conclusion` is `follows`, `against` or
        `open`, with `, fooled` if a control beats every real explainer.
    """
    images = truths.share_map.shape[2]
    found = list[dict[str, object]]()
    for chosen in sets:
        kept = audited.distinct(chosen)
        drawn = draw_resamples(
            images,
            resamples,
            seed,
            explainers=len(kept) if "explainers" in resample else None,
            recipes=audited.recipes if "seeds" in resample and audited.recipes else None,
        )
        signs = truth_signs(truths.select(kept), drawn)
        for metric, own in values.items():
            tolerance = (tolerances or {}).get(metric, 0.0)
            facts = {"metric": metric, "set": chosen, "resampled": drawn.units}
            controls = _control_columns(own, audited, tolerance)
            counts = _counts(own[:, kept])
            for level, taus in metric_taus(own[:, kept], signs, tolerance).items():
                rows = _rows(level, taus, audited, signs, counts)
                found.extend({**facts, **row, **controls[str(row["model"])]} for row in rows)
    for row in found:
        row["conclusion"] = f"{row['conclusion']}{FOOLED if row['fooled_by'] else ''}"
    return pd.DataFrame(found, columns=list(METRIC_COLUMNS))


def _counts(values: np.ndarray) -> list[int]:
    """Images with a value of two explainers, per network, and of any network."""
    ranking = (~np.isnan(values)).sum(1) > 1
    return [*ranking.sum(1).tolist(), int(ranking.any(0).sum())]


def _control_columns(values: np.ndarray, audited: Audited, tolerance: float) -> dict[str, dict[str, object]]:
    """Columns about controls per model, of the real explainers counted once."""
    real = np.zeros(len(audited.explainers), dtype=bool)
    real[audited.distinct("real")] = True
    found = dict[str, dict[str, object]]()
    for model, own in [*zip(audited.networks, values[:, None], strict=True), (ALL, values)]:
        above = {f"above_{name}": above_control(own, real, of_control(audited.explainers, name), tolerance) for name in CONTROLS}
        found[model] = {**above, "fooled_by": ", ".join(fooled_by(own, audited.explainers, audited.sets, tolerance))}
    return found


def _rows(level: Level, taus: LevelTaus, audited: Audited, signs: TruthSigns, counts: Sequence[int]) -> list[dict[str, object]]:
    """Rows of one metric, set and level: the networks, and all of them; tracking has the last alone."""
    networks = list(audited.networks) if taus.networks.size else []
    per_model = [*(taus.networks[:, place] for place in range(len(networks))), taus.joint]  # (V, R + 1) each
    image = [*taus.image, mean_defined(taus.image)]
    skipped = len(image) - len(per_model)
    found = list[dict[str, object]]()
    for place, (model, own) in enumerate(zip([*networks, ALL], per_model, strict=True), start=skipped):
        ends = rank_intervals(own.T)
        intervals = {name: (float(low), float(high)) for name, (low, high) in zip(signs.variants, ends, strict=False)}
        conclusion, reason = conclude(intervals, int(taus.explainers[place]), _undefined(level, place, audited, counts[place], signs))
        found.append({
            "model": model, "truth": level, "explainers": taus.explainers[place], "n": counts[place],
            "tau": own[0, 0], "tau_low": ends[0, 0], "tau_high": ends[0, 1],
            "tau_worst": np.nan, "worst_model": "", "tau_image": image[place], "ceiling": taus.ceiling[place],
            "conclusion": conclusion, "reason": reason,
        })  # fmt: skip
    single = np.array([own[0, 0] for own in per_model[:-1]])
    if not np.isnan(single).all():
        worst = int(np.nanargmin(single))
        found[-1] |= {"tau_worst": single[worst], "worst_model": networks[worst]}
    return found


def _undefined(level: Level, place: int, audited: Audited, images: int, signs: TruthSigns) -> str:
    """Why a tau would be undefined; used if it is."""
    if signs.explainers < 2:
        return f"{signs.explainers} distinct explainers; tau needs two"
    if level == "tracking":
        if len(audited.networks) < 2:
            return "one network; tracking needs two"
        ordered, known = signs.tracking[0, 0], signs.known["tracking"]
    else:
        own = slice(place, place + 1) if place < len(audited.networks) else slice(None)
        ordered, known = signs.networks[level][0, own, 0], signs.known[level][own]
    if not known.any():
        return "the truth is undefined"
    if not ordered.any():
        return "all explainers tie under the truth"
    return "all explainers tie under the metric" if images else "no image has values of two explainers"
