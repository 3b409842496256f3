"""Agreement with repeated and perturbed runs: the numbers of the pure functions, from runs."""

from __future__ import annotations

from dataclasses import asdict
from pathlib import Path

import numpy as np
import pytest
from helpers.audited_runs import DATA, MODELS

import camdbench
from camdbench.auditing.meta_consistency import Perturbed, meta_consistency
from camdbench.auditing.open_runs import open_runs
from camdbench.auditing.reliability import retest
from camdbench.auditing.repeated_runs import agreement_table, aligned_values, meta_table, predictions
from camdbench.core.errors import UsageError
from camdbench.tables.predictions import load_predictions

EXPLAINERS, METRICS = "gradcam,saliency,random", "ad,pointing"


@pytest.fixture(scope="module")
def folders(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Path]:
    root, found = tmp_path_factory.mktemp("repeated"), dict[str, Path]()
    for name, model, seed in (("base", MODELS[0], 0), ("again", MODELS[0], 1), ("changed", MODELS[1], 0)):
        found[name] = root / name
        explainers = EXPLAINERS if name != "changed" else "random,saliency,gradcam"  # another order
        camdbench.run(explainers, METRICS, models=model, seed=seed, out=str(found[name]), **DATA)
    return found


def test_a_repeated_run_is_compared_by_name(folders: dict[str, Path]) -> None:
    base, again, changed = (open_runs([folders[name]]) for name in ("base", "again", "changed"))
    values = {metric: base.values(metric) for metric in base.metrics}
    np.testing.assert_array_equal(aligned_values(base, changed, "ad")[0, 0], changed.values("ad")[0, 2])
    kept = np.array([0, 1, 2])
    found = agreement_table(values, kept, base, [again]).set_index("metric")
    expected = retest(values["ad"][0], again.values("ad")[0])
    assert found.loc["ad", "difference"] == pytest.approx(expected.difference)
    assert found.loc["ad", "difference"] > 0  # the random map differs
    assert agreement_table(values, kept[:2], base, [again]).set_index("metric").loc["ad", "difference"] == 0
    with pytest.raises(UsageError, match="lacks metric entropy"):
        aligned_values(base, again, "entropy")


def test_meta_consistency_takes_values_and_predictions_of_the_runs(folders: dict[str, Path]) -> None:
    base, again, changed = (open_runs([folders[name]]) for name in ("base", "again", "changed"))
    values = {metric: base.values(metric) for metric in base.metrics}
    predicted = load_predictions(folders["changed"]).set_index("image")["predicted"]
    assert predictions(changed)[0].tolist() == [predicted[image] for image in changed.images]
    kept = np.array([0, 1, 2])
    found = meta_table(values, kept, base, [again], [changed]).set_index(["metric", "rule"])
    moved = (predictions(base) != predictions(changed)).ravel()
    expected = meta_consistency(
        -values["ad"][0],
        Perturbed(-again.values("ad"), np.zeros((1, 4), dtype=bool)),
        Perturbed(-aligned_values(base, changed, "ad"), moved[None]),
        higher_is_better=False,
    )
    for name, number in asdict(expected).items():
        assert found.loc[("ad", "definition"), name] == pytest.approx(number, nan_ok=True)
