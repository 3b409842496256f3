"""`--dry-run` states the passes that the run makes, and a time that is their number times measured seconds."""

from __future__ import annotations

import re
from pathlib import Path

import pytest
import torch

import camdbench
from camdbench.core.registries import explainer, explainers
from camdbench.runner.config import RunConfig, check_config
from camdbench.runner.dry_run import describe_jobs
from camdbench.runner.prepare import prepare
from camdbench.runner.resources import Resources
from camdbench.runner.timing import Pace
from camdbench.tables.load import load_usage


def _jobs(pace: Pace, monkeypatch: pytest.MonkeyPatch, resources: Resources | None = None, **options: object) -> list[str]:
    monkeypatch.setattr("camdbench.runner.dry_run.measure", lambda *_, **__: pace)
    return describe_jobs(prepare(check_config(RunConfig(**options), resources), resources, in_memory=True))


def test_passes_are_those_of_the_run_and_the_time_is_their_product(tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    options = {"explainers": "gradcam,opticam(iterations=3),scorecam,fakecam", "metrics": "ad,accuracy", "limit": 3}
    lines = _jobs(Pace(1.0, 10.0), monkeypatch, **options)
    rows = camdbench.run(**options, out=tmp_path / "run")
    usage = load_usage(tmp_path / "run")
    alone = usage[usage["stage"].isin(["trace", "explain"])].groupby("explainer")
    made = alone[["forward", "backward", "tail_forward", "tail_backward"]].sum()
    stated = {line.split(" × ")[1].split(":")[0]: line for line in lines[:-1]}
    assert set(stated) == set(rows["explainer"])
    for name, passes in made.iterrows():
        if passes.sum() and name not in ("scorecam", "none"):
            assert f", {passes.sum():,} passes, " in stated[name]
    channels = int(re.search(r", ([\d,]+) passes", stated["scorecam"])[1].replace(",", "")) / 3 - 1
    assert channels == 64
    assert made.loc["scorecam", "forward"] <= 3 * (channels + 1), "equal channels are scored once"
    assert stated["fakecam"].endswith("3 images, no passes")
    assert stated["none"].endswith("3 images")
    seconds = 3 * (11 + (4 + 30) + 65)
    assert lines[-1].startswith(f"estimate, from a few measured passes of 3 images on this machine: about {seconds / 60:.1f} minutes for")


def test_an_unstated_cost_and_given_maps_have_no_time(monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setattr(explainers, "_live", dict(explainers._live))
    explainer("unstated", paper="none")(_unstated)
    resources = Resources(joint={"theirs": torch.rand(2, 4, 4)})
    lines = _jobs(Pace(1.0, 1.0), monkeypatch, resources, explainers="unstated", metrics="ad", limit=2)
    assert lines == ["shortcuts-ce × unstated: 2 images, number of passes unknown", "shortcuts-ce × theirs: 2 images"]
    lines = _jobs(Pace(1.0, 1.0), monkeypatch, explainers="unstated,gradcam", metrics="ad", limit=2)
    assert "at least 4 seconds" in lines[-1]


def test_metrics_that_explain_again_are_named(monkeypatch: pytest.MonkeyPatch):
    last = _jobs(Pace(1.0, 1.0), monkeypatch, explainers="gradcam", metrics="ad,adcc,avg_sensitivity(samples=30)", limit=2)[-1]
    assert "about 4 seconds for the passes of the explainers; adcc (1), avg_sensitivity(samples=30) (30) explain altered versions" in last
    assert "of each image, 31 in all, which adds 2.1 minutes less what they share; other metrics and reading images come on top" in last
    last = _jobs(Pace(1.0, 1.0), monkeypatch, explainers="gradcam", metrics="cgc_loss(negatives=3)", limit=2)[-1]
    assert (
        "; cgc_loss(negatives=3) (1) explain altered versions of each image, 1 in all, and 4 reference images once, which adds 12 s" in last
    )
    last = _jobs(Pace(1.0, 1.0), monkeypatch, explainers="gradcam", metrics="ad,mcs(network='shortcuts-so')", limit=2)[-1]
    assert 'explainers; mcs(network="shortcuts-so") explain altered versions of each image; other metrics' in last
    last = _jobs(Pace(1.0, 1.0), monkeypatch, explainers="gradcam", metrics="ad", limit=2)[-1]
    assert last.endswith("for the passes of the explainers; metrics and reading images come on top")


def _unstated(trace):
    """A map whose cost is not stated."""
