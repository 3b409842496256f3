"""Worst-group accuracy, its training-weighted mean, and the background gap, against counts by hand."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pandas as pd
import pytest
import torch
from helpers.toys import toy_classifier
from torch import Tensor

from camdbench.core.errors import NotApplicable
from camdbench.datasets.shortcuts.dataset import shortcuts
from camdbench.metrics.common.inputs import MetricInputs
from camdbench.metrics.common.result import MetricResult
from camdbench.metrics.group_accuracy import background_gap, group_accuracy
from camdbench.runner.run import run
from camdbench.tables.aggregates import CellData, aggregate
from camdbench.tables.summary import summarise

LABELS = torch.tensor([0, 0, 0, 0, 1, 1, 1, -1])
BACKGROUNDS = torch.tensor([0, 0, 1, 1, 0, 1, 1, 1])
PREDICTED = torch.tensor(
    [0, 0, 1, 0, 0, 1, 1, 1]
)  # right by group (label, background): (0, 0) 2 of 2, (0, 1) 1 of 2, (1, 0) 0, (1, 1) 2 of 2
SHARES = torch.tensor([0.6, 0.6, 0.1, 0.1, 0.1, 0.2, 0.2, 0.0]).double()


def inputs(backgrounds: Tensor | None = BACKGROUNDS, shares: Tensor | None = SHARES) -> MetricInputs:
    logits = torch.nn.functional.one_hot(PREDICTED, 3).float()
    images = torch.zeros(len(logits), 3, 2, 2)
    return MetricInputs(
        toy_classifier(), images, LABELS.clamp_min(0), logits=logits, labels=LABELS, backgrounds=backgrounds, group_shares=shares
    )


def number(reduction: str, found: MetricResult) -> float:
    cell = CellData(np.asarray(found.values), {name: (curve.x.numpy(), curve.y.numpy()) for name, curve in found.curves.items()})
    return float(aggregate(reduction, cell, np.ones((1, len(found.values))))[0])


def test_numbers_are_those_counted_by_hand() -> None:
    found = group_accuracy(inputs())
    assert np.asarray(found.values)[:7].tolist() == [100, 100, 0, 100, 0, 100, 100]
    assert found.undefined.tolist() == [False] * 7 + [True]
    assert number("worst group", found) == 0
    assert number("training-weighted groups", found) == pytest.approx(100 * (0.6 + 0.1 * 0.5 + 0 + 0.2))
    assert number("worst group", group_accuracy(inputs(), by="background")) == pytest.approx(200 / 3)
    assert number("difference of groups", background_gap(inputs())) == pytest.approx(100 * (4 / 4 - 1 / 3))


def test_a_random_background_is_not_the_label_s_and_is_in_no_pair() -> None:
    random = torch.where(torch.arange(8) < 2, -1, BACKGROUNDS)
    assert group_accuracy(inputs(random)).undefined.tolist() == [True, True, *[False] * 5, True]
    assert number("difference of groups", background_gap(inputs(random))) == pytest.approx(100 * (2 / 2 - 3 / 5))


@pytest.mark.parametrize("metric", [group_accuracy, background_gap])
def test_images_without_backgrounds_have_no_value(metric) -> None:
    with pytest.raises(NotApplicable, match="needs the classes of backgrounds"):
        metric(inputs(None))


@pytest.mark.parametrize("label", ["shape", "background"])
def test_shares_of_shortcuts_are_frequencies_of_its_training_split(label: str) -> None:
    options = {"classes": 3, "correlation": 0.7, "label": label}
    trained = shortcuts(split="train", count=6000, **options)
    pairs = pd.Series(list(zip(trained.labels, map(trained.background, range(6000)), strict=True))).value_counts(normalize=True)
    for sample in map(shortcuts(split="shifted", count=9, size=32, **options).__getitem__, range(9)):
        assert sample.group_share == pytest.approx(pairs[sample.label, sample.background], abs=0.02)


def test_a_run_prints_and_keeps_them_with_intervals(tmp_path: Path) -> None:
    specs = ["group_accuracy(by='background')", "group_accuracy(protocol=weighted)", "background_gap", "accuracy"]
    made = run(dataset="shortcuts", split="balanced", limit=32, explainers="none", metrics=specs, device="cpu", out=tmp_path / "run")
    right = made[made["metric"] == "accuracy"].set_index("image")["value"]
    data = shortcuts(split="balanced")
    places = dict(zip(data.ids, range(len(data.ids)), strict=True))
    backgrounds = right.index.map(lambda name: data.background(places[name]))
    own = backgrounds == right.index.map(lambda name: data.labels[places[name]])
    table = summarise(tmp_path / "run").set_index("metric")
    assert table.loc["background_gap", "mean"] == pytest.approx(right[own].mean() - right[~own].mean())
    assert table.loc['group_accuracy(by="background")', "mean"] == pytest.approx(right.groupby(backgrounds).mean().min())
    assert not table["mean"].isna().any()
    assert (table["ci_low"] <= table["ci_high"]).all()
