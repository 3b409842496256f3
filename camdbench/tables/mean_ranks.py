"""Mean ranks of explainers over images, with Friedman's test, and rank correlations of metrics."""

from __future__ import annotations

from collections.abc import Sequence
from itertools import combinations
from pathlib import Path

import numpy as np
import pandas as pd

from camdbench.core.errors import UsageError
from camdbench.core.registries import NO_EXPLAINER
from camdbench.tables.cell_values import Cells
from camdbench.tables.pool import Pooled, load_pooled
from camdbench.tables.summary import metric_fact, reductions_of, summarise
from camdbench.tables.ties import tie_groups, tie_tolerance, tie_tolerances

RANK_COLUMNS = ("dataset", "split", "model", "target_rule", "metric", "protocol", "explainer", "rank", "n", "friedman_p", "kendall_w")
AGREEMENT_COLUMNS = ("dataset", "split", "model", "target_rule", "metric_a", "metric_b", "n_explainers", "spearman", "kendall")
_BLOCK = ["dataset", "split", "model", "target_rule", "metric", "protocol"]


def rank(*runs: str | Path | Pooled, metrics: Sequence[str] | None = None) -> pd.DataFrame:
    """Mean rank of each explainer over the images on which all have a value; 1 is best.

    Tied explainers share the mean of their ranks (`camdbench/tables/ties.py`). `friedman_p` is the p-value of Friedman's test,
    `kendall_w` Kendall's coefficient of concordance in [0, 1]. Only metrics reduced by a mean over images have ranks. An explainer
    without any value is left out.

    Args:
        *runs: a run directory, or several to pool.
        metrics: metric specs; default: all.

    Returns:
        One row per explainer and metric with the columns `RANK_COLUMNS`, best first.

    Raises:
        UsageError: not a run, or no metric has two explainers and a common image.
    """
    about, whole, _ = load_pooled(runs)
    names = [name for name, reduction in reductions_of(whole.keys["metric"].unique(), about).items() if reduction == "mean"]
    chosen = [name for name in names if (metrics is None or name in metrics) and metric_fact(name, "higher_is_better", about) is not None]
    cells = whole.select(whole.keys["metric"].isin(chosen).to_numpy())
    tolerances = tie_tolerances(cells, {name: metric_fact(name, "unit", about) for name in chosen})
    found = list[pd.DataFrame]()
    for block in cells.keys.groupby(_BLOCK, sort=False).indices.values():
        rises = bool(metric_fact(str(cells.keys["metric"].iloc[block[0]]), "higher_is_better", about))
        if (ranked := _rank_block(cells, np.asarray(block), tolerances[block[0]], rises=rises)) is not None:
            found.append(ranked)
    if not found:
        raise UsageError(f"{about['run']}: nothing to rank; run two explainers under a metric that is a mean over images")
    return pd.concat(found, ignore_index=True)[list(RANK_COLUMNS)]


def _rank_block(cells: Cells, block: np.ndarray, tolerance: float, *, rises: bool) -> pd.DataFrame | None:
    from scipy.stats import chi2, rankdata

    block = block[~np.isnan(np.take(cells.values, block, axis=0)).all(1)]
    values = np.take(cells.values, block, axis=0)
    values = values[:, ~np.isnan(values).any(0)]
    count, images = values.shape
    if count < 2 or not images:
        return None
    places = tie_groups(values, tolerance)
    ranks = rankdata(-places if rises else places, axis=0)  # (explainers, images)
    spread = ((ranks.mean(1) - (count + 1) / 2) ** 2).sum()
    # Ties reduce the largest possible sum, image by image.
    possible = ((ranks - (count + 1) / 2) ** 2).sum() / images
    concordance = spread / possible if possible > 0 else 0.0
    p = chi2.sf(images * (count - 1) * concordance, count - 1)
    lines = cells.keys.iloc[block].assign(rank=ranks.mean(1), n=images, friedman_p=p, kendall_w=concordance)
    return lines.sort_values("rank", kind="stable")


def agree(*runs: str | Path | Pooled, metrics: Sequence[str] | None = None) -> pd.DataFrame:
    """Rank correlations between metrics, of the summary values of explainers; positive if they agree on better explainers.

    Args:
        *runs: a run directory, or several to pool.
        metrics: metric specs; default: all.

    Returns:
        One row per pair of metrics with the columns `AGREEMENT_COLUMNS`; pairs with fewer than three common explainers or a
        constant metric are omitted.

    Raises:
        UsageError: not a run, or no pair of metrics to compare.
    """
    from scipy.stats import kendalltau, spearmanr

    pooled = load_pooled(runs)
    summary = summarise(pooled, interval=None)
    summary = summary[(summary["explainer"] != str(NO_EXPLAINER)) & summary["higher_is_better"].notna()]
    summary = summary if metrics is None else summary[summary["metric"].isin(metrics)]
    found = list[tuple[object, ...]]()
    for key, lines in summary.groupby(["dataset", "split", "model", "target_rule"], sort=False):
        signed = lines.assign(mean=np.where(lines["higher_is_better"].astype(bool), lines["mean"], -lines["mean"]))
        units = dict(zip(lines["metric"], lines["unit"], strict=True))
        table = signed.pivot_table(index="explainer", columns="metric", values="mean", sort=False)
        for first, second in combinations(table.columns, 2):
            means = table[[first, second]].dropna().to_numpy()
            tolerances = [tie_tolerance(units[name], column) for name, column in zip((first, second), means.T, strict=True)]
            both = np.column_stack([tie_groups(column[:, None], own) for column, own in zip(means.T, tolerances, strict=True)])
            if len(both) < 3 or (both == both[0]).all(0).any():
                continue
            ordered = (float(np.asarray(test(both[:, 0], both[:, 1]))[0]) for test in (spearmanr, kendalltau))
            found.append((*key, first, second, len(both), *ordered))
    if not found:
        raise UsageError(f"{pooled.about['run']}: no pair of metrics; agreement needs two metrics of three explainers")
    return pd.DataFrame(found, columns=list(AGREEMENT_COLUMNS))
