"""Figures are drawn of what a run holds, and of nothing else."""

from __future__ import annotations

import sys
from pathlib import Path
from shutil import copytree, ignore_patterns

import numpy as np
import pytest
import torch
from PIL import Image

import camdbench
from camdbench.core.errors import UsageError
from camdbench.core.registries import metrics
from camdbench.metrics.common.inputs import MetricInputs
from camdbench.metrics.common.result import Curve, MetricResult
from camdbench.reporting.figures import save_figures


@pytest.fixture
def run(tmp_path: Path) -> Path:
    """Three explainers, a metric with a curve and one of the model alone."""

    @metrics.register("ramp", paper="a test", higher_is_better=True, unit="", tolerance=0.0)
    def ramp(inputs: MetricInputs) -> MetricResult:
        """A straight line up to the map's mean."""
        own = inputs.saliency.mean((1, 2))
        return MetricResult(own, None, {"curve": Curve(torch.tensor([0.0, 1.0]), own[:, None] * torch.tensor([0.0, 1.0]))})

    @metrics.register("right", paper="a test", higher_is_better=True, unit="%", tolerance=0.0, scope="model")
    def right(inputs: MetricInputs) -> torch.Tensor:
        """Whether the prediction is the label."""
        return 100.0 * (inputs.predictions == inputs.labels)

    camdbench.run("gradcam,fakecam,random", "ad,ramp,right", limit=4, out=tmp_path / "run")
    return tmp_path / "run"


def test_there_is_a_file_for_each_thing_that_can_be_drawn(run: Path, tmp_path: Path):
    names = {path.name for path in save_figures(run, tmp_path / "out", ranks=True)}
    assert names == {
        "1-shortcuts-ce-bars.png",
        "1-shortcuts-ce-images.png",
        "1-shortcuts-ce-curves.png",
        "1-shortcuts-ce-strips-ad.png",
        "2-models-bars.png",
        "ranks-shortcuts-ce-ad.png",
        "ranks-shortcuts-ce-ramp.png",
    }
    for name in names:
        picture = np.asarray(Image.open(tmp_path / "out" / name).convert("L"))
        assert (picture < 128).mean() > 0.002, f"{name} is empty"


def test_ranks_alone_need_the_extra_and_say_so_before_a_file_is_written(run: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    with_extra = [path.name for path in save_figures(run, tmp_path / "with")]
    monkeypatch.setitem(sys.modules, "scikit_posthocs", None)  # as if it were not installed
    assert [path.name for path in save_figures(run, tmp_path / "without")] == with_extra
    with pytest.raises(UsageError, match=r"--ranks: scikit-posthocs is not installed; run: pip install 'camdbench\[stats\]'"):
        save_figures(run, tmp_path / "refused", ranks=True)
    assert not (tmp_path / "refused").exists()


@pytest.mark.parametrize("form", ["pdf", "svg"])
def test_the_form_is_the_one_asked_for_its_text_is_text_and_twice_the_same(run: Path, tmp_path: Path, form: str):
    files = save_figures(run, tmp_path / "out", form=form, width="double")
    assert {path.suffix for path in files} == {f".{form}"}
    assert all(path.read_bytes()[:5] in (b"%PDF-", b"<?xml") for path in files)
    again = save_figures(run, tmp_path / "again", form=form, width="double")
    assert [path.read_bytes() for path in again] == [path.read_bytes() for path in files]
    for path in files:
        if form == "svg" and path.stem.endswith("ce-bars"):
            assert ">gradcam</text>" in path.read_text(encoding="utf-8")
        if form == "pdf":
            assert b"/Type3" not in path.read_bytes()  # outlines in place of letters


def test_a_swept_option_and_images_have_files_and_what_is_missing_a_line(tmp_path: Path):
    lines, specs = list[str](), "gradcam,power(gradcam, alpha=2.0),opticam(iterations=1),opticam(iterations=2)"
    camdbench.run(specs, "ad,ag", limit=2, save_maps="raw", device="cpu", out=tmp_path / "run")
    names = {path.name for path in save_figures(tmp_path / "run", tmp_path / "out", strips="ag", log=lines.append)}
    charts = {f"1-shortcuts-ce-{kind}.png" for kind in ("bars", "images", "selectivity", "sweep-opticam-iterations")}
    assert names == charts | {"1-shortcuts-ce-strips-ag.png"}
    assert lines == []
    copytree(tmp_path / "run", tmp_path / "without", ignore=ignore_patterns("maps"))
    assert {path.name for path in save_figures(tmp_path / "without", tmp_path / "again", log=lines.append)} == charts
    assert lines == ["1-shortcuts-ce-strips-ad.png: not drawn, as no map or no image can be read"]
    with pytest.raises(UsageError, match="--strips = f1: the run has no such metric; choose from ad, ag"):
        save_figures(tmp_path / "run", tmp_path / "refused", strips="f1")
    assert not (tmp_path / "refused").exists()


def test_a_run_of_one_explainer_has_no_ranks(tmp_path: Path):
    camdbench.run("gradcam", "ad", limit=2, out=tmp_path / "run")
    names = {path.name for path in save_figures(tmp_path / "run", tmp_path / "out", ranks=True)}
    assert names == {f"1-shortcuts-ce-{kind}.png" for kind in ("bars", "images", "strips-ad")}
