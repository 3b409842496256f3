"""Strips show the images on which explainers are worst and best, with values of the run; what is missing is one line."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image

import camdbench
from camdbench.core.errors import UsageError
from camdbench.core.spec import Spec
from camdbench.datasets.open_dataset import open_dataset
from camdbench.reporting import image_strips
from camdbench.reporting.image_strips import extreme_images, save_strips, strip_metric
from camdbench.tables.pool import Pooled, load_pooled
from camdbench.tables.summary_tables import SummaryGroup, summary_groups


@pytest.fixture(scope="module")
def run(tmp_path_factory: pytest.TempPathFactory) -> Path:
    out = tmp_path_factory.mktemp("strips") / "run"
    camdbench.run("gradcam,saliency,uniform", "complexity,ag,insertion", limit=4, save_maps="raw", device="cpu", out=out)
    return out


def opened(run: Path) -> tuple[Pooled, SummaryGroup]:
    pooled = load_pooled([run])
    (group,) = summary_groups(camdbench.summarise(run))
    return pooled, group


def test_the_worst_and_best_image_follow_the_direction():
    values = {"a": np.array([3.0, np.nan, 1.0, 9.0]), "b": np.array([3.0, 0.0, 8.0, 8.0]), "c": np.full(4, np.nan)}
    assert extreme_images(values, rises=True) == {2: {"a": "worst", "b": "best"}, 3: {"a": "best"}, 1: {"b": "worst"}}
    assert extreme_images(values, rises=False) == {3: {"a": "worst"}, 2: {"a": "best", "b": "worst"}, 1: {"b": "best"}}
    assert extreme_images({"a": np.ones(2)}, rises=True) == {0: {"a": "worst and best"}}


def test_the_metric_is_the_first_with_a_direction_or_the_one_asked_for(run: Path):
    pooled, _ = opened(run)
    assert strip_metric(pooled, None) == "complexity"
    assert strip_metric(pooled, "ag") == "ag"
    with pytest.raises(UsageError, match=r"--strips = om: the run has no such metric; choose from complexity, ag, insertion"):
        strip_metric(pooled, "om")


def test_pictures_and_values_are_those_of_the_run(run: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    drawn = list[tuple[Any, ...]]()
    draw = image_strips.gallery
    monkeypatch.setattr(image_strips, "gallery", lambda *args, **options: (drawn.append((*args, options)), draw(*args, **options)))
    pooled, group = opened(run)
    assert save_strips(pooled, group, "insertion", tmp_path / "a.png") == ""
    (images, maps, titles, _, options) = drawn[0]
    rows = camdbench.load_rows(run).query("metric == 'insertion'").set_index(["explainer", "image"])
    assert len(images) == len(titles) == len(set(titles))
    for name in ("gradcam", "saliency"):
        own = rows.loc[name]["value"]
        extreme = {own.idxmin(): "\nworst", own.idxmax(): "\nbest"}
        assert options["captions"][name] == [f"insertion {own[image]:.1f} %{extreme.get(image, '')}" for image in titles]
    assert set(options["captions"]["uniform"]) == {"undefined"}
    assert [own.max() for own in maps["uniform"]] == [1.0] * len(titles)
    data = open_dataset(Spec("shortcuts"), "val", None)
    for image, picture in zip(titles, images, strict=True):
        np.testing.assert_array_equal(picture, data[data.ids.index(image)].image.permute(1, 2, 0))
    assert np.asarray(Image.open(tmp_path / "a.png")).std() > 10
    assert save_strips(pooled, group, "ag", tmp_path / "b.png", stretch=True) == ""
    assert all("(maps stretched for display)" in title for title in drawn[1][2])


def test_what_is_missing_is_one_line_and_no_file(run: Path, tmp_path: Path):
    pooled, group = opened(run)
    config = pooled.about["config"]
    without = pooled._replace(about=pooled.about | {"config": config | {"save_maps": "none"}})
    assert (
        save_strips(without, group, "ag", tmp_path / "a.png")
        == "a.png: not drawn, as the run stored no maps; repeat it with --save-maps raw"
    )
    empty = tmp_path / "moved"
    empty.mkdir()
    (empty / "run.json").write_text(json.dumps({}))
    gone = pooled._replace(
        about=pooled.about | {"config": config | {"dataset": "folder", "data_root": str(tmp_path / "none")}}, folders=(empty,)
    )
    line = save_strips(gone, group, "ag", tmp_path / "a.png")
    assert line.startswith("a.png: not drawn, as the data set cannot be opened (")
    assert line.endswith("); --data-root names its directory")
    assert (
        save_strips(pooled._replace(folders=(run / "none",)), group, "ag", tmp_path / "a.png")
        == "a.png: not drawn, as no map or no image can be read"
    )
    assert not (tmp_path / "a.png").exists()
