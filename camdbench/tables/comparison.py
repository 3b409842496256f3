"""Paired tests of two explainers, or of two runs, on the same images."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from itertools import combinations
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd

from camdbench.core.errors import UsageError
from camdbench.tables.cell_values import Cells, join_cells
from camdbench.tables.paired_rows import PairedRows
from camdbench.tables.paired_tests import paired_tests
from camdbench.tables.pool import Pooled, load_pooled
from camdbench.tables.sign_flips import least_p
from camdbench.tables.summary import is_control_of, metric_fact, reductions_of
from camdbench.tables.ties import tie_labels, tie_tolerances

_BLOCK = ("dataset", "split", "model", "target_rule", "metric", "protocol")  # explainers are compared within a block
COMPARE_COLUMNS = (
    *(*_BLOCK, "a", "b", "n"),
    *(
        "difference",
        "ci_low",
        "ci_high",
        "rank_biserial",
        "p_wilcoxon",
        "p_permutation",
        "p_holm",
        "p_least",
        "min_detectable_difference",
        "better",
    ),
)
_SAME = ("dataset", "split", "target_rule", "metric", "protocol")  # must agree for a comparison across runs


def compare(
    *runs: str | Path | Pooled,
    across: bool = False,
    metrics: Sequence[str] | None = None,
    alpha: float = 0.05,
    seed: int = 0,
) -> pd.DataFrame:
    """Paired tests of the explainers of a run, or of several pooled ones, or of equal cells of two runs, on their common images.

    Only metrics reduced by a mean over images are compared; other reductions, such as a maximum over thresholds, have no values
    per image. Values that tie by `camdbench/tables/ties.py` count as equal in the tests and in `rank_biserial`. `p_holm` is the
    p-value of the permutation test, corrected by Holm (1979) within each data set, model and metric. The family has the pairs of
    different explainers that are no controls: explainers that tie on every image of every metric count once, and `p_holm` is NaN for
    a pair of them and for a pair with a control. `p_least` is the smallest `p_holm` that the number of images and of pairs allows.
    `better` names the better one if p_holm is below `alpha`.

    Args:
        *runs: a run directory; or several, whose different cells are pooled (`camdbench/tables/pool.py`).
        across: compare the cells of two runs with the same explainer and metric, rather than the explainers with each other.
        metrics: metric specs; default: all.
        alpha: significance level of the corrected test, in (0, 1].
        seed: seed of bootstrap and permutations.

    Returns:
        One row per pair with the columns `COMPARE_COLUMNS`; differences and intervals are in the metric's unit.

    Raises:
        UsageError: not a run, unknown metric, runs that cannot be pooled, or nothing to compare.
    """
    if across and len(runs) != 2:
        raise UsageError(f"--across: {len(runs)} runs: expected two; give two runs with equal cells")
    about, whole, _ = load_pooled(runs[:1] if across else runs)
    cells = _mean_cells(whole, about, metrics)
    labels = cells.keys["explainer"]
    standings = None
    if across:
        theirs, others, _ = load_pooled(runs[1:])
        cells, pairs = _across(cells, _mean_cells(others, theirs, metrics))
        own: dict[str, Any] = {"metrics": {**theirs.get("metrics", {}), **about.get("metrics", {})}}
        labels = _run_labels(cells, [about["run"]] * len(labels) + [theirs["run"]] * (len(cells.keys) - len(labels)))
        about = about | own
    else:
        pairs = [pair for block in _blocks(cells) for pair in combinations(block, 2)]
        standings = _standings(cells, whole, about)
    if not pairs:
        raise UsageError("nothing to compare: no two cells share a metric that is a mean over images; run two explainers")
    units = {name: metric_fact(name, "unit", about) for name in cells.keys["metric"].unique()}
    found = _table(cells, pairs, labels, tie_tolerances(cells, units), seed)
    found["p_holm"], found["p_least"] = _corrected(found, standings, pairs)
    rises = found["metric"].map({name: metric_fact(name, "higher_is_better", about) for name in found["metric"].unique()})
    first_wins = found["difference"].gt(0) == rises
    found["better"] = np.where((found["p_holm"] < alpha) & rises.notna(), np.where(first_wins, found["a"], found["b"]), "")
    return found[list(COMPARE_COLUMNS)]


def _standings(cells: Cells, whole: Cells, about: Mapping[str, Any]) -> np.ndarray:
    """Number of each cell's group of tied explainers (N,), -1 for a control; ties are those of all metrics, as in the summary."""
    units = {name: metric_fact(name, "unit", about) for name in whole.keys["metric"].unique()}
    place = ["dataset", "split", "model", "target_rule", "explainer"]
    letters = dict(zip(whole.keys[place].itertuples(index=False, name=None), tie_labels(whole, units), strict=True))
    controls = {name: is_control_of(name, about) for name in cells.keys["explainer"].unique()}
    keys = list(cells.keys[place].itertuples(index=False, name=None))
    groups = {name: number for number, name in enumerate(dict.fromkeys((*key[:-1], letters[key] or key) for key in keys))}
    return np.array([-1 if controls[key[-1]] else groups[*key[:-1], letters[key] or key] for key in keys], dtype=int)


def _corrected(found: pd.DataFrame, standings: np.ndarray | None, pairs: Sequence[tuple[int, int]]) -> tuple[np.ndarray, np.ndarray]:
    """Holm-corrected p-values of the pairs (N,) and the least that their images allow; NaN outside the family."""
    corrected, least = np.full(len(found), np.nan), np.full(len(found), np.nan)
    p, n = found["p_permutation"].to_numpy(), found["n"].to_numpy()
    for block in found.groupby(list(_BLOCK), sort=False).indices.values():
        own = dict[tuple[int, int], list[int]]()  # pairs of groups -> lines
        for line in np.asarray(block):
            one, two = pairs[line] if standings is None else sorted(standings[list(pairs[line])])
            if standings is None or -1 < one < two:
                own.setdefault((int(one), int(two)), []).append(int(line))
        first = np.array([lines[0] for lines in own.values()], dtype=int)
        family = int(np.isfinite(p[first]).sum())
        for lines, value in zip(own.values(), holm(p[first]), strict=True):
            corrected[lines] = value
            least[lines] = np.where(n[lines] > 1, np.minimum(family * least_p(n[lines]), 1), np.nan)
    return corrected, least


def holm(p: np.ndarray) -> np.ndarray:
    """Correct p-values by Holm's step-down procedure; NaN stay and are not counted.

    >>> holm(np.array([0.01, 0.04, 0.03])).round(2).tolist()
    [0.03, 0.06, 0.06]
    """
    found = np.full(len(p), np.nan)
    there = np.flatnonzero(~np.isnan(p))
    order = there[np.argsort(p[there], kind="stable")]
    steps = p[order] * np.arange(len(order), 0, -1)
    found[order] = np.minimum(np.maximum.accumulate(steps), 1)
    return found


def _mean_cells(whole: Cells, about: Mapping[str, Any], metrics: Sequence[str] | None) -> Cells:
    """Return the cells reduced by a mean over images."""
    names = list(whole.keys["metric"].unique())
    if unknown := sorted(set(metrics or ()) - set(names)):
        raise UsageError(f"--metrics: {', '.join(unknown)} not in the run; choose from {', '.join(names)}")
    means = [name for name, reduction in reductions_of(names, about).items() if reduction == "mean" and (not metrics or name in metrics)]
    return whole.select(whole.keys["metric"].isin(means).to_numpy())


def _blocks(cells: Cells) -> list[np.ndarray]:
    """Return the indices of cells that differ only in the explainer, block by block."""
    return [np.asarray(block) for block in cells.keys.groupby(list(_BLOCK), sort=False).indices.values()]


def _run_labels(cells: Cells, runs: Sequence[str]) -> pd.Series:
    """Return names with explainer, model and run, unique across two runs."""
    return cells.keys["explainer"] + " · " + cells.keys["model"] + " · " + pd.Series(runs)


def _across(first: Cells, second: Cells) -> tuple[Cells, list[tuple[int, int]]]:
    """Concatenate the cells of two runs; return them with the index pairs of corresponding cells."""
    names = [*_SAME, "explainer"] + ["model"] * (set(first.keys["model"]) == set(second.keys["model"]))
    places = {key: place for place, key in enumerate(first.keys[names].itertuples(index=False, name=None))}
    pairs = [
        (places[key], len(first.keys) + place)
        for place, key in enumerate(second.keys[names].itertuples(index=False, name=None))
        if key in places
    ]
    return join_cells([first, second]), pairs


def _table(cells: Cells, pairs: Sequence[tuple[int, int]], labels: pd.Series, tolerances: np.ndarray, seed: int) -> pd.DataFrame:
    one, two = np.array(pairs, dtype=int).T
    tested = paired_tests(PairedRows(cells.values, one, two), tolerances[one], seed=seed)
    return (
        cells.keys.iloc[one][list(_BLOCK)]
        .assign(
            a=labels.iloc[one].to_numpy(),
            b=labels.iloc[two].to_numpy(),
            n=tested.n,
            difference=tested.difference,
            ci_low=tested.interval[:, 0],
            ci_high=tested.interval[:, 1],
            rank_biserial=tested.rank_biserial,
            p_wilcoxon=tested.p_wilcoxon,
            p_permutation=tested.p_permutation,
            min_detectable_difference=tested.min_detectable_difference,
        )
        .reset_index(drop=True)
    )
