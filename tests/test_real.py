"""docs/real.md, results/real.csv and benchmarks/real: the page prints the file, and the list of pictures is what the wheels hold."""

from __future__ import annotations

import runpy
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest
import torch
from PIL import Image

from camdbench.core.imagenet_classes import imagenet_classes, imagenet_positions
from camdbench.core.registries import metrics
from camdbench.core.spec import parse_specs
from camdbench.datasets.samples import Batch
from camdbench.explainers.common.trace import Trace
from camdbench.explainers.scorecam import scorecam
from camdbench.functional.curves import counts_by_step
from camdbench.functional.normalise import normalise, upsample
from camdbench.models.classifier import Classifier
from camdbench.tables.cell_values import KEY

ROOT = Path(__file__).parents[1]
SUMMARY = pd.read_csv(ROOT / "results" / "real.csv")


@pytest.fixture(scope="module")
def script() -> dict[str, Any]:
    return runpy.run_path(str(ROOT / "benchmarks" / "real" / "__main__.py"))


def test_the_page_prints_the_file(script: dict[str, Any]) -> None:
    page = (ROOT / "docs" / "real.md").read_text(encoding="utf-8")
    for name, table in (("pictures", script["picture_table"]()), ("results", script["result_table"](SUMMARY))):
        assert f"<!-- {name} -->\n\n{table}\n<!-- end -->" in page
    line = SUMMARY[(SUMMARY["explainer"] == "gradcam") & (SUMMARY["metric"] == "ad")].iloc[0]
    assert f"| `gradcam` | {line['mean']:.1f} [{line['ci_low']:.1f}, {line['ci_high']:.1f}] |" in page


def test_the_file_holds_the_cells_of_the_script_over_all_pictures(script: dict[str, Any]) -> None:
    names = script["EXPLAINERS"]
    of_maps = [name for name in map(str, metrics.parse(script["METRICS"])) if name != "accuracy"]
    assert set(zip(SUMMARY["explainer"], SUMMARY["metric"], strict=True)) == {
        ("none", "accuracy"),
        *((name, metric) for name in names for metric in of_maps),
    }
    assert not SUMMARY.duplicated(list(KEY)).any()
    assert (set(SUMMARY["model"]), set(SUMMARY["target_rule"])) == ({script["MODEL"]}, {"predicted"})
    assert (SUMMARY["n"] == len(script["pictures"]())).all()
    assert (SUMMARY[["n_failed", "n_not_applicable", "n_undefined"]] == 0).all(axis=None)


def test_the_page_states_how_few_pictures_there_are_and_how_they_were_sampled(script: dict[str, Any]) -> None:
    page = (ROOT / "docs" / "real.md").read_text(encoding="utf-8")
    assert page.split("\n\n")[1].startswith("**Twelve photographs: far too few for a ranking")
    assert len(script["pictures"]()) == 12
    options = {spec.name: spec.arguments for spec in parse_specs(", ".join([*script["EXPLAINERS"], script["METRICS"]]))}
    assert f"RISE takes {options['rise']['masks']} masks" in page
    step = int(str(options["insertion"]["step"]))
    assert options["deletion"]["step"] == step
    assert f"replace {step} instead of 224 pixels per step, so their curves have {len(counts_by_step(224 * 224, step))} points" in page
    right = float(SUMMARY.loc[SUMMARY["metric"] == "accuracy", "mean"].iloc[0]) / 100 * 12
    assert f"predicts the label of {right:.0f} of the 12 photographs" in page
    same = [SUMMARY.loc[SUMMARY["explainer"] == name, "mean"].to_numpy() for name in ("gradcam", "hirescam")]
    np.testing.assert_allclose(*same, atol=1e-3)  # "Grad-CAM and HiResCAM are equal"
    nearest = script["pictures"]()["shows"].str.contains("nearest class").sum()
    assert nearest == 6
    assert "For six things ImageNet has no class" in page


def test_the_pictures_are_in_the_wheels_and_their_labels_in_imagenet(script: dict[str, Any], tmp_path: Path) -> None:
    for package in ("skimage", "sklearn"):
        pytest.importorskip(package)
    listed = script["pictures"]()
    assert listed["id"].is_unique
    assert listed["path"].is_unique
    assert set(listed["package"]) == {"skimage", "sklearn"}
    assert listed["licence"].notna().all()
    script["write_pictures"](tmp_path)
    for line in listed.itertuples():
        name = imagenet_classes()[imagenet_positions()[line.wnid]].name
        assert line.shows.startswith(name)
        with Image.open(tmp_path / "images" / line.wnid / f"{line.id}.png") as picture:
            assert picture.mode == "RGB"
            with Image.open(script["package_folder"](line.package) / line.path) as whole:
                assert picture.size == whole.size


@pytest.mark.parametrize("channels", [3, 8, 100])
def test_sampled_score_cam_is_score_cam_of_every_so_many_channels(channels: int, classifier: Classifier, batch: Batch) -> None:
    sampled = runpy.run_path(str(ROOT / "benchmarks" / "real" / "sampled.py"))["sampled_scorecam"]
    trace = Trace(classifier, batch)
    found = sampled(trace, channels=channels)
    if channels >= 8:
        assert torch.equal(found, scorecam(trace))
    kept, images = {3: [0, 2, 5]}.get(channels, list(range(8))), batch.images
    for index, target in enumerate(trace.targets.tolist()):
        grids = trace.activations[index, kept]
        masks = normalise(upsample(grids, trace.size), "range")
        mean = classifier.mean
        logits = torch.stack([classifier(mean + (images[index : index + 1] - mean) * mask)[0, target] for mask in masks])
        expected = torch.zeros_like(grids[0])
        for weight, grid in zip(logits.softmax(0), grids, strict=True):
            expected = expected + weight * grid
        torch.testing.assert_close(found[index], expected.relu())
