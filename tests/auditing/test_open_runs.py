"""Runs of an audit: read as one, their networks opened again, and bad ones refused with the command that would work."""

from __future__ import annotations

import json
import shutil
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from helpers.audited_runs import DATA, MODELS

import camdbench
from camdbench.auditing.map_shares import refuse_other_maps
from camdbench.auditing.open_runs import missing_values, open_runs, set_of
from camdbench.core.errors import UsageError
from camdbench.tables.load import load_rows


def test_values_are_those_of_the_rows_turned_so_that_more_is_better(run: Path) -> None:
    runs = open_runs([run])
    assert runs.models == tuple(MODELS)
    rows = load_rows(run).set_index(["model", "explainer", "image", "metric"])
    for metric, sign in (("ad", -1), ("pointing", 1)):
        own = runs.values(metric)
        for m, model in enumerate(runs.models):
            for e, explainer in enumerate(runs.explainers):
                expected = [sign * rows.loc[(model, explainer, image, metric), "value"] for image in runs.images]
                np.testing.assert_array_equal(own[m, e], expected)
    assert runs.targets(MODELS[1]).tolist() == [rows.loc[(MODELS[1], "gradcam", image, "ad"), "target"] for image in runs.images]
    assert missing_values(runs) == []
    assert runs.recipes == tuple(MODELS)
    seeds = replace(runs, pooled=runs.pooled._replace(about={"models": {"a-s0": {}, "a-s1": {}}}), records=({"models": ["a-s0", "a-s1"]},))
    assert seeds.recipes == ("a", "a")
    with runs.open_model(MODELS[1], device="cpu") as classifier:
        assert classifier.weights_hash() == runs.about["models"][MODELS[1]]["weights_hash"]


def test_sets_of_explainers(run: Path) -> None:
    about = open_runs([run]).about
    assert [set_of(name, about) for name in ("gradcam", "fakecam", "random(cells=3)", "gtmask", "power(gtbox,alpha=2.0)")] == [
        "real", "control", "control", "oracle", "oracle",
    ]  # fmt: skip


def test_runs_with_other_explainers_and_networks_are_joined(run: Path, tmp_path: Path) -> None:
    for model in MODELS:
        camdbench.run("layercam", "ad", models=model, save_maps="raw", out=str(tmp_path / model), **DATA)
    joined = open_runs([run, *(tmp_path / model for model in MODELS)])
    assert joined.explainers == (*open_runs([run]).explainers, "layercam")
    assert np.isnan(joined.values("pointing")[:, -1]).all()
    assert not np.isnan(joined.values("ad")).any()
    alone = open_runs([run, tmp_path / MODELS[0]])  # the other network lacks it
    assert alone.explainers == open_runs([run]).explainers
    assert alone.left_out == ("layercam",)
    assert joined.left_out == ()
    with pytest.raises(UsageError, match=r"both have gradcam × .* give runs of the same data and images, in which each cell occurs once"):
        open_runs([run, run])


def test_bad_runs_are_refused_with_the_command_that_would_work(run: Path, tmp_path: Path) -> None:
    other = tmp_path / "other"
    camdbench.run("gradcam", "ad", models=MODELS[0], out=str(other), **(DATA | {"limit": 3}))
    with pytest.raises(UsageError, match=r"the images differ|the data differ"):
        open_runs([run, other])
    viewed = tmp_path / "viewed"
    camdbench.run(
        "gradcam,random", "ad", models=MODELS[0], save_maps="view", out=str(viewed), **(DATA | {"dataset": "shortcuts(size=64,classes=2)"})
    )
    with pytest.raises(UsageError, match=r"maps of random are kept for viewing.*--save-maps raw --out NEW; or .* --truth none"):
        refuse_other_maps(open_runs([viewed]))
    none = tmp_path / "none"
    camdbench.run("gradcam", "ad", models=MODELS[0], save_maps="none", out=str(none), **DATA)
    with pytest.raises(UsageError, match="the run has no saved maps"):
        refuse_other_maps(open_runs([none]))
    cut = tmp_path / "cut"
    shutil.copytree(run, cut)
    shutil.rmtree(cut / "rows" / f"model={MODELS[1]}" / "explainer=saliency")
    with pytest.raises(
        UsageError, match=rf"not finished, as it lacks images of saliency on {MODELS[1]}; finish it: camdbench run --config .*run.yaml"
    ):
        open_runs([cut])
    with pytest.raises(UsageError, match="no metric of maps with a direction"):
        bare = tmp_path / "bare"
        camdbench.run("gradcam", "accuracy", models=MODELS[0], out=str(bare), **DATA)
        open_runs([bare])


def test_a_network_with_other_weights_is_refused(run: Path, tmp_path: Path) -> None:
    changed = tmp_path / "changed"
    shutil.copytree(run, changed)
    about = json.loads((changed / "run.json").read_text())
    about["models"][MODELS[0]]["weights_hash"] = "0" * 16
    (changed / "run.json").write_text(json.dumps(about))
    with pytest.raises(UsageError, match=f"model {MODELS[0]}: its weights are others now"), open_runs([changed]).open_model(MODELS[0]):
        pass
