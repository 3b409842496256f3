"""Agreement of metrics with their other protocols, with repeated runs and with perturbed ones."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import asdict

import numpy as np
import pandas as pd

from camdbench.auditing.meta_consistency import Perturbed, meta_consistency
from camdbench.auditing.open_runs import AuditedRuns
from camdbench.auditing.reliability import retest
from camdbench.auditing.twins import protocol_pairs
from camdbench.core.errors import UsageError
from camdbench.tables.summary import metric_fact

AGREEMENT_COLUMNS = ("metric", "with", "order", "within_images", "within_explainers", "difference", "n")
META_COLUMNS = ("metric", "rule", "iac_nr", "iac_ar", "iec_nr", "iec_ar", "mc", "images_minor", "images_disruptive")


def agreement_table(values: Mapping[str, np.ndarray], kept: np.ndarray, runs: AuditedRuns, others: Sequence[AuditedRuns]) -> pd.DataFrame:
    """Agreement of each metric with itself: under its other protocols, and in repeated runs, such as with another seed.

    Args:
        values: (M, E, N) per metric, turned.
        kept: places of the explainers that count.
        runs: the runs of the values.
        others: repeated runs with the same networks, explainers and images.

    Returns:
        One row per metric and other measurement, with the columns `AGREEMENT_COLUMNS`; networks are pooled.

    Raises:
        UsageError: a repeated run differs in more than its seed.
    """
    rows = list[dict[str, object]]()
    for one, two in protocol_pairs(list(values)):
        rows.append({"metric": one, "with": two, **_retest(values[one][:, kept], values[two][:, kept])})
    for other in others:
        for metric in runs.metrics:
            if metric in other.metrics:
                again = aligned_values(runs, other, metric)
                rows.append({"metric": metric, "with": other.about["run"], **_retest(values[metric][:, kept], again[:, kept])})
    return pd.DataFrame(rows, columns=list(AGREEMENT_COLUMNS))


def _retest(first: np.ndarray, second: np.ndarray) -> dict[str, object]:
    return asdict(retest(np.concatenate(list(first), axis=1), np.concatenate(list(second), axis=1)))


def meta_table(
    values: Mapping[str, np.ndarray], kept: np.ndarray, runs: AuditedRuns, minor: Sequence[AuditedRuns], disruptive: Sequence[AuditedRuns]
) -> pd.DataFrame:
    """Meta-consistency of each metric (Hedström et al. 2023, arXiv:2302.07265) from runs with slightly and strongly changed networks.

    Args:
        values: (M, E, N) per metric, turned.
        kept: places of the explainers that count.
        runs: the runs of the values.
        minor: runs with minor perturbations of the networks or images.
        disruptive: runs with disruptive ones.

    Returns:
        Two rows per metric, with the columns `META_COLUMNS`: the definition, and the rule of the authors' release.

    Raises:
        UsageError: a perturbed run has other networks, explainers or images.
    """
    rows = list[dict[str, object]]()
    for metric in runs.metrics:
        rises = bool(metric_fact(metric, "higher_is_better", runs.about))
        sign = 1.0 if rises else -1.0
        own = sign * np.concatenate(list(values[metric][:, kept]), axis=1)
        found = [
            Perturbed(
                np.stack([sign * np.concatenate(list(aligned_values(runs, other, metric)[:, kept]), axis=1) for other in group]),
                np.stack([(predictions(runs) != _aligned_predictions(runs, other)).ravel() for other in group]),
            )
            for group in (minor, disruptive)
        ]
        for rule in ("definition", "release"):
            numbers = meta_consistency(own, *found, higher_is_better=rises, release=rule == "release")
            rows.append({"metric": metric, "rule": rule, **asdict(numbers)})
    return pd.DataFrame(rows, columns=list(META_COLUMNS))


def aligned_values(runs: AuditedRuns, other: AuditedRuns, metric: str) -> np.ndarray:
    """Values (M, E, N) of a metric in other runs, turned, in the order of the networks, explainers and images of `runs`.

    Raises:
        UsageError: the other runs lack an explainer, an image or the metric, or have another number of networks.
    """
    name = other.about["run"]
    for kind, own, theirs in (
        ("explainer", runs.explainers, other.explainers),
        ("image", runs.images, other.images),
        ("metric", (metric,), other.metrics),
    ):
        if absent := [one for one in own if one not in theirs]:
            raise UsageError(f"{name}: lacks {kind} {absent[0]} of {runs.about['run']}; repeat that run with another seed or network")
    if len(other.models) != len(runs.models):
        raise UsageError(f"{name}: {len(other.models)} networks, and {runs.about['run']} has {len(runs.models)}; give a run with as many")
    explainers = [other.explainers.index(one) for one in runs.explainers]
    images = [other.images.index(one) for one in runs.images]
    return other.values(metric)[_order(runs, other)][:, explainers][:, :, images]


def _order(runs: AuditedRuns, other: AuditedRuns) -> list[int]:
    """Places of the other networks: by name if these are the same, else as they come."""
    same = set(other.models) == set(runs.models)
    return [other.models.index(name) if same else place for place, name in enumerate(runs.models)]


def _aligned_predictions(runs: AuditedRuns, other: AuditedRuns) -> np.ndarray:
    images = [other.images.index(one) for one in runs.images]
    return predictions(other)[_order(runs, other)][:, images]


def predictions(runs: AuditedRuns) -> np.ndarray:
    """Predicted classes (M, N) of the images; raises UsageError if the runs do not hold them."""
    from camdbench.tables.predictions import load_predictions

    found = np.full((len(runs.models), len(runs.images)), -1)
    for folder in runs.pooled.folders:
        table = load_predictions(folder)
        for place, model in enumerate(runs.models):
            own = table[table["model"] == model].drop_duplicates("image").set_index("image")["predicted"]
            there = own.reindex(list(runs.images), fill_value=-1).to_numpy(dtype=np.int64)
            found[place] = np.where(there >= 0, there, found[place])
    if (found < 0).any():
        raise UsageError(f"{runs.about['run']}: does not hold the predicted class of every image; repeat the run")
    return found
