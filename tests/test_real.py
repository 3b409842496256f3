"""docs/real.md, results/real.csv and benchmarks/real: the page prints the file, and the list of pictures is what the wheels hold."""

from __future__ import annotations

import runpy
from pathlib import Path
from typing import Any

import pandas as pd
import pytest
from PIL import Image

from camdbench.core.imagenet_classes import imagenet_classes, imagenet_positions
from camdbench.core.registries import explainers, metrics
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
    names, wanted = ([str(spec) for spec in kind.parse(script[key])] for kind, key in ((explainers, "EXPLAINERS"), (metrics, "METRICS")))
    of_maps = [name for name in wanted if name != "accuracy"]
    assert set(zip(SUMMARY["explainer"], SUMMARY["metric"], strict=True)) == {
        ("none", "accuracy"),
        *((name, metric) for name in names for metric in of_maps),
    }
    assert not SUMMARY.duplicated(list(KEY)).any()
    assert set(SUMMARY["model"]) == {script["MODEL"]}
    assert (SUMMARY["n"] == len(script["pictures"]())).all()


def test_the_pictures_are_in_the_wheels_and_their_labels_in_imagenet(script: dict[str, Any], tmp_path: Path) -> None:
    for package in ("skimage", "sklearn", "matplotlib"):
        pytest.importorskip(package)
    listed = script["pictures"]()
    assert len(listed) >= 12
    assert listed["id"].is_unique
    assert listed["licence"].notna().all()
    script["write_pictures"](tmp_path)
    for line in listed.itertuples():
        name = imagenet_classes()[imagenet_positions()[line.wnid]].name
        assert line.shows.startswith(name)
        with Image.open(tmp_path / "images" / line.wnid / f"{line.id}.png") as picture:
            assert picture.mode == "RGB"
            if not pd.isna(line.left):
                with Image.open(script["package_folder"](line.package) / line.path) as whole:
                    assert 0 <= line.left < line.right <= whole.width
                    assert 0 <= line.top < line.bottom <= whole.height
                assert picture.size == (line.right - line.left, line.bottom - line.top)
